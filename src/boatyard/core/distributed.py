"""Several processes on one job: who does which part, and sums over all of them.

On one machine a stage starts them itself. On several, torchrun does, on each: `torchrun --nnodes 2 … stages/train.py`.

A process that works alone imports no torch for it.
"""

import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from boatyard.core.errors import UserError
from boatyard.core.machine import Machine

if TYPE_CHECKING:
    from torch import Tensor

Part = TypeVar("Part", "Tensor", Sequence[Any])

_MISTAKE = "mistake"  # where a process leaves the message of its UserError for the one that started it


def run(work: Callable[[Machine], None], machine: Machine) -> None:
    """Call `work` with the machine, and the device, that it is to use: here, or in several processes at once.

    In a process that torchrun has started, it works with the others that torchrun has. Those that are started here are
    in this process's group, so that a signal from the terminal reaches all, and end when this process does, however it
    does.

    Args:
        work: a function of a module, so that another process can find it.
        machine: its `processes` says how many, unless torchrun does; where the device is cuda, each gets its own GPU.

    Raises:
        UserError: one that a process raised.
    """
    if started_by_torchrun():
        _work(work, machine, int(os.environ["LOCAL_RANK"]))
        return
    if machine.processes == 1:
        work(machine)
        return
    from torch.multiprocessing.spawn import ProcessException, spawn

    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the processes share the cores
    logging.getLogger("torch.multiprocessing.spawn").setLevel(logging.ERROR)  # it tells of each process that it ends
    store = _store(0, is_master=True)
    try:
        spawn(_join, (work, machine, store.port, os.getpid()), machine.processes)  # type: ignore[no-untyped-call]
    except ProcessException:
        if store.check([_MISTAKE]):
            raise UserError(store.get(_MISTAKE).decode()) from None
        raise


def _join(rank: int, work: Callable[[Machine], None], machine: Machine, port: int, parent: int) -> None:
    """What each of the processes does."""
    from torch.multiprocessing import _prctl_pr_set_pdeathsig  # type: ignore[attr-defined]

    _prctl_pr_set_pdeathsig(signal.SIGKILL)  # torch's is SIGINT, which is ignored in the background
    if os.getppid() != parent:  # it died before torch had the kernel end this process with it
        sys.exit(1)
    store = _store(port, is_master=False)
    try:
        _work(work, machine, rank, store=store, rank=rank, world_size=machine.processes)
    except UserError as error:
        store.set(_MISTAKE, str(error))
        sys.exit(2)


def _work(work: Callable[[Machine], None], machine: Machine, local_rank: int, **meeting: Any) -> None:
    """Join the others, work with them, and leave."""
    import torch
    import torch.distributed as dist

    if machine.kind == "cuda":
        machine = replace(machine, device=f"cuda:{local_rank}")
        torch.cuda.set_device(machine.device)
    # A slower one's share may take hours longer; that one has died is noticed by what started it.
    dist.init_process_group("nccl" if machine.kind == "cuda" else "gloo", timeout=timedelta(days=7), **meeting)
    work(machine)
    dist.destroy_process_group()


def started_by_torchrun() -> bool:
    """Whether torchrun started this process, and others beside it."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def _store(port: int, is_master: bool) -> Any:
    """Where the processes find one another; port 0 takes a free one."""
    import torch.distributed as dist

    return dist.TCPStore("127.0.0.1", port, is_master=is_master, wait_for_workers=False)  # type: ignore[attr-defined]


def _group() -> Any:
    """`torch.distributed` in a process that works with others, else None."""
    dist = sys.modules.get("torch.distributed")
    return dist if dist and dist.is_initialized() else None


def size() -> int:
    """How many processes work together."""
    group = _group()
    return int(group.get_world_size()) if group else 1


def here() -> int:
    """How many of them are on this machine."""
    return int(os.environ["LOCAL_WORLD_SIZE"]) if started_by_torchrun() else size()


def rank() -> int:
    """This process's number, from 0; 0 writes the files and shows the progress."""
    group = _group()
    return int(group.get_rank()) if group else 0


def share(numbers: Part) -> Part:
    """This process's part of a batch or a list."""
    return numbers[rank() :: size()]


def wait() -> None:
    """Wait until every process has come here."""
    if size() > 1:
        _group().barrier()


def gathered(value: str) -> list[str]:
    """What every process has, by rank."""
    values = [value] * size()
    if size() > 1:
        _group().all_gather_object(values, value)
    return values


def summed(values: "Tensor") -> "Tensor":
    """The sum over all processes."""
    if size() > 1:
        group = _group()
        # NCCL sums what lies on the GPU alone.
        moved = values.to("cuda" if group.get_backend() == "nccl" else "cpu")
        group.all_reduce(moved)
        return moved.to(values.device)
    return values
