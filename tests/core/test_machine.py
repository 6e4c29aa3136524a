import ctypes
import os
import sys
from pathlib import Path

import pytest
import torch

from boatyard.core import machine
from boatyard.core.errors import UserError


def refusal(monkeypatch: pytest.MonkeyPatch, name: str, value: str, *arguments: str) -> str:
    monkeypatch.setenv(f"BOATYARD_{name}", value)
    with pytest.raises(UserError) as caught:
        getattr(machine, name.lower())(*arguments)
    monkeypatch.delenv(f"BOATYARD_{name}")
    return str(caught.value)


def test_workers_are_the_cores_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    assert machine.workers() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert machine.workers() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert machine.workers() == 1


def test_counts_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOATYARD_WORKERS", "7")
    monkeypatch.setenv("BOATYARD_PROCESSES", "2")
    assert machine.workers() == 7
    assert machine.processes("cpu") == 2
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert machine.processes("cuda") == 2
    with pytest.raises(UserError, match=r"each takes a GPU, of 2: .* BOATYARD_DEVICE to cuda"):
        machine.processes("cuda:1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UserError, match="BOATYARD_PROCESSES is 2, and each takes a GPU, of 1: set it lower"):
        machine.processes("cuda")


@pytest.mark.parametrize("value", ["", "0", "-1", "2.5", "two", " 2", "²"])
def test_counts_that_are_none(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    for name, arguments in (("WORKERS", ()), ("PROCESSES", ("cpu",))):
        assert refusal(monkeypatch, name, value, *arguments) == (
            f"BOATYARD_{name} is {value!r}; set it to a whole number from 1, or unset it"
        )


def test_a_process_for_each_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert (machine.processes("cuda"), machine.processes("cuda:1"), machine.processes("cpu")) == (4, 1, 1)


@pytest.mark.parametrize("driver", ["libcuda.so.1", "/dev/kfd", "/dev/dxg"])
def test_the_device(driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    drivers(monkeypatch, driver)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert machine.device() == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert machine.device() == "cuda"
    monkeypatch.setenv("BOATYARD_DEVICE", "cpu")
    assert machine.device() == "cpu"


def test_without_a_driver_torch_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked() -> bool:
        raise AssertionError

    monkeypatch.setattr(torch.cuda, "is_available", asked)
    drivers(monkeypatch, None)
    assert machine.device() == "cpu"
    monkeypatch.setattr(sys, "platform", "win32")  # where it is not known how to tell
    with pytest.raises(AssertionError):
        machine.device()


def drivers(monkeypatch: pytest.MonkeyPatch, there: str | None) -> None:
    """Pretend that one of the GPU drivers is on this machine, or none."""

    def load(name: str) -> None:
        assert name == "libcuda.so.1"
        if there != name:
            raise OSError(f"{name}: cannot open shared object file: No such file or directory")

    monkeypatch.setattr(ctypes, "CDLL", load)
    monkeypatch.setattr(Path, "exists", lambda path: str(path) == there)


@pytest.mark.parametrize("value", ["", "gpu", "cuda:99", "meta"])
def test_a_device_that_is_not_here(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    told = refusal(monkeypatch, "DEVICE", value)
    assert told.startswith(f"BOATYARD_DEVICE is {value!r}, which torch can't use here (")
    assert told.endswith("); try cpu")
    assert "\n" not in told


def test_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (machine.engine("cpu"), machine.engine("cuda"), machine.engine("cuda:1")) == ("onnx", "torch", "torch")
    monkeypatch.setenv("BOATYARD_ENGINE", "torch")
    assert machine.engine("cpu") == "torch"
    assert refusal(monkeypatch, "ENGINE", "tensorrt", "cpu") == (
        "BOATYARD_ENGINE is 'tensorrt'; set it to onnx or torch, or unset it"
    )
    assert refusal(monkeypatch, "ENGINE", "onnx", "cuda:1") == (
        "BOATYARD_ENGINE is onnx, which runs on the cpu alone, and the device is cuda:1; change either"
    )


def test_the_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.precision("cpu") == "fp32"
    for supported, precision in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda supported=supported, **_: supported)
        assert machine.precision("cuda:1") == precision
        assert machine.precision("cpu") == "fp32"
    monkeypatch.setenv("BOATYARD_PRECISION", "fp16")
    assert machine.precision("cuda") == "fp16"
    assert refusal(monkeypatch, "PRECISION", "fp8", "cuda") == (
        "BOATYARD_PRECISION is 'fp8'; set it to fp32, bf16 or fp16, or unset it"
    )
    assert refusal(monkeypatch, "PRECISION", "fp16", "cpu") == (
        "BOATYARD_PRECISION is fp16, which needs cuda, and the device is cpu; set fp32 or bf16"
    )
