"""A frozen backbone, known by its fingerprint; the network is built when it is to run, and torch imported then."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from boatyard.models.network import Embedder


@dataclass(frozen=True)
class FrozenBackbone:
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
    def of(cls, network: "Embedder") -> "FrozenBackbone":
        """One that is built already."""
        return cls(network.fingerprint(), network.width, lambda: network)
