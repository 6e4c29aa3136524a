"""models/model.safetensors: the network's weights, and a header with everything that it takes to use them.

The pipeline writes the backbone's weights into a file of their own, models/backbone.safetensors, which stays the same
while the backbone is frozen. `read` and `load` take both forms.

`read` needs no torch: it returns the head and a backbone that is built only when it has to run.
"""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from boatyard.core.errors import UserError, cannot_write
from boatyard.core.files import replacing, sha256_of
from boatyard.models import model_header
from boatyard.models.frozen_backbone import FrozenBackbone, fingerprint
from boatyard.models.head import HeadWeights
from boatyard.models.model_header import HEAD, Header, Part

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
        UserError: the file or its part is missing or damaged, or its head does not match its header. That the
            backbone's weights do not match is raised when it is built.
    """
    header, part = model_header.read_all(path)
    try:
        with ExitStack() as stack:
            files = [stack.enter_context(safe_open(file, framework="numpy")) for file in _files(path, part)]
            width = model_header.check_head(files[-1], header)
            tensors = {name: file for file in files for name in file.keys()}  # noqa: SIM118
            weights = {
                name.removeprefix(HEAD): file.get_tensor(name)
                for name, file in tensors.items()
                if name.startswith(HEAD)
            }
            for name, array in weights.items():
                if not np.isfinite(array).all():
                    raise ValueError(f"{HEAD}{name} contains NaN or infinity")
            if unknown := [name for name in tensors if not name.startswith((HEAD, _EMBEDDER))]:
                raise ValueError(f"unexpected tensor {unknown[0]!r}")
            # One at a time: a backbone's weights may be gigabytes.
            embedder = (
                (name.removeprefix(_EMBEDDER), file.get_tensor(name))
                for name, file in tensors.items()
                if name.startswith(_EMBEDDER)
            )
            identity = fingerprint(header.backbone, header.preprocessing, width, embedder)
    except (SafetensorError, ValueError, TypeError, AttributeError, OSError) as error:  # NumPy lacks some types
        raise model_header.mismatch(path, error) from None
    backbone = FrozenBackbone(identity, width, lambda: load(path)[0].embedder)
    return ModelFile(header, HeadWeights(weights, header.temperature), backbone)


def load(path: Path) -> "tuple[Network, Header]":
    """The whole network, on the CPU, frozen and in eval mode, and its header.

    Raises:
        UserError: the file or its part is missing or damaged, or its weights do not match its header.
    """
    from safetensors.torch import load_file

    from boatyard.models import backbones

    header, part = model_header.read_all(path)
    files = _files(path, part)
    try:
        with safe_open(path, framework="numpy") as file:
            model_header.check_head(file, header)  # before a false header fills the memory
        network = build(header)
        backbones.load_state(network, {name: tensor for file in files for name, tensor in load_file(file).items()})
    except (UserError, SafetensorError, ValueError, RuntimeError, AssertionError) as error:
        raise model_header.mismatch(path, error) from None
    return network.eval().requires_grad_(False), header


def _files(path: Path, part: Part | None) -> list[Path]:
    """The files of a model, its part checked; if both have a tensor, the last one's counts."""
    if part is None:
        return [path]
    with model_header.opened(part, path) as file:
        return [Path(file.name), path]


def save(path: Path, network: "Network", header: Header, backbone_file: str | None = None) -> None:
    """Write a network and its header; the same network gives the same bytes.

    Args:
        path: of the model file.
        network: its weights are written.
        header: its metadata.
        backbone_file: name of a file in the same folder for the backbone's weights, which depends on nothing else;
            None: the model file is self-contained.

    Raises:
        UserError: a file can't be written.
    """
    from boatyard.models.network import arrays

    weights, part = arrays(network), None
    if backbone_file is not None:
        backbone = {name: weights.pop(name) for name in list(weights) if name.startswith(_EMBEDDER)}
        write_tensors(path.with_name(backbone_file), backbone, model_header.encode_backbone(header.backbone))
        part = Part(backbone_file, sha256_of(path.with_name(backbone_file)))
    write_tensors(path, weights, model_header.encode(header, part))


def write_tensors(path: Path, weights: dict[str, NDArray[Any]], metadata: dict[str, str]) -> None:
    """Write a safetensors file; the same content gives the same bytes.

    Raises:
        UserError: it can't be written.
    """
    with replacing(path) as temporary:
        temporary.touch()
        permissions = temporary.stat().st_mode  # safetensors would let only the owner read it
        try:
            save_file(weights, temporary, metadata=metadata)
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
