"""ONNX graphs of a backbone, a head, and both. A backbone is exported once; to find it in the cache takes no torch."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from boatyard.core.errors import UserError
from boatyard.core.files import write_bytes
from boatyard.models.frozen_backbone import FrozenBackbone
from boatyard.models.head import HeadWeights
from boatyard.models.onnx_runtime import EMBEDDINGS, OUTPUT, VIEWS

# A protocol buffer, as an ONNX graph with its weights is, has at most 2 GiB; the graph itself needs some of it.
_MAX_WEIGHTS = 2**31 - 2**24
_OPSET, _IR_VERSION = 20, 10  # those of PyTorch's exporter


def of_network(backbone: FrozenBackbone, head: HeadWeights, shape: Sequence[int], cache: Path | None) -> bytes:
    """A graph from a view to log-probabilities; see `of_backbone`."""
    # Not by onnx.compose, which would change the metadata of PyTorch's exporter and thus the bytes.
    model, head_graph = onnx.load_from_string(of_backbone(backbone, shape, cache)), _head_model(head).graph
    model.graph.node.extend(head_graph.node)
    model.graph.initializer.extend(head_graph.initializer)
    model.graph.output.pop()
    model.graph.output.extend(head_graph.output)
    return bytes(model.SerializeToString())


def of_backbone(backbone: FrozenBackbone, shape: Sequence[int], cache: Path | None) -> bytes:
    """A graph from a view to its embedding, exported once for the same weights, shape and libraries.

    Args:
        backbone: is built only if the graph is not in the cache.
        shape: of one view, [3, s, s].
        cache: folder of the graphs, if any. File names end in a hash of the content: a damaged file is deleted.

    Raises:
        UserError: the network is too large for ONNX.
    """
    name = f"{backbone.fingerprint}-{'x'.join(map(str, shape))}"
    if cache:
        for path in sorted(cache.glob(f"{name}.*.onnx")):
            content = path.read_bytes()
            if path.name == f"{name}.{_digest(content)}.onnx":
                return content
            path.unlink(missing_ok=True)
    import torch

    network = backbone.build()
    if sum(tensor.nbytes for tensor in network.state_dict().values()) > _MAX_WEIGHTS:
        raise UserError("the network's weights are over 2 GB, too much for ONNX: set BOATYARD_ENGINE=torch")
    program = torch.onnx.export(
        network,
        (torch.zeros(1, *shape, dtype=torch.uint8),),
        input_names=[VIEWS],
        output_names=[EMBEDDINGS],
        dynamo=True,
        verbose=False,
    )
    graph: bytes = program.model_proto.SerializeToString()  # type: ignore[union-attr]
    if cache:
        write_bytes(cache / f"{name}.{_digest(graph)}.onnx", graph)
    return graph


def of_head(head: HeadWeights) -> bytes:
    """A graph from an embedding to log-probabilities.

    It is put together here, layer by layer: PyTorch's exporter takes seconds, and heads are trained often.
    """
    return bytes(_head_model(head).SerializeToString())


def _head_model(head: HeadWeights) -> onnx.ModelProto:
    nodes: list[NodeProto] = []
    initializers: list[TensorProto] = []

    def add(name: str, operator: str, constants: dict[str, NDArray[np.float32]], **attributes: Any) -> None:
        initializers.extend(numpy_helper.from_array(array, f"head.{name}.{key}") for key, array in constants.items())
        inputs = [nodes[-1].output[0] if nodes else EMBEDDINGS, *(f"head.{name}.{key}" for key in constants)]
        nodes.append(helper.make_node(operator, inputs, [f"head.{name}"], **attributes))

    def linear(name: str) -> None:
        add(name, "Gemm", {key: head.weights[f"{name}.{key}"] for key in ("weight", "bias")}, transB=1)

    if head.hidden:
        linear("hidden")
        add("relu", "Relu", {})
    linear("classes")
    add("temperature", "Div", {"value": np.array(head.temperature, np.float32)})
    add("log_softmax", "LogSoftmax", {}, axis=1)
    nodes[-1].output[:] = [OUTPUT]
    graph = helper.make_graph(
        nodes,
        "head",
        [helper.make_tensor_value_info(EMBEDDINGS, TensorProto.FLOAT, [1, head.width])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [1, head.classes])],
        initializers,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=8).hexdigest()
