"""The metadata of a model file, read without torch, and the part of a model that is in another file.

A model is one self-contained file, or two: the backbone's weights, which stay the same while it is frozen, are then in
a second file of the same folder. The metadata name that file and have its SHA-256.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, BinaryIO

from pydantic import Field, TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open

from boatyard.core.errors import UserError
from boatyard.core.file_names import label_problem
from boatyard.images.views import RESAMPLING, Preprocessing, Recipe
from boatyard.params.schema import Augment

FORMAT, SPLIT_FORMAT = 2, 3  # 2: self-contained; 3: in two files
_BACKBONE_FORMAT = "backbone"  # of the second file
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


@dataclass(frozen=True)
class Part:
    """The file with the backbone's weights, in the folder of the model file.

    Attributes:
        file: its name.
        sha256: of its content, in hexadecimal.
    """

    file: str
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


_HEADER, _PART = TypeAdapter(Header), TypeAdapter(Part)


def encode(header: Header, part: Part | None = None) -> dict[str, str]:
    """The metadata of a model file, which is self-contained if there is no `part`."""
    content = {"format": FORMAT, **asdict(header)}
    if part:
        content |= {"format": SPLIT_FORMAT, "part": asdict(part)}
    return {KEY: json.dumps(content, sort_keys=True, ensure_ascii=False)}


def encode_backbone(name: str) -> dict[str, str]:
    """The metadata of a safetensors file with nothing but a backbone's weights."""
    return {KEY: json.dumps({"format": _BACKBONE_FORMAT, "backbone": name})}


def is_model(path: Path) -> bool:
    """Whether a file is a safetensors file with metadata of Boatyard."""
    try:
        with safe_open(path, framework="numpy") as file:
            return KEY in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


def read(path: Path) -> Header:
    """The header of a model file; see `read_all`."""
    return read_all(path)[0]


def read_all(path: Path) -> tuple[Header, Part | None]:
    """The metadata of a model file.

    Raises:
        UserError: there is no such file, or it is not a model in a format of this version of Boatyard.
    """
    check_is_file(path)
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: run `dvc repro` to train it, or `dvc pull` to fetch it") from None
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is not a safetensors file ({str(error)[:200]}): train or fetch it again") from None
    return decode(metadata, str(path))


def check_is_file(model: Path) -> None:
    """Raise a UserError for a pipe or a device, which could be read forever. What reads a file reports the rest."""
    if model.exists() and not (model.is_file() or model.is_dir()):
        raise UserError(f"{model} is not a file: name the model file, such as models/model.onnx")


def decode(metadata: Mapping[str, str], source: str) -> tuple[Header, Part | None]:
    """The content of a model file's metadata; `source` names the file in an error."""
    if KEY not in metadata:
        raise UserError(f"{source} has no Boatyard metadata: it was written by another tool; train a model here")
    try:
        content = json.loads(metadata[KEY])
        version = content["format"]
        if version in (FORMAT, SPLIT_FORMAT):
            header = _HEADER.validate_json(metadata[KEY], strict=True)
            _check(header)
            if version == FORMAT:
                return header, None
            part = _PART.validate_python(content["part"])
            # A name, never a path, whichever system it is read on.
            if label_problem(part.file) or "\\" in part.file or ":" in part.file:
                raise ValueError("part.file is not a file name")
            return header, part
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        reason = str(error)
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise UserError(f"{source} has damaged metadata ({reason[:200]}): train or fetch the model again") from None
    if version == _BACKBONE_FORMAT:
        raise UserError(f"{source} is only the backbone of a model: name the model file instead")
    raise UserError(
        f"{source} has format {str(version)[:20]}, but this version reads {FORMAT} and {SPLIT_FORMAT}: "
        "use the version that wrote it"
    )


@contextmanager
def opened(part: Part, model: Path) -> Iterator[BinaryIO]:
    """The part of the model file `model`, opened after its SHA-256 was checked.

    Raises:
        UserError: it is missing, or is the part of another model.
    """
    path = model.with_name(part.file)
    if not path.is_file():  # a pipe or a device could be read forever
        problem = "is not a file" if path.exists() else "is missing"
        raise UserError(
            f"{model} needs {path}, which {problem}: run `dvc pull {path}`, or copy it from where the model came from"
        )
    try:
        file = path.open("rb")
    except OSError as error:
        raise UserError(f"{model} needs {path}, which can't be read ({error.strerror}): fix its permissions") from None
    with file:
        if hashlib.file_digest(file, "sha256").hexdigest() != part.sha256:
            raise UserError(
                f"{model} needs another {path}, this one is damaged or of another model: run `dvc pull --force {model} "
                f"{path}`, or copy both from where the model came from"
            )
        file.seek(0)
        yield file


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
