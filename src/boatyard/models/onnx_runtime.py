"""ONNX Runtime sessions, and the names of inputs and outputs in Boatyard's graphs."""

import os
from typing import Any

# A view, uint8 [1, 3, s, s]; its embedding, float32 [1, width]; log-probabilities, float32 [1, k].
VIEWS, EMBEDDINGS, OUTPUT = "views", "embeddings", "output"


def session(graph: bytes) -> Any:
    """An `onnxruntime.InferenceSession` on the CPU, one thread per call."""
    # From 1.29 on, the published builds report every session to their maker (the model's name and hashes, a lasting id
    # of the device) unless this is set before the library is loaded.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # errors are raised as well
    # With the fallback it would print the error and try the same provider again.
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"], enable_fallback=0)
