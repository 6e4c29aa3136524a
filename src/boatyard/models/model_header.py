"""What a model file says of itself, read from the safetensors header without torch."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open

from boatyard.core.errors import UserError
from boatyard.core.file_names import label_problem
from boatyard.images.views import RESAMPLING, Preprocessing, Recipe
from boatyard.params.schema import Augment

FORMAT = 2  # 2: temperature
# One key with JSON inside: safetensors writes several metadata keys in no fixed order, and the file's bytes would vary.
KEY = "boatyard"
HEAD = "head."  # what the names of the head's tensors begin with


@dataclass(frozen=True)
class Header:
    """A model's metadata.

    Attributes:
        classes: in the order of the network's outputs.
        backbone: its name in params.yaml.
        hidden, dropout: of the head.
        preprocessing: of the views that the network takes.
        temperature: that the logits are divided by, fitted on validation.
        params: the sections of params.yaml that it was trained with.
    """

    classes: list[str]
    backbone: str
    hidden: int
    dropout: float
    preprocessing: Preprocessing
    temperature: float
    params: dict[str, Any]

    def recipe(self) -> Recipe:
        """How the views of photos are drawn that it is asked about.

        Raises:
            UserError: the settings that it was trained with are not there.
        """
        try:
            augment, seed = Augment.model_validate(self.params["augment"]), int(self.params["seed"])
        except (KeyError, ValueError, TypeError):
            raise UserError("the model's header does not say how its photos were augmented: train it again") from None
        return Recipe(self.preprocessing, augment, seed)


_HEADER = TypeAdapter(Header)


def encode(header: Header) -> dict[str, str]:
    """The metadata of a safetensors file."""
    return {KEY: json.dumps({"format": FORMAT, **asdict(header)}, sort_keys=True, ensure_ascii=False)}


def read(path: Path) -> Header:
    """Read the metadata of a model file.

    Raises:
        UserError: there is no such file, or it is not a model that this version of Boatyard wrote.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
    except FileNotFoundError:
        raise UserError(f"{path} is not here: run `dvc repro` to train it, or `dvc pull` to fetch it") from None
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is no safetensors file ({str(error)[:200]}): train or fetch it again") from None
    return decode(metadata, str(path))


def decode(metadata: Mapping[str, str], source: str) -> Header:
    """The header in a file's metadata; `source` names the file in an error."""
    if KEY not in metadata:
        raise UserError(f"{source} has no Boatyard metadata: it was written by another tool; train a model here")
    try:
        version = json.loads(metadata[KEY])["format"]
        if version == FORMAT:
            header = _HEADER.validate_json(metadata[KEY], strict=True)
            _check(header)
            return header
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise _damaged(source, f"{place}: {first['msg']}") from None
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _damaged(source, str(error)) from None
    raise UserError(
        f"{source} has format {str(version)[:20]}, this version reads {FORMAT}: use the version that wrote it"
    )


def _check(header: Header) -> None:
    """Raise ValueError for what could not be built or would not end."""
    view = header.preprocessing
    wrong = {
        "classes": len(header.classes) < 2
        or len(set(header.classes)) < len(header.classes)
        or any(map(label_problem, header.classes)),
        "hidden": not 0 <= header.hidden <= 16384,
        "dropout": not 0 <= header.dropout < 1,
        "temperature": not 0 < header.temperature < math.inf,
        "preprocessing.size": not 1 <= view.size <= 4096,
        "preprocessing.crop": view.crop != "squash" and not 0 < view.crop <= 1,
        "preprocessing.interpolation": view.interpolation not in RESAMPLING,
        "preprocessing.mean": not all(map(math.isfinite, view.mean)),
        "preprocessing.std": not all(0 < value < math.inf for value in view.std),
    }
    for name, is_wrong in wrong.items():
        if is_wrong:
            raise ValueError(f"{name} is out of range")


def head_width(file: Any, about: Header) -> int:
    """Numbers of an embedding that the head in an opened model file takes; no tensor is read.

    Raises:
        ValueError: it is not the head that the header describes.
    """
    slices = {name: file.get_slice(name) for name in file.keys() if name.startswith(HEAD)}  # noqa: SIM118
    shapes = {name: part.get_shape() for name, part in slices.items()}
    layers = [("hidden", about.hidden)] if about.hidden else []
    layers.append(("classes", len(about.classes)))
    first = shapes.get(f"{HEAD}{layers[0][0]}.weight", [])
    width = inputs = first[1] if len(first) == 2 and first[1] else 1
    expected: dict[str, list[int]] = {}
    for layer, outputs in layers:
        expected |= {f"{HEAD}{layer}.weight": [outputs, inputs], f"{HEAD}{layer}.bias": [outputs]}
        inputs = outputs
    for name in [*expected, *shapes]:
        there, meant = shapes.get(name, "none"), expected.get(name, "none")
        if there != meant:
            raise ValueError(f"{name} has the shape {there}, and the header says {meant}")
        if slices[name].get_dtype() != "F32":
            raise ValueError(f"{name} holds {slices[name].get_dtype()}, where float32 was written")
    return width


def misfit(path: Path, error: Exception) -> UserError:
    """That a model file's weights do not fit its header, in one line."""
    reason = " ".join(str(error).split())[-200:]
    return UserError(f"{path} does not hold the network that its header names ({reason}): train it again")


def _damaged(source: str, reason: str) -> UserError:
    return UserError(f"{source} has damaged metadata ({reason[:200]}): train or fetch the model again")
