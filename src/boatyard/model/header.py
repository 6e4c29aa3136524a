"""What a model file says of itself, read from the safetensors header without torch."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from boatyard.data.views import Preprocessing
from boatyard.errors import UserError

FORMAT = 1
# One key with JSON inside: safetensors writes several metadata keys in no fixed order, and the file's bytes would vary.
KEY = "boatyard"


@dataclass(frozen=True)
class Header:
    """A model's metadata.

    Attributes:
        classes: in the order of the network's outputs.
        backbone: its name in params.yaml.
        hidden, dropout: of the head.
        preprocessing: of the views that the network takes.
        params: the sections of params.yaml that it was trained with.
    """

    classes: list[str]
    backbone: str
    hidden: int
    dropout: float
    preprocessing: Preprocessing
    params: dict[str, Any]


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
        raise UserError(f"{path} is no safetensors file ({error}): train or fetch it again") from None
    return decode(metadata, str(path))


def decode(metadata: Mapping[str, str], source: str) -> Header:
    """The header in a file's metadata; `source` names the file in an error."""
    if KEY not in metadata:
        raise UserError(f"{source} has no Boatyard metadata: it was written by another tool; train a model here")
    try:
        content = json.loads(metadata[KEY])
        version = content.pop("format")
        if version != FORMAT:
            raise UserError(
                f"{source} has format {version}, this version reads {FORMAT}: use the version that wrote it"
            )
        preprocessing = content.pop("preprocessing")
        for channels in ("mean", "std"):
            preprocessing[channels] = tuple(preprocessing[channels])
        return Header(preprocessing=Preprocessing(**preprocessing), **content)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{source} has damaged metadata ({error}): train or fetch the model again") from None
