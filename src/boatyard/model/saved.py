"""A model file, read without torch: what it says of itself, its head, and what tells its backbone from others."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open

from boatyard.model import header
from boatyard.model.frozen import Frozen, fingerprint
from boatyard.model.head_graph import Head
from boatyard.model.header import Header

if TYPE_CHECKING:
    from boatyard.model.network import Embedder

_HEAD, _BODY = "head.", "embedder."


@dataclass(frozen=True)
class Saved:
    """A model file.

    Attributes:
        about: its header.
        head: its head.
        frozen: its backbone, not built before it is to run.
    """

    about: Header
    head: Head
    frozen: Frozen


def read(path: Path) -> Saved:
    """Read models/model.safetensors.

    Raises:
        UserError: the file is missing or damaged, or its head does not fit its header; or, once the backbone is built,
            its weights do not.
    """
    about = header.read(path)

    def network() -> "Embedder":
        from boatyard.model import checkpoint

        return checkpoint.load(path)[0].embedder

    try:
        with safe_open(path, framework="numpy") as file:
            width = head_width(file, about)
            names = list(file.keys())
            head = Head(
                {name.removeprefix(_HEAD): file.get_tensor(name) for name in names if name.startswith(_HEAD)},
                about.temperature,
            )
            for name, array in head.weights.items():
                if not np.isfinite(array).all():
                    raise ValueError(f"{_HEAD}{name} holds NaN or infinity")
            if other := [name for name in names if not name.startswith((_HEAD, _BODY))]:
                raise ValueError(f"{other[0]!r} is no part of it")
            # One at a time: a backbone's weights may be gigabytes.
            body = ((name.removeprefix(_BODY), file.get_tensor(name)) for name in names if name.startswith(_BODY))
            frozen = Frozen(fingerprint(about.backbone, about.preprocessing, width, body), width, network)
    except (SafetensorError, ValueError, TypeError, AttributeError, OSError) as error:  # NumPy lacks some types
        raise header.misfit(path, error) from None
    return Saved(about, head, frozen)


def head_width(file: Any, about: Header) -> int:
    """Numbers of an embedding that the head in an opened model file takes; no tensor is read.

    Raises:
        ValueError: it is not the head that the header describes.
    """
    slices = {name: file.get_slice(name) for name in file.keys() if name.startswith(_HEAD)}  # noqa: SIM118
    shapes = {name: part.get_shape() for name, part in slices.items()}
    layers = [("hidden", about.hidden)] if about.hidden else []
    layers.append(("classes", len(about.classes)))
    first = shapes.get(f"{_HEAD}{layers[0][0]}.weight", [])
    width = inputs = first[1] if len(first) == 2 and first[1] else 1
    expected: dict[str, list[int]] = {}
    for layer, outputs in layers:
        expected |= {f"{_HEAD}{layer}.weight": [outputs, inputs], f"{_HEAD}{layer}.bias": [outputs]}
        inputs = outputs
    for name in [*expected, *shapes]:
        there, meant = shapes.get(name, "none"), expected.get(name, "none")
        if there != meant:
            raise ValueError(f"{name} has the shape {there}, and the header says {meant}")
        if slices[name].get_dtype() != "F32":
            raise ValueError(f"{name} holds {slices[name].get_dtype()}, where float32 was written")
    return width
