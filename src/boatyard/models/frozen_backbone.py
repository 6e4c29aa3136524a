"""A frozen backbone, identified by its fingerprint. The network is built, and torch imported, only when it has to run.

Importing torch takes longer than all else that `featurize` does when little is left to compute. So what is known of a
backbone once it was built is cached in the work folder. A record is valid while everything that decided it is
unchanged: settings, libraries, code, and the content of the weight files. Random weights are not cached, nor are those
that timm downloads, since timm does not say where it keeps them.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from boatyard.core import cache_keys
from boatyard.core.errors import UserError
from boatyard.core.files import sha256_of, write_bytes
from boatyard.images.views import Preprocessing

if TYPE_CHECKING:
    from boatyard.models.network import Embedder
    from boatyard.params.schema import Image, Model

_LIBRARIES = ("torch", "torchvision", "timm")
_CODE = "boatyard.models.network"  # builds the network


@dataclass(frozen=True)
class FrozenBackbone:
    """A frozen backbone with its normalisation.

    Attributes:
        fingerprint: identifies it; see `fingerprint`.
        width: dimension of an embedding.
        build: returns the network, on the CPU.
    """

    fingerprint: str
    width: int
    build: "Callable[[], Embedder]"

    @classmethod
    def of(cls, network: "Embedder") -> "FrozenBackbone":
        """A network that has been built already."""
        from boatyard.models.network import arrays

        weights = arrays(network).items()
        return cls(
            fingerprint(network.name, network.preprocessing, network.width, weights), network.width, lambda: network
        )


def fingerprint(
    name: str, preprocessing: Preprocessing, width: int, weights: Iterable[tuple[str, NDArray[np.generic]]]
) -> str:
    """A hash of a backbone's name, normalisation and weights, of the code that builds it, and of the libraries.

    Args:
        name: as in params.yaml; with the versions of the libraries it determines the layers.
        preprocessing: its mean and standard deviation are part of the network.
        width: dimension of an embedding, so that a head never meets embeddings of another dimension.
        weights: the network's whole state by name, in any order.
    """
    network = cache_keys.key(name, preprocessing.mean, preprocessing.std, width, libraries=_LIBRARIES, code=_CODE)
    digest = hashlib.blake2b(network.encode(), digest_size=16)
    hashes = {
        f"{key} {array.shape} {array.dtype}": hashlib.blake2b(array.tobytes(), digest_size=16).digest()
        for key, array in weights
    }
    for key in sorted(hashes):
        digest.update(key.encode() + hashes[key])
    return digest.hexdigest()


@dataclass(frozen=True)
class _Record:
    """What is cached of a backbone: its `FrozenBackbone`, its own preprocessing, and the sha256 of each weight file."""

    fingerprint: str
    width: int
    preprocessing: Preprocessing
    files: Mapping[str, str]


_RECORD = TypeAdapter(_Record)


def published(
    model: "Model", image: "Image", seed: int, weights: Path, cache: Path
) -> tuple[FrozenBackbone, Preprocessing]:
    """The backbone of params.yaml and the preprocessing of its views; built right away only if it is not in the cache.

    Args:
        model: which backbone and weights.
        image: size and crop of the views.
        seed: of random weights.
        weights: folder with the user's own weights.
        cache: folder of the records.

    Raises:
        UserError: there is no such backbone, no such weights, or they do not fit. For a backbone from the cache, that
            it does not take views of this size is raised when it is built.
    """

    def build() -> "tuple[Embedder, _Record]":
        import torch

        from boatyard.models import backbones
        from boatyard.models.network import embedder

        torch.manual_seed(seed)  # the weights, where model.weights is 'none'
        backbone = backbones.create(model.backbone, model.weights, weights)
        network = embedder(backbone, backbone.preprocessing.adapted(image))
        files = {str(file): sha256_of(file) for file in backbone.files}
        return network, _Record(FrozenBackbone.of(network).fingerprint, network.width, backbone.preprocessing, files)

    path = cache / f"{cache_keys.key(model.backbone, model.weights, libraries=_LIBRARIES, code=__name__)}.json"
    if record := _read(path):

        def rebuild() -> "Embedder":
            network, built = build()
            if built != record:
                path.unlink(missing_ok=True)
                raise UserError(
                    f"{path}, the cached record of {model.backbone}, was wrong and has been deleted: run again"
                )
            return network

        return FrozenBackbone(record.fingerprint, record.width, rebuild), record.preprocessing.adapted(image)
    network, record = build()
    if record.files:
        write_bytes(path, _RECORD.dump_json(record))
    return FrozenBackbone(record.fingerprint, record.width, lambda: network), record.preprocessing.adapted(image)


def _read(path: Path) -> _Record | None:
    """A record that is still valid."""
    try:
        record = _RECORD.validate_json(path.read_bytes(), strict=True)
        unchanged = all(sha256_of(Path(file)) == sha256 for file, sha256 in record.files.items())
    except (OSError, ValidationError):
        return None
    return record if record.files and unchanged else None
