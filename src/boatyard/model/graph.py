"""A network as an ONNX graph, exported once and kept in the work folder."""

import hashlib
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn

from boatyard.errors import UserError
from boatyard.files import write_bytes
from boatyard.model import head_graph
from boatyard.model.engine import OnnxEngine
from boatyard.model.network import Classifier

# What one protocol buffer may hold, which an ONNX graph with its weights is, less room for the graph itself.
_LARGEST_GRAPH = 2**31 - 2**24


def fingerprint(network: nn.Module) -> str:
    """A hash of the network's weights and structure, of the files that define its layers, and of the libraries."""
    libraries = [f"{name} {version(name)}" for name in ("torch", "torchvision", "timm")]
    digest = hashlib.blake2b(f"{libraries} {network}".encode(), digest_size=16)
    for name in sorted({type(module).__module__ for module in network.modules()}):
        source = getattr(sys.modules[name], "__file__", None)
        digest.update(Path(source).read_bytes() if source else name.encode())
    for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def exported(network: nn.Module, shape: Sequence[int], graphs: Path | None) -> bytes:
    """The network as an ONNX graph; a backbone is exported once for the same weights, shape and libraries.

    Args:
        network: a `Classifier` or anything else in eval mode that maps uint8 views [1, *shape] to float32 [1, d], or a
            classifier's head, from float32 [1, *shape].
        shape: of one view, [3, s, s], or of one embedding, [width].
        graphs: folder that keeps backbones' graphs, if any. A file's name ends in a hash of its content: a damaged one
            is exported again.

    Raises:
        UserError: the network is too large for ONNX.
    """
    if sum(tensor.nbytes for tensor in network.state_dict().values()) > _LARGEST_GRAPH:
        raise UserError("the network's weights are over 2 GB, too much for ONNX: set BOATYARD_ENGINE=torch")
    if isinstance(network, Classifier):
        return head_graph.joined(exported(network.embedder, shape, graphs), network.head)
    if len(shape) == 1:
        return head_graph.alone(network, shape[0])
    name = f"{fingerprint(network)}-{'x'.join(map(str, shape))}"
    for path in sorted(graphs.glob(f"{name}.*.onnx")) if graphs else []:
        kept = path.read_bytes()
        if path.name == f"{name}.{_digest(kept)}.onnx":
            return kept
        path.unlink(missing_ok=True)
    program = torch.onnx.export(
        network,
        (torch.zeros(1, *shape, dtype=torch.uint8),),
        input_names=[OnnxEngine.INPUT],
        output_names=[OnnxEngine.OUTPUT],
        dynamo=True,
        verbose=False,
    )
    graph: bytes = program.model_proto.SerializeToString()  # type: ignore[union-attr]
    if graphs:
        write_bytes(graphs / f"{name}.{_digest(graph)}.onnx", graph)
    return graph


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=8).hexdigest()
