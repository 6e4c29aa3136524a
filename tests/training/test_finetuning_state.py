"""The file with the state of fine-tuning, and which runs continue from it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from finetuning_case import BEFORE, SETTINGS
from safetensors import safe_open
from safetensors.numpy import save_file

from boatyard.params.schema import Finetune
from boatyard.training import finetuning_state
from boatyard.training.finetuning_state import State, can_continue, why_not
from boatyard.training.history import Epoch
from boatyard.training.optimisation import rate

TENSORS = {"last.weight": torch.arange(6.0).reshape(2, 3), "optimiser.step.weight": torch.tensor(4.0)}


def settings(**changes: Any) -> Finetune:
    return Finetune.model_validate({**SETTINGS.model_dump(), "warmup": 0, "schedule": "constant", **changes})


def history(losses: list[float], how: Finetune) -> list[Epoch]:
    """The epochs of a run with these validation losses."""
    return [
        Epoch(9 + n, "finetune", 0.1, loss, 1.0, 0.5, how.lr * rate(how.schedule, n, how.epochs, how.warmup))
        for n, loss in enumerate(losses, start=1)
    ]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    state = State("run", history([1.5, 1 / 3], settings()), {"scale": 65536.0, "_growth_tracker": 3})
    finetuning_state.write(tmp_path / "state.safetensors", state, TENSORS)
    return tmp_path / "state.safetensors"


def test_a_state_comes_back_as_it_was_written(path: Path, tmp_path: Path) -> None:
    state = finetuning_state.read(path)

    assert state.run == "run"
    assert state.history == history([1.5, 1 / 3], settings())
    assert state.scaler == {"scale": 65536.0, "_growth_tracker": 3}
    assert isinstance(state.scaler["_growth_tracker"], int)
    assert {name: tensor.tolist() for name, tensor in state.tensors().items()} == {
        "last.weight": [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]],
        "optimiser.step.weight": 4.0,
    }
    finetuning_state.write(tmp_path / "again.safetensors", state, state.tensors())
    finetuning_state.copy(state, tmp_path / "copy.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()
    assert (tmp_path / "copy.safetensors").read_bytes() == path.read_bytes()


def test_a_state_without_tensors_is_small_and_comes_back(tmp_path: Path) -> None:
    for state in (State(), State("run", history([1.5], settings()))):
        finetuning_state.copy(state, tmp_path / "state.safetensors")
        read = finetuning_state.read(tmp_path / "state.safetensors")
        assert (read.run, list(read.history), read.file, read.tensors()) == (state.run, list(state.history), None, {})
        assert (tmp_path / "state.safetensors").stat().st_size < 1000


def test_no_file_is_not_a_damaged_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        finetuning_state.read(tmp_path / "state.safetensors")


def rewritten(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the metadata of a state, and leave the rest."""
    with safe_open(path, framework="numpy") as file:
        (key,) = file.metadata()
        content = json.loads(file.metadata()[key])
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(content)
    save_file(arrays, path, metadata={key: json.dumps(content)})


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 16
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-10]),
        lambda path: path.write_bytes(path.read_bytes() + b"more"),
        lambda path: path.write_bytes(bytes(path.stat().st_size)),
        lambda path: torch.save({"network": {}}, path),
        lambda path: save_file({"last.weight": np.zeros(1, np.float32)}, path),
        lambda path: flip(path, -1),
        lambda path: flip(path, -28),
        lambda path: rewritten(path, lambda content: content.update(format=2)),
        lambda path: rewritten(path, lambda content: content.update(run="other")),
        lambda path: rewritten(path, lambda content: content["history"][0].update(validation_loss=0.1)),
        lambda path: rewritten(path, lambda content: content["history"][0].update(phase="warmup")),
        lambda path: rewritten(path, lambda content: content["history"][0].pop("lr")),
        lambda path: rewritten(path, lambda content: content["scaler"].update(scale=1.0)),
        lambda path: rewritten(path, lambda content: content.pop("checksum")),
    ],
)
def test_a_damaged_state_is_detected(path: Path, damage: Callable[[Path], object]) -> None:
    damage(path)
    with pytest.raises(ValueError):  # noqa: PT011  whose message is safetensors', pydantic's or this module's
        finetuning_state.read(path)


def state(losses: list[float], how: Finetune) -> State:
    return State("run", history(losses, how), file=Path("state.safetensors"))


FALLING = [1.0, 0.9, 0.8, 0.7]


def test_a_run_with_more_epochs_or_more_patience_continues() -> None:
    assert why_not(state(FALLING, settings()), "run", BEFORE, settings(epochs=8)) == ""
    assert why_not(state(FALLING, settings()), "run", BEFORE, settings()) == ""
    stopped = state([1.0, 1.1, 1.2], settings(patience=2))
    assert why_not(stopped, "run", BEFORE, settings(patience=3)) == ""
    # A killed run, whatever the schedule.
    cosine = settings(schedule="cosine")
    assert why_not(state(FALLING[:2], cosine), "run", BEFORE, cosine) == ""


def test_a_run_of_other_settings_does_not_continue() -> None:
    assert why_not(state(FALLING, settings()), "other", BEFORE, settings(epochs=8)).startswith("other settings, photos")


def test_the_cosine_schedule_depends_on_the_number_of_epochs() -> None:
    cosine = settings(schedule="cosine")
    why = why_not(state(FALLING, cosine), "run", BEFORE, settings(schedule="cosine", epochs=8))
    assert why == (
        "the cosine schedule over 8 epochs differs from epoch 11 on; with finetune.schedule: constant it would continue"
    )
    # Not in its first epochs.
    warmed = settings(schedule="cosine", warmup=2)
    assert why_not(state(FALLING[:3], warmed), "run", BEFORE, settings(schedule="cosine", warmup=2, epochs=8)) == ""


def test_a_run_that_ends_earlier_does_not_continue() -> None:
    assert why_not(state(FALLING, settings()), "run", BEFORE, settings(epochs=3)) == (
        "it has 4 epochs, and finetune.epochs is 3"
    )
    rising = state([1.0, 1.1, 1.2, 0.9], settings())
    assert why_not(rising, "run", BEFORE, settings(patience=2)) == (
        "it has 4 epochs, and finetune.patience: 2 stops after 3"
    )
    assert why_not(rising, "run", BEFORE, settings(patience=3)) == ""
    # No epoch is better than the head alone.
    worse = state([3.0, 3.0], settings())
    assert (
        why_not(worse, "run", BEFORE, settings(patience=1)) == "it has 2 epochs, and finetune.patience: 1 stops after 1"
    )
    assert why_not(worse, "run", BEFORE, settings(patience=2)) == ""


def test_weights_are_kept_where_another_run_could_continue() -> None:
    cosine = settings(schedule="cosine")
    assert can_continue(settings(), 4)
    assert can_continue(cosine, 3)  # it stopped early
    assert not can_continue(cosine, 4)
    assert can_continue(settings(schedule="cosine", epochs=1), 1)  # at the full rate
    finished = State("run", history(FALLING, cosine))
    assert why_not(finished, "run", BEFORE, cosine) == (
        "the weights of a finished run with the cosine schedule are not stored"
    )
