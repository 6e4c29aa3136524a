import ctypes
import os
import sys
from pathlib import Path

import pytest
import torch

from boatyard.core import machine
from boatyard.core.errors import UserError


def error_for(monkeypatch: pytest.MonkeyPatch, name: str, value: str, *arguments: str) -> str:
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
    with pytest.raises(UserError, match=r"each needs a GPU and the machine has 2: .* BOATYARD_DEVICE to cuda"):
        machine.processes("cuda:1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(
        UserError, match="BOATYARD_PROCESSES is 2, but each needs a GPU and the machine has 1: lower it"
    ):
        machine.processes("cuda")


@pytest.mark.parametrize("value", ["", "0", "-1", "2.5", "two", " 2", "²"])
def test_values_that_are_not_positive_integers(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    for name, arguments in (("WORKERS", ()), ("PROCESSES", ("cpu",))):
        assert error_for(monkeypatch, name, value, *arguments) == (
            f"BOATYARD_{name} is {value!r}; set it to a positive integer, or unset it"
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
    monkeypatch.setattr(sys, "platform", "win32")  # where there is no check for a driver
    with pytest.raises(AssertionError):
        machine.device()


def drivers(monkeypatch: pytest.MonkeyPatch, present: str | None) -> None:
    """Let this machine seem to have one of the GPU drivers, or none."""

    def load(name: str) -> None:
        assert name == "libcuda.so.1"
        if present != name:
            raise OSError(f"{name}: cannot open shared object file: No such file or directory")

    monkeypatch.setattr(ctypes, "CDLL", load)
    monkeypatch.setattr(Path, "exists", lambda path: str(path) == present)


@pytest.mark.parametrize("value", ["", "gpu", "cuda:99", "meta"])
def test_a_device_that_the_machine_lacks(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    message = error_for(monkeypatch, "DEVICE", value)
    assert message.startswith(f"BOATYARD_DEVICE is {value!r}, which torch can't use here (")
    assert message.endswith("); try cpu")
    assert "\n" not in message


def test_the_engine_is_passed_on_unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOATYARD_DEVICE", "cpu")
    assert machine.read().engine is None
    monkeypatch.setenv("BOATYARD_ENGINE", "tensorrt")
    assert machine.read().engine == "tensorrt"


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("BOATYARD_WORKER", "did you mean BOATYARD_WORKERS?"),
        ("BOATYARD_DEVIC", "did you mean BOATYARD_DEVICE?"),
        ("BOATYARD_PRECISON", "did you mean BOATYARD_PRECISION?"),
        ("BOATYARD_BATCH_SIZE", "the settings are BOATYARD_DEVICE, BOATYARD_ENGINE, BOATYARD_WORKERS, "),
    ],
)
def test_a_misspelt_setting_is_an_error_wherever_one_is_read(
    name: str, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "")
    for read in (
        machine.read,
        machine.workers,
        machine.device,
        lambda: machine.precision("cpu"),
        lambda: machine.processes("cpu"),
    ):
        with pytest.raises(UserError) as caught:
            read()
        assert str(caught.value).startswith(f"{name} is set, but there is no such setting; {advice}")
        assert "\n" not in str(caught.value)


def test_the_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.precision("cpu") == "fp32"
    for supported, precision in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda supported=supported, **_: supported)
        assert machine.precision("cuda:1") == precision
        assert machine.precision("cpu") == "fp32"
    monkeypatch.setenv("BOATYARD_PRECISION", "fp16")
    assert machine.precision("cuda") == "fp16"
    assert error_for(monkeypatch, "PRECISION", "fp8", "cuda") == (
        "BOATYARD_PRECISION is 'fp8'; set it to fp32, bf16 or fp16, or unset it"
    )
    assert error_for(monkeypatch, "PRECISION", "fp16", "cpu") == (
        "BOATYARD_PRECISION is fp16, which needs cuda, but the device is cpu; set fp32 or bf16"
    )
