"""A model file, read without torch: what it says of itself, its head, and what tells its backbone from others."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
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
            names = list(file.keys())
            if other := [name for name in names if not name.startswith((_HEAD, _BODY))]:
                raise ValueError(f"{other[0]} is no part of it")
            head = {name.removeprefix(_HEAD): file.get_tensor(name) for name in names if name.startswith(_HEAD)}
            width = _width(head, about)
            # One at a time: a backbone's weights may be gigabytes.
            body = ((name.removeprefix(_BODY), file.get_tensor(name)) for name in names if name.startswith(_BODY))
            frozen = Frozen(fingerprint(about.backbone, about.preprocessing, body), width, network)
    except (SafetensorError, ValueError, TypeError, OSError) as error:
        raise header.misfit(path, error) from None
    return Saved(about, Head(head, about.temperature), frozen)


def _width(head: Mapping[str, NDArray[np.float32]], about: Header) -> int:
    """Numbers of an embedding that a head takes.

    Raises:
        ValueError: it is not the head that the header describes, or holds something else than numbers.
    """
    first = head.get("hidden.weight" if about.hidden else "classes.weight", np.empty(0, np.float32))
    width, classes = first.shape[1] if first.ndim == 2 else 0, len(about.classes)
    shapes = {"classes.weight": (classes, about.hidden or width), "classes.bias": (classes,)}
    if about.hidden:
        shapes |= {"hidden.weight": (about.hidden, width), "hidden.bias": (about.hidden,)}
    there = {name: array.shape for name, array in head.items()}
    for name in sorted(there | shapes):
        if there.get(name) != shapes.get(name):
            found, expected = (sizes.get(name, "none") for sizes in (there, shapes))
            raise ValueError(f"{_HEAD}{name} has the shape {found}, and the header says {expected}")
    for name, array in head.items():
        if array.dtype != np.float32 or not np.isfinite(array).all():
            raise ValueError(f"{_HEAD}{name} holds NaN, infinity, or other numbers than float32")
    return width
