"""The metadata of a model file, read without torch."""

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
# One key with JSON inside: safetensors writes metadata keys in random order, and the bytes of the file would vary.
KEY = "boatyard"
HEAD = "head."  # prefix of the names of the head's tensors


@dataclass(frozen=True)
class Header:
    """A model's metadata.

    Attributes:
        classes: in the order of the network's outputs.
        backbone: its name, as in params.yaml.
        hidden, dropout: of the head.
        preprocessing: of the views that the network takes.
        temperature: fitted on validation; the logits are divided by it.
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
        """How the views of a photo are drawn for this model.

        Raises:
            UserError: the header lacks the settings of its training.
        """
        try:
            augment, seed = Augment.model_validate(self.params["augment"]), int(self.params["seed"])
        except (KeyError, ValueError, TypeError):
            raise UserError("the model's header lacks its augmentation settings: train it again") from None
        return Recipe(self.preprocessing, augment, seed)


_HEADER = TypeAdapter(Header)


def encode(header: Header) -> dict[str, str]:
    """The metadata of a safetensors file."""
    return {KEY: json.dumps({"format": FORMAT, **asdict(header)}, sort_keys=True, ensure_ascii=False)}


def read(path: Path) -> Header:
    """Read the metadata of a model file.

    Raises:
        UserError: there is no such file, or it is not a model in the format of this version of Boatyard.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: run `dvc repro` to train it, or `dvc pull` to fetch it") from None
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is not a safetensors file ({str(error)[:200]}): train or fetch it again") from None
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
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        reason = str(error)
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise UserError(f"{source} has damaged metadata ({reason[:200]}): train or fetch the model again") from None
    raise UserError(
        f"{source} has format {str(version)[:20]}, but this version reads {FORMAT}: use the version that wrote it"
    )


def _check(header: Header) -> None:
    """Raise ValueError for a network that can't be built, or would take forever."""
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


def check_head(file: Any, header: Header) -> int:
    """Check that an opened model file has the head that its header describes; no tensor is read.

    Returns:
        The dimension of the embeddings that the head takes.

    Raises:
        ValueError: it is another head.
    """
    slices = {name: file.get_slice(name) for name in file.keys() if name.startswith(HEAD)}  # noqa: SIM118
    shapes = {name: part.get_shape() for name, part in slices.items()}
    layers = [("hidden", header.hidden)] if header.hidden else []
    layers.append(("classes", len(header.classes)))
    first = shapes.get(f"{HEAD}{layers[0][0]}.weight", [])
    width = inputs = first[1] if len(first) == 2 and first[1] else 1
    expected: dict[str, list[int]] = {}
    for layer, outputs in layers:
        expected |= {f"{HEAD}{layer}.weight": [outputs, inputs], f"{HEAD}{layer}.bias": [outputs]}
        inputs = outputs
    for name in [*expected, *shapes]:
        shape, described = shapes.get(name, "none"), expected.get(name, "none")
        if shape != described:
            raise ValueError(f"{name} has shape {shape}, but the header says {described}")
        if slices[name].get_dtype() != "F32":
            raise ValueError(f"{name} is {slices[name].get_dtype()}, but must be F32")
    return width


def mismatch(path: Path, error: Exception) -> UserError:
    """The error for a model file with weights that do not match its header."""
    reason = " ".join(str(error).split())[-200:]
    return UserError(f"{path} does not contain the network that its header describes ({reason}): train it again")
