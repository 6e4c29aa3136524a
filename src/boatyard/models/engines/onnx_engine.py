"""The engine that runs an ONNX graph on the CPU; it does not import torch."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from boatyard.models.engines.base import Engine
from boatyard.models.onnx_runtime import INPUT, OUTPUT, session


class OnnxEngine(Engine):
    """Runs an ONNX graph from `INPUT`, one view or embedding, to `OUTPUT`, float32 [1, d]."""

    batch = 1

    def __init__(self, graph: bytes, workers: int):
        self.calls = workers
        self._session = session(graph)

    def __call__(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        outputs = [self._session.run([OUTPUT], {INPUT: one[None]})[0] for one in inputs]
        return np.concatenate(outputs)
