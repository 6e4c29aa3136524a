"""Settings of the machine that a run is on. They are environment variables, not params: changing them reruns nothing.

BOATYARD_DEVICE      cpu, cuda, cuda:1, …; default: cuda if there is one, else cpu
BOATYARD_ENGINE      onnx, torch (`boatyard.models.engines.registry`): runs networks; default: onnx on cpu, else torch
BOATYARD_WORKERS     threads that decode photos and run the CPU engine; default: the cores that this process may use
BOATYARD_PRECISION   fp32, bf16, fp16, of fine-tuning and engine torch; default: bf16 on cuda with bf16, else fp32
BOATYARD_PROCESSES   processes that share the work; default: one per GPU if the device is cuda, else one
"""

import ctypes
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from boatyard.core.errors import UserError

_PREFIX = "BOATYARD_"
_NAMES = ("DEVICE", "ENGINE", "WORKERS", "PRECISION", "PROCESSES")


@dataclass(frozen=True)
class Machine:
    """The settings as values; `read` takes them from the environment."""

    device: str = "cpu"
    engine: str | None = None  # the default; a name is unchecked until `boatyard.models.engines.registry.resolve`
    precision: str = "fp32"
    workers: int = 1
    processes: int = 1

    @property
    def kind(self) -> str:
        """The device without its number: 'cpu', 'cuda', …"""
        return kind(self.device)


def read() -> Machine:
    """The settings of the environment, with defaults that suit the machine; a `UserError` if one is not possible."""
    chosen = device()
    return Machine(chosen, _setting("ENGINE"), precision(chosen), workers(), processes(chosen))


def workers() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return _count("WORKERS", cores)


def device() -> str:
    """The device that runs networks. Torch, which takes seconds to import, is asked only if there may be a GPU."""
    value = _setting("DEVICE")
    if value == "cpu" or (value is None and not _may_have_gpu()):
        return "cpu"
    import torch

    if value is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=value).cpu()
    except (RuntimeError, AssertionError) as error:
        reason = str(error).split("\n")[0][:200]
        raise UserError(f"BOATYARD_DEVICE is {value!r}, which torch can't use here ({reason}); try cpu") from None
    return value


def precision(device: str) -> str:
    value = _setting("PRECISION")
    if value is None:
        if kind(device) != "cuda":
            return "fp32"
        import torch

        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if value not in ("fp32", "bf16", "fp16"):
        raise UserError(f"BOATYARD_PRECISION is {value!r}; set it to fp32, bf16 or fp16, or unset it")
    if value == "fp16" and kind(device) != "cuda":
        raise UserError(f"BOATYARD_PRECISION is fp16, which needs cuda, but the device is {device}; set fp32 or bf16")
    return value


def processes(device: str) -> int:
    if kind(device) != "cuda":
        return _count("PROCESSES", 1)
    import torch

    gpus = torch.cuda.device_count()
    count = _count("PROCESSES", max(1, gpus) if device == "cuda" else 1)
    if count > 1 and (device != "cuda" or count > gpus):
        raise UserError(
            f"BOATYARD_PROCESSES is {count}, but each needs a GPU and the machine has {gpus}: lower it, and set "
            "BOATYARD_DEVICE to cuda"
        )
    return count


def kind(device: str) -> str:
    return device.split(":", 1)[0]


def _may_have_gpu() -> bool:
    """Whether there may be a device that torch calls cuda: that takes a driver of NVIDIA or AMD, or Windows below."""
    if sys.platform != "linux":
        return True
    try:
        ctypes.CDLL("libcuda.so.1")  # as torch itself finds it
    except OSError:
        return any(Path(device).exists() for device in ("/dev/kfd", "/dev/dxg"))
    return True


def _count(name: str, default: int) -> int:
    value = _setting(name)
    if value is None:
        return default
    if not value.isdecimal() or int(value) < 1:
        raise UserError(f"BOATYARD_{name} is {value!r}; set it to a positive integer, or unset it")
    return int(value)


def _setting(name: str) -> str | None:
    """The value of a setting, if it is set. A misspelt variable would be silently ignored, so none is accepted."""
    for variable in sorted(os.environ):
        if variable.startswith(_PREFIX) and variable.removeprefix(_PREFIX) not in _NAMES:
            import difflib

            close = difflib.get_close_matches(variable.removeprefix(_PREFIX), _NAMES, n=1)
            known = ", ".join(_PREFIX + name for name in _NAMES)
            advice = f"did you mean {_PREFIX}{close[0]}?" if close else f"the settings are {known}"
            raise UserError(f"{variable} is set, but there is no such setting; {advice}")
    return os.environ.get(_PREFIX + name)
