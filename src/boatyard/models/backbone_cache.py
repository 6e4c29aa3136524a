"""Backbones that were built here before.

To build one imports torch, which takes longer than all else that `featurize` does where there is little to compute.
But a backbone's graph and its embeddings are found by its fingerprint alone. So that is kept, and taken for true as
long as nothing has changed that decided it: settings, libraries, code, and the content of the files with the weights.

Random weights are not remembered, nor those that timm fetches, whose files are not known.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from boatyard.core import cache_keys
from boatyard.core.errors import UserError
from boatyard.core.files import sha256_of, write_bytes
from boatyard.images.views import Preprocessing
from boatyard.models.fingerprint import LIBRARIES
from boatyard.models.frozen_backbone import FrozenBackbone
from boatyard.params.schema import Image, Model

if TYPE_CHECKING:
    from boatyard.models.network import Embedder


@dataclass(frozen=True)
class Built:
    """What building a backbone told.

    Attributes:
        fingerprint: of the backbone with its normalisation.
        width: numbers of an embedding.
        preprocessing: its own, before params.yaml changes size and crop.
        files: the sha256 of each file with its weights.
    """

    fingerprint: str
    width: int
    preprocessing: Preprocessing
    files: Mapping[str, str]


_BUILT = TypeAdapter(Built)


def frozen(model: Model, image: Image, seed: int, weights: Path, records: Path) -> tuple[FrozenBackbone, Preprocessing]:
    """The backbone of params.yaml, frozen, and how its views are to be; built at once only where it is not known.

    Args:
        model: which backbone, and which weights.
        image: size and crop of the views.
        seed: of random weights.
        weights: folder of weights that a user brought.
        records: folder of what is remembered.

    Raises:
        UserError: there is no such backbone, no such weights, or they do not fit; or, where it is known, once the
            network is to run, it does not take views of that size.
    """

    def build() -> "tuple[Embedder, Built]":
        import torch

        from boatyard.models import backbones
        from boatyard.models.network import embedder

        torch.manual_seed(seed)  # the weights, where model.weights is 'none'
        backbone = backbones.create(model.backbone, model.weights, weights)
        network = embedder(backbone, backbone.preprocessing.adapted(image))
        files = {str(file): sha256_of(file) for file in backbone.files}
        return network, Built(network.fingerprint(), network.width, backbone.preprocessing, files)

    name = cache_keys.key(model.backbone, model.weights, libraries=LIBRARIES, code=__name__)
    path = records / f"{name}.json"
    if known := _read(path):

        def again() -> "Embedder":
            network, built = build()
            if built != known:
                path.unlink(missing_ok=True)
                raise UserError(f"{path}, what was known of {model.backbone}, is damaged and was deleted: run again")
            return network

        return FrozenBackbone(known.fingerprint, known.width, again), known.preprocessing.adapted(image)
    network, built = build()
    if built.files:
        write_bytes(path, _BUILT.dump_json(built))
    return FrozenBackbone(built.fingerprint, built.width, lambda: network), built.preprocessing.adapted(image)


def _read(path: Path) -> Built | None:
    """A record that still holds."""
    try:
        built = _BUILT.validate_json(path.read_bytes(), strict=True)
        unchanged = all(sha256_of(Path(file)) == sha256 for file, sha256 in built.files.items())
    except (OSError, ValidationError):
        return None
    return built if built.files and unchanged else None
