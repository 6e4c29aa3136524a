"""Settings of the machine that a run is on. Environment variables, not params: a change of them reruns nothing.

BOATYARD_DEVICE      cpu, cuda, cuda:1, …   default: cuda where there is one, else cpu
BOATYARD_ENGINE      onnx, torch            default: onnx on cpu, torch on cuda
BOATYARD_WORKERS     threads that decode photos and run the CPU engine; default: the cores that this process may use
BOATYARD_PRECISION   fp32, bf16, fp16       of fine-tuning and engine torch; default: bf16 on cuda that has it, or fp32
BOATYARD_PROCESSES   processes that share the work; default: one for each GPU where the device is cuda, else one
"""

import ctypes
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from boatyard.core.errors import UserError


@dataclass(frozen=True)
class Machine:
    """The settings as values; `read` takes them from the environment.

    Attributes:
        device: as torch names it.
        engine: 'onnx' or 'torch'.
        precision: of fine-tuning and of the engine 'torch': 'fp32', 'bf16' or 'fp16'.
        workers: threads that decode photos and run the CPU engine.
        processes: how many share a stage's work on this machine.
    """

    device: str = "cpu"
    engine: str = "onnx"
    precision: str = "fp32"
    workers: int = 1
    processes: int = 1

    @property
    def kind(self) -> str:
        """'cpu', 'cuda', …: the device without its number."""
        return kind(self.device)

    @property
    def backbone_precision(self) -> str:
        """Of the frozen backbone: under 'onnx' it is 'fp32', whatever is set."""
        return self.precision if self.engine == "torch" else "fp32"


def read() -> Machine:
    """The settings of the environment, and defaults that suit the machine.

    Raises:
        UserError: a setting has a value that it can't have here.
    """
    chosen = device()
    return Machine(chosen, engine(chosen), precision(chosen), workers(), processes(chosen))


def workers() -> int:
    """How many threads may work at once."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return _count("BOATYARD_WORKERS", cores)


def device() -> str:
    """The device that runs the network, as torch names it.

    Torch, whose import takes seconds, is asked only where there may be a GPU.
    """
    value = os.environ.get("BOATYARD_DEVICE")
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


def engine(device: str) -> str:
    """Which engine runs the network on `device`: 'onnx' or 'torch'."""
    value = os.environ.get("BOATYARD_ENGINE", "onnx" if kind(device) == "cpu" else "torch")
    if value not in ("onnx", "torch"):
        raise UserError(f"BOATYARD_ENGINE is {value!r}; set it to onnx or torch, or unset it")
    if value == "onnx" and kind(device) != "cpu":
        raise UserError(
            f"BOATYARD_ENGINE is onnx, which runs on the cpu alone, and the device is {device}; change either"
        )
    return value


def precision(device: str) -> str:
    """The precision of fine-tuning and of the engine 'torch' on `device`: 'fp32', 'bf16' or 'fp16'."""
    default = "fp32"
    if kind(device) == "cuda":
        import torch

        default = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    value = os.environ.get("BOATYARD_PRECISION", default)
    if value not in ("fp32", "bf16", "fp16"):
        raise UserError(f"BOATYARD_PRECISION is {value!r}; set it to fp32, bf16 or fp16, or unset it")
    if value == "fp16" and kind(device) != "cuda":
        raise UserError(f"BOATYARD_PRECISION is fp16, which needs cuda, and the device is {device}; set fp32 or bf16")
    return value


def processes(device: str) -> int:
    """How many processes share a stage's views, and fine-tuning, on this machine: one for each GPU."""
    if kind(device) != "cuda":
        return _count("BOATYARD_PROCESSES", 1)
    import torch

    gpus = torch.cuda.device_count()
    count = _count("BOATYARD_PROCESSES", max(1, gpus) if device == "cuda" else 1)
    if count > 1 and (device != "cuda" or count > gpus):
        raise UserError(
            f"BOATYARD_PROCESSES is {count}, and each takes a GPU, of {gpus}: set it lower, and BOATYARD_DEVICE to cuda"
        )
    return count


def kind(device: str) -> str:
    """'cpu', 'cuda', …: a device without its number."""
    return device.split(":", 1)[0]


def _may_have_gpu() -> bool:
    """Whether one that torch calls cuda may be here: not without NVIDIA's driver, or AMD's, or Windows beneath."""
    if sys.platform != "linux":
        return True
    try:
        ctypes.CDLL("libcuda.so.1")  # as torch itself finds it
    except OSError:
        return any(Path(device).exists() for device in ("/dev/kfd", "/dev/dxg"))
    return True


def _count(name: str, default: int) -> int:
    value = os.environ.get(name, str(default))
    if not value.isdecimal() or int(value) < 1:
        raise UserError(f"{name} is {value!r}; set it to a whole number from 1, or unset it")
    return int(value)
