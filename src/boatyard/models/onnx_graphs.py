"""A network as an ONNX graph, exported once and kept in the work folder. To find one that is kept imports no torch."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from boatyard.core.errors import UserError
from boatyard.core.files import write_bytes
from boatyard.models import onnx_head
from boatyard.models.onnx_runtime import INPUT, OUTPUT

if TYPE_CHECKING:
    from boatyard.models.network import Embedder, Network

# What one protocol buffer may hold, which an ONNX graph with its weights is, less room for the graph itself.
_LARGEST_GRAPH = 2**31 - 2**24


def kept(fingerprint: str, shape: Sequence[int], graphs: Path) -> bytes | None:
    """A backbone's graph from the folder that keeps them, if it is there.

    A file's name ends in a hash of its content: a damaged one is taken away.

    Args:
        fingerprint: of the backbone.
        shape: of one view, [3, s, s].
        graphs: the folder.
    """
    name = _name(fingerprint, shape)
    for path in sorted(graphs.glob(f"{name}.*.onnx")):
        content = path.read_bytes()
        if path.name == f"{name}.{_digest(content)}.onnx":
            return content
        path.unlink(missing_ok=True)
    return None


def exported(network: "Network | Embedder", shape: Sequence[int], graphs: Path | None) -> bytes:
    """The network as an ONNX graph; a backbone is exported once for the same weights, shape and libraries.

    Args:
        network: in eval mode, from uint8 views [1, *shape] to float32 [1, d].
        shape: of one view, [3, s, s].
        graphs: folder that keeps backbones' graphs, if any.

    Raises:
        UserError: the network is too large for ONNX.
    """
    import torch

    from boatyard.models.network import Network, head_of

    if sum(tensor.nbytes for tensor in network.state_dict().values()) > _LARGEST_GRAPH:
        raise UserError("the network's weights are over 2 GB, too much for ONNX: set BOATYARD_ENGINE=torch")
    if isinstance(network, Network):
        return onnx_head.joined(exported(network.embedder, shape, graphs), head_of(network.head))
    fingerprint = network.fingerprint() if graphs else ""
    if graphs and (there := kept(fingerprint, shape, graphs)):
        return there
    program = torch.onnx.export(
        network,
        (torch.zeros(1, *shape, dtype=torch.uint8),),
        input_names=[INPUT],
        output_names=[OUTPUT],
        dynamo=True,
        verbose=False,
    )
    graph: bytes = program.model_proto.SerializeToString()  # type: ignore[union-attr]
    if graphs:
        write_bytes(graphs / f"{_name(fingerprint, shape)}.{_digest(graph)}.onnx", graph)
    return graph


def _name(fingerprint: str, shape: Sequence[int]) -> str:
    return f"{fingerprint}-{'x'.join(map(str, shape))}"


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=8).hexdigest()
