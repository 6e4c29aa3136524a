"""Engines: what runs a network, without gradients, over views.

On a CPU that is ONNX Runtime, one view and one thread a call, as many calls at once as there are workers. On two cores
that is faster than larger batches with shared threads, and a view's result depends on nothing but the view: not on its
batch, its place in it, or the number of workers. On CUDA it is PyTorch in batches of one fixed size, the last one
filled up, for the same reason.
"""

import hashlib
import sys
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from boatyard.errors import UserError
from boatyard.files import write_bytes

# What one protocol buffer may hold, which an ONNX graph with its weights is, less room for the graph itself.
_LARGEST_GRAPH = 2**31 - 2**24


class Engine(Protocol):
    """Runs a network that maps uint8 views [n, 3, s, s] to float32 [n, d].

    Attributes:
        batch: views of one call; a call with fewer is allowed and costs as much.
        calls: calls that may be under way at once.
    """

    batch: int
    calls: int

    def __call__(self, views: NDArray[np.uint8]) -> NDArray[np.float32]: ...


def create(network: nn.Module, size: int, kind: str, device: str, workers: int, graphs: Path) -> Engine:
    """The engine for a network in eval mode.

    Args:
        network: maps uint8 views [n, 3, size, size] to float32 [n, d].
        size: side of the views, pixels.
        kind: 'onnx' or 'torch'.
        device: as torch names it; 'onnx' runs on the CPU.
        workers: CPU threads.
        graphs: folder that keeps exported graphs, so that the next stage need not export again.

    Raises:
        UserError: the network is too large for ONNX.
    """
    if kind == "onnx":
        return OnnxEngine(_graph(network, size, graphs), workers)
    return TorchEngine(network, device)


class OnnxEngine:
    batch = 1

    def __init__(self, graph: bytes, workers: int):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self.calls = workers
        self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def __call__(self, views: NDArray[np.uint8]) -> NDArray[np.float32]:
        outputs = [self._session.run(None, {"views": view[None]})[0] for view in views]
        return np.concatenate(outputs)


class TorchEngine:
    def __init__(self, network: nn.Module, device: str):
        self.batch = 1 if device == "cpu" else 128
        self.calls = 1
        self._device = device
        self._network = network.to(device).to(memory_format=torch.channels_last)

    def __call__(self, views: NDArray[np.uint8]) -> NDArray[np.float32]:
        outputs = [self._run(views[start : start + self.batch]) for start in range(0, len(views), self.batch)]
        return np.concatenate(outputs)

    @torch.inference_mode()
    def _run(self, views: NDArray[np.uint8]) -> NDArray[np.float32]:
        filled = np.zeros((self.batch, *views.shape[1:]), np.uint8)
        filled[: len(views)] = views
        batch = torch.from_numpy(filled).to(self._device).contiguous(memory_format=torch.channels_last)
        output: NDArray[np.float32] = self._network(batch)[: len(views)].float().cpu().numpy()
        return output


def fingerprint(network: nn.Module) -> str:
    """A hash of the network's weights and structure, and of the source files that define its layers."""
    digest = hashlib.blake2b(str(network).encode(), digest_size=16)
    for name in sorted({type(module).__module__ for module in network.modules()}):
        source = getattr(sys.modules[name], "__file__", None)
        digest.update(Path(source).read_bytes() if source else name.encode())
    for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _graph(network: nn.Module, size: int, graphs: Path) -> bytes:
    """The network as an ONNX graph, exported once for the same network, size and version of torch.

    The file's name ends in a hash of its content: a damaged one is exported again.
    """
    if sum(tensor.nbytes for tensor in network.state_dict().values()) > _LARGEST_GRAPH:
        raise UserError("the network's weights are over 2 GB, too much for ONNX: set BOATYARD_ENGINE=torch")
    name = f"{fingerprint(network)}-{size}-{torch.__version__}"
    for path in sorted(graphs.glob(f"{name}.*.onnx")):
        graph = path.read_bytes()
        if path.name == f"{name}.{_digest(graph)}.onnx":
            return graph
        path.unlink(missing_ok=True)
    views = torch.zeros(1, 3, size, size, dtype=torch.uint8)
    program = torch.onnx.export(
        network, (views,), input_names=["views"], output_names=["output"], dynamo=True, verbose=False
    )
    exported: bytes = program.model_proto.SerializeToString()  # type: ignore[union-attr]
    write_bytes(graphs / f"{name}.{_digest(exported)}.onnx", exported)
    return exported


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=8).hexdigest()
