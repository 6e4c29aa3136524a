"""The state of fine-tuning after an epoch: a safetensors file from which a killed run, or a longer one, continues.

Its metadata is JSON under one key (`_Content`). Its tensors, by the names of the network's:

    last.<name>              after the last epoch: everything but frozen parameters
    best.<name>              after the best epoch, unless that is the last one or the head alone is better
    optimiser.<key>.<name>   the optimiser's, by parameter

A finished run that no setting could continue has no tensors, and one without fine-tuning has no epochs either.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter
from safetensors import SafetensorError, safe_open
from torch import Tensor

from boatyard.core.files import replacing
from boatyard.models.model_file import write_tensors
from boatyard.params.schema import Finetune
from boatyard.training.history import Epoch
from boatyard.training.optimisation import EarlyStopping, rate

_KEY = "boatyard_finetuning"


@dataclass(frozen=True)
class State:
    """Fine-tuning after an epoch.

    Attributes:
        run: identifies everything that decides an epoch's result, except its learning rate.
        history: the epochs of fine-tuning so far.
        scaler: the state of the gradient scaler; empty unless in half precision.
        file: has the tensors; None: there are none.
    """

    run: str = ""
    history: Sequence[Epoch] = ()
    scaler: Mapping[str, int | float] = field(default_factory=dict)
    file: Path | None = None

    def tensors(self) -> dict[str, Tensor]:
        """The tensors by name, on the CPU."""
        if self.file is None:
            return {}
        with safe_open(self.file, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


@dataclass(frozen=True)
class _Content:
    format: Literal[1]
    run: str
    history: list[Epoch]
    scaler: dict[str, int | float]
    checksum: str  # of all of the above and the tensors


_CONTENT = TypeAdapter(_Content)


def write(path: Path, state: State, tensors: Mapping[str, Tensor]) -> None:
    """Write a state with these tensors; the same state gives the same bytes.

    Raises:
        UserError: the file can't be written.
    """
    arrays = {name: tensors[name].detach().cpu().contiguous().numpy() for name in sorted(tensors)}
    checksum = _checksum(state, arrays.items())
    content = _Content(1, state.run, list(state.history), dict(state.scaler), checksum)
    write_tensors(path, arrays, {_KEY: json.dumps(asdict(content), sort_keys=True)})


def read(path: Path) -> State:
    """Read a state, and verify its checksum.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or is not a state of this version of Boatyard.
    """
    path.open("rb").close()  # safetensors reports every file that it can't open as missing
    try:
        with safe_open(path, framework="numpy") as file:
            content = _CONTENT.validate_json((file.metadata() or {}).get(_KEY, ""), strict=True)
            names = sorted(file.keys())
            state = State(content.run, content.history, content.scaler, path if names else None)
            checksum = _checksum(state, ((name, file.get_tensor(name)) for name in names))
    except (SafetensorError, OSError) as error:
        raise ValueError(str(error)) from None
    if checksum != content.checksum:
        raise ValueError("its checksum is wrong")
    return state


def copy(state: State, path: Path) -> None:
    """Write a state that was read, or that has no tensors, to another file.

    Raises:
        UserError: the file can't be written.
    """
    if state.file is None:
        write(path, state, {})
        return
    with replacing(path) as temporary:
        shutil.copyfile(state.file, temporary)


def _checksum(state: State, arrays: Iterable[tuple[str, NDArray[np.generic]]]) -> str:
    text = json.dumps([state.run, [asdict(epoch) for epoch in state.history], dict(state.scaler)], sort_keys=True)
    digest = hashlib.blake2b(text.encode(), digest_size=16)
    for name, array in arrays:
        digest.update(f"{name} {array.shape} {array.dtype}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def why_not(state: State, run: str, before: Epoch, settings: Finetune) -> str:
    """The reason why a run does not continue another; '' if that gives the bytes of a run from the first epoch.

    Args:
        state: of the other run, or of this one before it was killed.
        run: identifies this run, as in `State`.
        before: the epoch of head training before the first one of fine-tuning.
        settings: of this run.
    """
    if state.run != run:
        return "other settings, photos, weights or code, or another kind of machine"
    count = len(state.history)
    if count > settings.epochs:
        return f"it has {count} epochs, and finetune.epochs is {settings.epochs}"
    for number, epoch in enumerate(state.history, start=1):
        if epoch.lr != settings.lr * rate(settings.schedule, number, settings.epochs, settings.warmup):
            return (
                f"the {settings.schedule} schedule over {settings.epochs} epochs differs from epoch {epoch.epoch} on; "
                "with finetune.schedule: constant it would continue"
            )
    stopping = EarlyStopping(settings.patience)
    stopping.improves(0, before.validation_loss)
    for number, epoch in enumerate(state.history, start=1):
        if stopping.stops_after(number - 1):
            return f"it has {count} epochs, and finetune.patience: {settings.patience} stops after {number - 1}"
        stopping.improves(number, epoch.validation_loss)
    return "" if state.file else f"the weights of a finished run with the {settings.schedule} schedule are not stored"


def can_continue(settings: Finetune, count: int) -> bool:
    """Whether raising finetune.epochs or finetune.patience could continue a run that ended after `count` epochs."""

    def factors(epochs: int) -> list[float]:
        return [rate(settings.schedule, epoch, epochs, settings.warmup) for epoch in range(1, count + 1)]

    return count < settings.epochs or factors(settings.epochs) == factors(settings.epochs + 1)
