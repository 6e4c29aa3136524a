"""Several processes that share the work of a stage.

On one machine the stage starts them itself. On several machines torchrun starts them, run on each:
`torchrun --nnodes 2 … stages/train.py`. A process that works alone imports no torch here.
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

Items = TypeVar("Items", "Tensor", Sequence[Any])

_ERROR = "error"  # under this key a process leaves the message of its UserError for the one that started it


def run(work: Callable[[Machine], None], machine: Machine) -> None:
    """Call `work` with the machine, and the device, that it shall use: in this process, or in several at once.

    A process that torchrun started works with the others of torchrun. Processes that are started here belong to this
    process's group, so that a signal from the terminal reaches all, and end when this process ends, in whatever way.

    Args:
        work: a function of a module, so that another process can find it.
        machine: `processes` is their number, unless torchrun sets it; if the device is cuda, each gets its own GPU.
    """
    if started_by_torchrun():
        _work(work, machine, int(os.environ["LOCAL_RANK"]))
        return
    if machine.processes == 1:
        work(machine)
        return
    from torch.multiprocessing.spawn import ProcessException, spawn

    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the processes share the cores
    logging.getLogger("torch.multiprocessing.spawn").setLevel(logging.ERROR)  # it reports each process that it ends
    store = _store(0, is_master=True)
    try:
        spawn(_join, (work, machine, store.port, os.getpid()), machine.processes)  # type: ignore[no-untyped-call]
    except ProcessException:
        if store.check([_ERROR]):
            raise UserError(store.get(_ERROR).decode()) from None
        raise


def _join(rank: int, work: Callable[[Machine], None], machine: Machine, port: int, parent: int) -> None:
    """The main function of each process."""
    from torch.multiprocessing import _prctl_pr_set_pdeathsig  # type: ignore[attr-defined]

    _prctl_pr_set_pdeathsig(signal.SIGKILL)  # torch's is SIGINT, which is ignored in the background
    if os.getppid() != parent:  # it died before torch had the kernel end this process with it
        sys.exit(1)
    store = _store(port, is_master=False)
    try:
        _work(work, machine, rank, store=store, rank=rank, world_size=machine.processes)
    except UserError as error:
        store.set(_ERROR, str(error))
        sys.exit(2)


def _work(work: Callable[[Machine], None], machine: Machine, local_rank: int, **rendezvous: Any) -> None:
    """Join the process group, work, and leave it."""
    import torch
    import torch.distributed as dist

    if machine.kind == "cuda":
        machine = replace(machine, device=f"cuda:{local_rank}")
        torch.cuda.set_device(machine.device)
    # One process may take hours longer than another. That one died is noticed by the process that started it.
    dist.init_process_group("nccl" if machine.kind == "cuda" else "gloo", timeout=timedelta(days=7), **rendezvous)
    work(machine)
    dist.destroy_process_group()


def started_by_torchrun() -> bool:
    return "TORCHELASTIC_RUN_ID" in os.environ


def _store(port: int, is_master: bool) -> Any:
    """The store through which the processes find each other; port 0 takes a free one."""
    import torch.distributed as dist

    return dist.TCPStore("127.0.0.1", port, is_master=is_master, wait_for_workers=False)  # type: ignore[attr-defined]


def _group() -> Any:
    """`torch.distributed` in a process that is part of a group, else None."""
    dist = sys.modules.get("torch.distributed")
    return dist if dist and dist.is_initialized() else None


def size() -> int:
    """The number of processes that share the work."""
    group = _group()
    return int(group.get_world_size()) if group else 1


def local_size() -> int:
    """The number of them on this machine."""
    return int(os.environ["LOCAL_WORLD_SIZE"]) if started_by_torchrun() else size()


def rank() -> int:
    """The number of this process, from 0; process 0 writes the files and shows the progress."""
    group = _group()
    return int(group.get_rank()) if group else 0


def shard(items: Items) -> Items:
    """This process's part of a batch or a list."""
    return items[rank() :: size()]


def barrier() -> None:
    if size() > 1:
        _group().barrier()


def all_gather(value: str) -> list[str]:
    """The values of all processes, by rank."""
    values = [value] * size()
    if size() > 1:
        _group().all_gather_object(values, value)
    return values


def all_sum(values: "Tensor") -> "Tensor":
    """The sum over all processes."""
    if size() == 1:
        return values
    moved = values.to("cuda" if _group().get_backend() == "nccl" else "cpu")  # NCCL only sums tensors on a GPU
    _group().all_reduce(moved)
    return moved.to(values.device)
