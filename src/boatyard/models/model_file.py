"""models/model.safetensors: the network's weights, and a header with everything that it takes to use them.

`read` needs no torch: it returns the head and a backbone that is built only when it has to run.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from boatyard.core.errors import UserError, cannot_write
from boatyard.core.files import replacing
from boatyard.models import model_header
from boatyard.models.frozen_backbone import FrozenBackbone, fingerprint
from boatyard.models.head import HeadWeights
from boatyard.models.model_header import HEAD, Header

if TYPE_CHECKING:
    from boatyard.models.network import Network

_EMBEDDER = "embedder."


@dataclass(frozen=True)
class ModelFile:
    """A trained model: its header, its head, and its backbone, which is not built yet."""

    header: Header
    head: HeadWeights
    backbone: FrozenBackbone


def read(path: Path) -> ModelFile:
    """Read a model file without torch.

    Raises:
        UserError: the file is missing or damaged, or its head does not match its header. That the backbone's weights
            do not match is raised when it is built.
    """
    header = model_header.read(path)
    try:
        with safe_open(path, framework="numpy") as file:
            width = model_header.check_head(file, header)
            names = list(file.keys())
            weights = {name.removeprefix(HEAD): file.get_tensor(name) for name in names if name.startswith(HEAD)}
            for name, array in weights.items():
                if not np.isfinite(array).all():
                    raise ValueError(f"{HEAD}{name} contains NaN or infinity")
            if unknown := [name for name in names if not name.startswith((HEAD, _EMBEDDER))]:
                raise ValueError(f"unexpected tensor {unknown[0]!r}")
            # One at a time: a backbone's weights may be gigabytes.
            embedder = (
                (name.removeprefix(_EMBEDDER), file.get_tensor(name)) for name in names if name.startswith(_EMBEDDER)
            )
            identity = fingerprint(header.backbone, header.preprocessing, width, embedder)
    except (SafetensorError, ValueError, TypeError, AttributeError, OSError) as error:  # NumPy lacks some types
        raise model_header.mismatch(path, error) from None
    backbone = FrozenBackbone(identity, width, lambda: load(path)[0].embedder)
    return ModelFile(header, HeadWeights(weights, header.temperature), backbone)


def load(path: Path) -> "tuple[Network, Header]":
    """The whole network, on the CPU, frozen and in eval mode, and its header.

    Raises:
        UserError: the file is missing or damaged, or its weights do not match its header.
    """
    from safetensors.torch import load_file

    from boatyard.models import backbones

    header = model_header.read(path)
    try:
        with safe_open(path, framework="numpy") as file:
            model_header.check_head(file, header)  # before a false header fills the memory
        network = build(header)
        backbones.load_state(network, load_file(path))
    except (UserError, SafetensorError, ValueError, RuntimeError, AssertionError) as error:
        raise model_header.mismatch(path, error) from None
    return network.eval().requires_grad_(False), header


def save(path: Path, network: "Network", header: Header) -> None:
    """Write a network and its header; the same network gives the same bytes.

    Raises:
        UserError: the file can't be written.
    """
    from boatyard.models.network import arrays

    with replacing(path) as temporary:
        temporary.touch()
        permissions = temporary.stat().st_mode  # safetensors would let only the owner read it
        try:
            save_file(arrays(network), temporary, metadata=model_header.encode(header))
        except SafetensorError as error:
            raise cannot_write(path, error) from None
        temporary.chmod(permissions)


def build(header: Header) -> "Network":
    """The network that a header describes, its weights not yet loaded."""
    from boatyard.models import backbones
    from boatyard.models.network import Network, embedder, head

    backbone = backbones.create(header.backbone, "none", size=header.preprocessing.size)
    classifier = head(backbone.width, header.hidden, header.dropout, len(header.classes), header.temperature)
    return Network(embedder(backbone, header.preprocessing), classifier)
