"""A classifier's head as ONNX, layer by layer: PyTorch's exporter takes seconds, and a head is trained often."""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from boatyard.models.head import Head
from boatyard.models.onnx_runtime import INPUT, OUTPUT

_EMBEDDINGS = "embeddings"
_OPSET, _IR_VERSION = 20, 10  # those of PyTorch's exporter


def alone(head: Head) -> bytes:
    """The graph from an embedding, float32 [1, width], to log-probabilities, float32 [1, k]."""
    nodes, weights = _layers(head, INPUT)
    graph = helper.make_graph(
        nodes,
        "head",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [1, head.width])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [1, head.classes])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
    return bytes(model.SerializeToString())


def joined(embedder: bytes, head: Head) -> bytes:
    """A backbone's graph, from views to embeddings, with a head behind it."""
    model = onnx.load_from_string(embedder)
    graph = model.graph
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [_EMBEDDINGS if name == OUTPUT else name for name in names]
    nodes, weights = _layers(head, _EMBEDDINGS)
    graph.node.extend(nodes)
    graph.initializer.extend(weights)
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [1, head.classes]))
    return bytes(model.SerializeToString())


def _layers(head: Head, value: str) -> tuple[list[NodeProto], list[TensorProto]]:
    """The nodes and weights of a head whose input is called `value`."""

    def linear(name: str) -> tuple[str, dict[str, Any], dict[str, NDArray[np.float32]]]:
        return "Gemm", {"transB": 1}, {part: head.weights[f"{name}.{part}"] for part in ("weight", "bias")}

    # Of each layer: its operator, the operator's attributes, and its inputs beside the value.
    layers: dict[str, tuple[str, dict[str, Any], dict[str, NDArray[np.float32]]]] = {}
    if head.hidden:
        layers |= {"hidden": linear("hidden"), "relu": ("Relu", {}, {})}
    layers["classes"] = linear("classes")
    layers["temperature"] = "Div", {}, {"value": np.array(head.temperature, np.float32)}
    layers["log_softmax"] = "LogSoftmax", {"axis": 1}, {}

    nodes: list[NodeProto] = []
    weights: list[TensorProto] = []
    for name, (operator, attributes, arrays) in layers.items():
        weights += [numpy_helper.from_array(array, f"head.{name}.{part}") for part, array in arrays.items()]
        inputs = [value, *(f"head.{name}.{part}" for part in arrays)]
        value = f"head.{name}"
        nodes.append(helper.make_node(operator, inputs, [value], **attributes))
    nodes[-1].output[:] = [OUTPUT]
    return nodes, weights
