"""models/model.onnx: one ONNX graph from a photo to probabilities, with its preprocessing.

    photo          uint8 [height, width, 3], RGB, upright, of any size
    → PlainView    a function in the file itself (`onnx_preprocessing`)
    → views        uint8 [1, 3, s, s]
    → the network  as ONNX Runtime runs it in the pipeline
    → output       log-probabilities, float32 [1, k]
    → probabilities  float32 [k]

The metadata property `boatyard` is the same JSON as in the header of the safetensors file: classes, preprocessing,
settings.

This module does not import torch.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.utils import Extractor

from boatyard.core.errors import UserError
from boatyard.export import onnx_preprocessing
from boatyard.models import model_header
from boatyard.models.model_header import Header
from boatyard.models.onnx_runtime import OUTPUT, VIEWS

PHOTO, PROBABILITIES = "photo", "probabilities"


def build(network: bytes, header: Header) -> bytes:
    """The file's content; the same network and header give the same bytes.

    Args:
        network: the graph of `boatyard.models.onnx_graphs`, from views to log-probabilities.
        header: its metadata.

    Raises:
        UserError: the backbone's interpolation can't be written as ONNX.
    """
    model = onnx.load_from_string(network)
    _remove_origin(model)
    model.functions.extend(onnx_preprocessing.functions(header.preprocessing, model.opset_import[0].version))
    model.opset_import.append(helper.make_opsetid(onnx_preprocessing.DOMAIN, 1))
    graph, one = model.graph, f"{PROBABILITIES}_of_one"
    graph.initializer.append(numpy_helper.from_array(np.array([0]), f"{PROBABILITIES}_axes"))
    nodes = [
        helper.make_node(onnx_preprocessing.NAME, [PHOTO], [VIEWS], domain=onnx_preprocessing.DOMAIN),
        *graph.node,
        helper.make_node("Exp", [OUTPUT], [one]),
        helper.make_node("Squeeze", [one, f"{PROBABILITIES}_axes"], [PROBABILITIES]),
    ]
    graph.value_info.extend([*graph.input, *graph.output])  # so that `read` finds the network again
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend(nodes)
    graph.input.append(helper.make_tensor_value_info(PHOTO, TensorProto.UINT8, ["height", "width", 3]))
    graph.output.append(helper.make_tensor_value_info(PROBABILITIES, TensorProto.FLOAT, [len(header.classes)]))
    graph.name = "classifier"
    helper.set_model_props(model, model_header.encode(header))
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def _remove_origin(model: onnx.ModelProto) -> None:
    """Remove what PyTorch notes about the origin of the graph: stack traces contain paths of the machine."""
    del model.graph.metadata_props[:], model.metadata_props[:]
    for part in (*model.graph.node, *model.graph.value_info, *model.graph.initializer, *model.graph.input):
        del part.metadata_props[:]
        part.doc_string = ""


@dataclass(frozen=True)
class OnnxFile:
    """The content of models/model.onnx.

    Attributes:
        header: its metadata.
        network: the part of the graph from views to log-probabilities, for `OnnxEngine`.
    """

    header: Header
    network: bytes


def read(path: Path) -> OnnxFile:
    """Read models/model.onnx.

    Raises:
        UserError: the file is missing, or is not a model that this version of Boatyard exported.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError(
            f"{path} does not exist: run `dvc repro` to make it, or `dvc pull {path}` to fetch it"
        ) from None
    except OSError as error:
        raise UserError(f"{path} can't be read ({error.strerror}): fix its permissions") from None
    try:
        model = onnx.load_from_string(content)
    except Exception as error:  # protobuf's own errors, of which it has several kinds
        raise UserError(f"{path} is not an ONNX file ({str(error)[:200]}): export or fetch it again") from None
    header = model_header.decode({entry.key: entry.value for entry in model.metadata_props}, str(path))
    try:
        _check(model, header)
        network = Extractor(model).extract_model([VIEWS], [OUTPUT])
        return OnnxFile(header, network.SerializeToString())
    except (
        ValueError,
        TypeError,
        KeyError,
        onnx.checker.ValidationError,
        onnx.shape_inference.InferenceError,
    ) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path} is not a model that Boatyard exported ({reason}): export or fetch it again") from None


def _check(model: onnx.ModelProto, header: Header) -> None:
    """Raise ValueError for anything that `build` would not have written."""
    if any(tensor.data_location == TensorProto.EXTERNAL for tensor in model.graph.initializer):
        raise ValueError("its weights are in other files")
    outputs = {value.name: value.type.tensor_type for value in model.graph.output}
    if PROBABILITIES not in outputs:
        raise ValueError(f"it has no output {PROBABILITIES}")
    shape = [dimension.dim_value for dimension in outputs[PROBABILITIES].shape.dim]
    if shape != [len(header.classes)]:
        raise ValueError(f"it has {len(header.classes)} classes, but probabilities of shape {shape}")
