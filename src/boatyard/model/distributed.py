"""Several processes on one training run, as torchrun starts them: who does which part, and sums over all of them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor


def started() -> bool:
    """Whether torchrun started this process, and the others beside it."""
    return "LOCAL_RANK" in os.environ


def start(script: str, processes: int) -> int:
    """Run a script in several processes on this machine; the exit status."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", script]
    return subprocess.run(command, check=False).returncode


@contextmanager
def group(device: str) -> Iterator[str]:
    """Join the processes that torchrun started; yields this process's device. Alone, it is `device`."""
    if not started():
        yield device
        return
    kind = device.split(":", 1)[0]
    if kind == "cuda":
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if kind == "cuda" else "gloo")
    try:
        yield device
    finally:
        dist.destroy_process_group()


def size() -> int:
    """How many processes work together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """This process's number, from 0; 0 writes the files and shows the progress."""
    return dist.get_rank() if dist.is_initialized() else 0


def share(numbers: Tensor) -> Tensor:
    """This process's part of a batch."""
    return numbers[rank() :: size()]


def summed(values: Tensor) -> Tensor:
    """The sum over all processes."""
    if size() > 1:
        # NCCL sums what lies on the GPU alone.
        device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        moved = values.to(device)
        dist.all_reduce(moved)
        return moved.to(values.device)
    return values
