"""A classifier's head as ONNX, layer by layer: PyTorch's exporter takes seconds, and a head is trained often."""

from typing import Any

import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper
from torch import Tensor, nn

from boatyard.model.engine import OnnxEngine
from boatyard.model.network import Temperature

_EMBEDDINGS = "embeddings"
_OPSET, _IR_VERSION = 20, 10  # those of PyTorch's exporter


def alone(head: nn.Module, width: int) -> bytes:
    """The graph from an embedding, float32 [1, width], to log-probabilities, float32 [1, k]."""
    nodes, weights, outputs = _layers(head, OnnxEngine.INPUT)
    graph = helper.make_graph(
        nodes,
        "head",
        [helper.make_tensor_value_info(OnnxEngine.INPUT, TensorProto.FLOAT, [1, width])],
        [helper.make_tensor_value_info(OnnxEngine.OUTPUT, TensorProto.FLOAT, [1, outputs])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
    return bytes(model.SerializeToString())


def joined(embedder: bytes, head: nn.Module) -> bytes:
    """A backbone's graph, from views to embeddings, with a head behind it."""
    model = onnx.load_from_string(embedder)
    graph = model.graph
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [_EMBEDDINGS if name == OnnxEngine.OUTPUT else name for name in names]
    nodes, weights, outputs = _layers(head, _EMBEDDINGS)
    graph.node.extend(nodes)
    graph.initializer.extend(weights)
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(OnnxEngine.OUTPUT, TensorProto.FLOAT, [1, outputs]))
    return bytes(model.SerializeToString())


def _layers(head: nn.Module, value: str) -> tuple[list[NodeProto], list[TensorProto], int]:
    """The nodes and weights of a head whose input is called `value`, and how many numbers come out."""
    nodes: list[NodeProto] = []
    weights: list[TensorProto] = []
    outputs = 0
    for name, layer in head.named_children():
        if isinstance(layer, nn.Dropout):  # nothing, when a network is used
            continue
        kind, attributes, tensors = _layer(layer)
        weights += [numpy_helper.from_array(tensor.numpy(), f"head.{name}.{part}") for part, tensor in tensors.items()]
        inputs = [value, *(f"head.{name}.{part}" for part in tensors)]
        value = f"head.{name}"
        nodes.append(helper.make_node(kind, inputs, [value], **attributes))
        outputs = layer.out_features if isinstance(layer, nn.Linear) else outputs
    nodes[-1].output[:] = [OnnxEngine.OUTPUT]
    return nodes, weights, outputs


def _layer(layer: nn.Module) -> tuple[str, dict[str, Any], dict[str, Tensor]]:
    """A layer's operator, the operator's attributes, and its inputs beside the value."""
    match layer:
        case nn.Linear():
            return "Gemm", {"transB": 1}, {"weight": layer.weight.detach(), "bias": layer.bias.detach()}
        case nn.ReLU():
            return "Relu", {}, {}
        case Temperature():
            return "Div", {}, {"value": layer.value}
        case nn.LogSoftmax():
            return "LogSoftmax", {"axis": 1}, {}
    raise TypeError(f"no layer of a head: {layer}")
