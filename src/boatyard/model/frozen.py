"""A frozen backbone, known by its fingerprint; the network is built when it is to run, and torch imported then."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from boatyard import keys
from boatyard.data.views import Preprocessing

if TYPE_CHECKING:
    from boatyard.model.network import Embedder


# What decides how a backbone is built, beside its name and its weights.
LIBRARIES = ("torch", "torchvision", "timm")
CODE = ("boatyard.model.backbones", "boatyard.model.network", "boatyard.model.side_by_side")


@dataclass(frozen=True)
class Frozen:
    """A frozen backbone with its normalisation.

    Attributes:
        fingerprint: what tells it from others.
        width: numbers of an embedding.
        network: builds it, on the CPU.
    """

    fingerprint: str
    width: int
    network: "Callable[[], Embedder]"

    @classmethod
    def of(cls, network: "Embedder") -> "Frozen":
        """One that is built already."""
        return cls(network.fingerprint(), network.width, lambda: network)


def fingerprint(
    backbone: str, preprocessing: Preprocessing, width: int, weights: Iterable[tuple[str, NDArray[np.generic]]]
) -> str:
    """A hash of a backbone's name, normalisation and weights, of the code that builds it, and of the libraries.

    Args:
        backbone: its name in params.yaml; with the libraries' versions it says what the layers are.
        preprocessing: of which the mean and the standard deviation are part of the network.
        width: numbers of an embedding, so that a head that takes another number never finds a graph or an embedding.
        weights: the network's whole state by name; in any order.
    """
    network = keys.key(backbone, preprocessing.mean, preprocessing.std, width, libraries=LIBRARIES, code=CODE)
    digest = hashlib.blake2b(network.encode(), digest_size=16)
    hashes = {}
    for name, array in weights:
        hashes[f"{name} {array.shape} {array.dtype}"] = hashlib.blake2b(array.tobytes(), digest_size=16).digest()
    for name in sorted(hashes):
        digest.update(name.encode() + hashes[name])
    return digest.hexdigest()
