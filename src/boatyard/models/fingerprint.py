"""What tells one frozen backbone from another: a hash by which its graph and its embeddings are kept."""

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from boatyard.core import cache_keys
from boatyard.images.views import Preprocessing

# What decides how a backbone is built, beside its name and its weights.
LIBRARIES = ("torch", "torchvision", "timm")
CODE = "boatyard.models.network"


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
    network = cache_keys.key(backbone, preprocessing.mean, preprocessing.std, width, libraries=LIBRARIES, code=CODE)
    digest = hashlib.blake2b(network.encode(), digest_size=16)
    hashes = {}
    for name, array in weights:
        hashes[f"{name} {array.shape} {array.dtype}"] = hashlib.blake2b(array.tobytes(), digest_size=16).digest()
    for name in sorted(hashes):
        digest.update(name.encode() + hashes[name])
    return digest.hexdigest()
