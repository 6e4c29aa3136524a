"""The engine that runs an ONNX graph on the CPU, without torch."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from boatyard.models.engines.base import Engine
from boatyard.models.onnx_runtime import session


class OnnxEngine(Engine):
    """Runs an ONNX graph whose one input is a view or an embedding and whose one output is float32 [1, d]."""

    batch = 1

    def __init__(self, graph: bytes, workers: int):
        self.calls = workers
        self._session = session(graph)
        self._input = self._session.get_inputs()[0].name

    def __call__(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        return np.concatenate([self._session.run(None, {self._input: one[None]})[0] for one in inputs])
