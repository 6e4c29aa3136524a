"""ONNX Runtime sessions, and the names of the inputs and outputs of our graphs."""

import os
from typing import Any

INPUT, OUTPUT = "views", "output"  # one view or embedding, and the network's output for it, float32 [1, d]


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
