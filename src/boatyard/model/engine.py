"""Engines: what runs a network, without gradients, over views.

On a CPU that is ONNX Runtime, one view and one thread a call, as many calls at once as there are workers. On two cores
that is faster than larger batches with shared threads, and a view's result depends on nothing but the view: not on its
batch, its place in it, or the number of workers. On CUDA it is PyTorch in batches of one fixed size, the last one
filled up, for the same reason; views are drawn there too.

This module does not import torch: a graph that lies on the disk runs without it.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from boatyard.data.views import Shot, View

if TYPE_CHECKING:
    from boatyard.model.network import Classifier, Embedder


# A photo's views: drawn already, or to be drawn where the engine draws them.
Seen = Sequence[View] | Shot


class Engine(ABC):
    """Runs a network that maps n inputs to float32 [n, d]: uint8 views [n, 3, s, s], or float32 embeddings [n, width].

    `inference.run` takes a photo through `open`, in the thread that decoded it, then, in one thread, many at a time
    through `views`, and those in batches through `start`. Here Pillow draws, in `open`, and `start` ends when the
    network has answered.

    Attributes:
        batch: inputs of one call; a call with fewer is allowed and costs as much.
        calls: calls that may be under way at once.
        queued: batches that `start` may have begun before the first of them is asked for.
        ahead: photos per thread that may be open before their turn; fewer where they are held whole.
    """

    batch: int
    calls: int
    queued = 0
    ahead = 8

    @abstractmethod
    def __call__(self, inputs: NDArray[Any]) -> NDArray[np.float32]: ...

    def open(self, seen: Seen) -> Any:
        """What `views` takes of a photo: it has a `len`, of views, and `nbytes`."""
        views = seen.views() if isinstance(seen, Shot) else seen
        return np.stack(views) if views else np.empty(0, np.uint8)

    def views(self, opened: Sequence[Any]) -> list[Any]:
        """The views of photos, in order, as `start` takes them."""
        return [view for views in opened for view in views]

    def start(self, views: Sequence[Any]) -> Callable[[], NDArray[np.float32]]:
        """Run the network on up to `batch` views; what it returns waits for the outputs, float32 [n, d]."""
        outputs = self(np.stack(views))
        return lambda: outputs


def create(
    network: "Classifier | Embedder",
    shape: Sequence[int],
    kind: str,
    device: str,
    workers: int,
    graphs: Path | None,
    precision: str = "fp32",
) -> Engine:
    """The engine for a network in eval mode.

    Args:
        network: maps uint8 views [n, *shape] to float32 [n, d].
        shape: of one view, [3, s, s].
        kind: 'onnx' or 'torch'.
        device: as torch names it; 'onnx' runs on the CPU.
        workers: CPU threads.
        graphs: folder that keeps exported graphs, so that the next stage need not export again; None: keep none.
        precision: of the backbone under 'torch': 'fp32', 'bf16' or 'fp16'. 'onnx' computes in fp32, and so do heads.

    Raises:
        UserError: the network is too large for ONNX.
    """
    if kind == "onnx":
        from boatyard.model.graph import exported

        return OnnxEngine(exported(network, shape, graphs), workers)
    from boatyard.model.torch_engine import TorchEngine

    return TorchEngine(network, device, precision)


class OnnxEngine(Engine):
    """Runs an ONNX graph from `INPUT`, one view or embedding, to `OUTPUT`, float32 [1, d]."""

    INPUT, OUTPUT = "views", "output"
    batch = 1

    def __init__(self, graph: bytes, workers: int):
        self.calls = workers
        self._session = session(graph)

    def __call__(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        outputs = [self._session.run([self.OUTPUT], {self.INPUT: one[None]})[0] for one in inputs]
        return np.concatenate(outputs)


def session(graph: bytes) -> Any:
    """An `onnxruntime.InferenceSession` on the CPU, one thread a call."""
    # From 1.29 on, its published builds tell their maker of every session (the model's name and hashes, a lasting id of
    # the device) unless this stands before they are loaded.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what goes wrong is raised as well
    # Else it would print the error, and try the same provider again.
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"], enable_fallback=0)
