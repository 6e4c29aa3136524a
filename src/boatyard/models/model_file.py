"""A model file, read without torch: what it says of itself, its head, and what tells its backbone from others."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError, safe_open

from boatyard.models import model_header
from boatyard.models.fingerprint import fingerprint
from boatyard.models.frozen_backbone import FrozenBackbone
from boatyard.models.head import Head
from boatyard.models.model_header import HEAD, Header

if TYPE_CHECKING:
    from boatyard.models.network import Embedder

_BODY = "embedder."


@dataclass(frozen=True)
class ModelFile:
    """A model file.

    Attributes:
        about: its header.
        head: its head.
        frozen: its backbone, not built before it is to run.
    """

    about: Header
    head: Head
    frozen: FrozenBackbone


def read(path: Path) -> ModelFile:
    """Read models/model.safetensors.

    Raises:
        UserError: the file is missing or damaged, or its head does not fit its header; or, once the backbone is built,
            its weights do not.
    """
    about = model_header.read(path)

    def network() -> "Embedder":
        from boatyard.models import checkpoint

        return checkpoint.load(path)[0].embedder

    try:
        with safe_open(path, framework="numpy") as file:
            width = model_header.head_width(file, about)
            names = list(file.keys())
            head = Head(
                {name.removeprefix(HEAD): file.get_tensor(name) for name in names if name.startswith(HEAD)},
                about.temperature,
            )
            for name, array in head.weights.items():
                if not np.isfinite(array).all():
                    raise ValueError(f"{HEAD}{name} holds NaN or infinity")
            if other := [name for name in names if not name.startswith((HEAD, _BODY))]:
                raise ValueError(f"{other[0]!r} is no part of it")
            # One at a time: a backbone's weights may be gigabytes.
            body = ((name.removeprefix(_BODY), file.get_tensor(name)) for name in names if name.startswith(_BODY))
            frozen = FrozenBackbone(fingerprint(about.backbone, about.preprocessing, width, body), width, network)
    except (SafetensorError, ValueError, TypeError, AttributeError, OSError) as error:  # NumPy lacks some types
        raise model_header.misfit(path, error) from None
    return ModelFile(about, head, frozen)
