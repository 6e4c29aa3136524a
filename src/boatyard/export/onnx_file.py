"""models/model.onnx: one ONNX graph from a photo to probabilities, its preprocessing inside.

    photo          uint8 [height, width, 3], RGB, upright, of any size
    → PlainView    a function in the file itself (`plain_view_graph`)
    → views        uint8 [1, 3, s, s]
    → the network  as the engine runs it
    → output       log-probabilities, float32 [1, k]
    → probabilities  float32 [k]

The metadata property `boatyard` holds the same JSON as the header of the safetensors file: classes, preprocessing,
settings.

This module does not import torch.
"""

from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import TensorProto, helper, parser
from onnx.utils import Extractor

from boatyard.core.errors import UserError
from boatyard.export import onnx_preprocessing
from boatyard.models import model_header
from boatyard.models.model_header import Header
from boatyard.models.onnx_runtime import INPUT, OUTPUT

PHOTO, PROBABILITIES = "photo", "probabilities"


def build(network: bytes, about: Header) -> bytes:
    """The file's content; the same network and header give the same bytes.

    Args:
        network: the graph of `boatyard.models.onnx_graphs`, from views to log-probabilities.
        about: what the file says of itself.

    Raises:
        UserError: the backbone's interpolation can't be written as ONNX.
    """
    model = onnx.load_from_string(network)
    _forget_origin(model)
    wrapping = _wrapping(about, model.opset_import[0].version)
    model.functions.extend(wrapping.functions)
    model.opset_import.append(helper.make_opsetid(onnx_preprocessing.DOMAIN, 1))
    graph, (before, *after) = model.graph, wrapping.graph.node
    nodes = [before, *graph.node, *after]
    graph.value_info.extend([*graph.input, *graph.output])  # by which `read` finds the network again
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend(nodes)
    graph.input.extend(wrapping.graph.input)
    graph.output.extend(wrapping.graph.output)
    graph.name = wrapping.graph.name
    helper.set_model_props(model, model_header.encode(about))
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _wrapping(about: Header, opset: int) -> onnx.ModelProto:
    """What stands before and behind the network: its first node makes the view, the others the probabilities."""
    return parser.parse_model(f"""
        <ir_version: 10, opset_import: ["" : {opset}, "{onnx_preprocessing.DOMAIN}" : 1]>
        classifier (uint8[height, width, 3] {PHOTO}) => (float[{len(about.classes)}] {PROBABILITIES})
        {{
            {INPUT} = {onnx_preprocessing.DOMAIN}.{onnx_preprocessing.NAME}({PHOTO})
            {PROBABILITIES}_of_one = Exp({OUTPUT})
            {PROBABILITIES}_axes = Constant <value = int64[1] {{0}}> ()
            {PROBABILITIES} = Squeeze({PROBABILITIES}_of_one, {PROBABILITIES}_axes)
        }}
        {onnx_preprocessing.functions(about.preprocessing, opset)}
    """)


def _forget_origin(model: onnx.ModelProto) -> None:
    """Take out what PyTorch notes of where the graph comes from: stack traces name files of the machine."""
    del model.graph.metadata_props[:], model.metadata_props[:]
    for part in (*model.graph.node, *model.graph.value_info, *model.graph.initializer, *model.graph.input):
        del part.metadata_props[:]
        part.doc_string = ""


@dataclass(frozen=True)
class OnnxFile:
    """What an ONNX file of ours holds.

    Attributes:
        about: its header.
        network: the part of the graph from views to log-probabilities, for `OnnxEngine`.
    """

    about: Header
    network: bytes


def read(path: Path) -> OnnxFile:
    """Read models/model.onnx.

    Raises:
        UserError: the file is missing, or is no model that this version of Boatyard exported.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path} is not here: run `dvc repro` to make it, or `dvc pull {path}` to fetch it") from None
    except OSError as error:
        raise UserError(f"{path} can't be read ({error.strerror}): mend its rights") from None
    try:
        model = onnx.load_from_string(content)
    except Exception as error:  # protobuf's own errors, of which it has several kinds
        raise UserError(f"{path} is no ONNX file ({str(error)[:200]}): export or fetch it again") from None
    about = model_header.decode({entry.key: entry.value for entry in model.metadata_props}, str(path))
    try:
        _check(model, about)
        network = Extractor(model).extract_model([INPUT], [OUTPUT])
        return OnnxFile(about, network.SerializeToString())
    except (
        ValueError,
        TypeError,
        KeyError,
        onnx.checker.ValidationError,
        onnx.shape_inference.InferenceError,
    ) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path} is no model that Boatyard exported ({reason}): export or fetch it again") from None


def _check(model: onnx.ModelProto, about: Header) -> None:
    """Raise ValueError for what `build` would not have written."""
    if any(tensor.data_location == TensorProto.EXTERNAL for tensor in model.graph.initializer):
        raise ValueError("it keeps weights in other files")
    outputs = {value.name: value.type.tensor_type for value in model.graph.output}
    if PROBABILITIES not in outputs:
        raise ValueError(f"it gives no {PROBABILITIES}")
    shape = [dimension.dim_value for dimension in outputs[PROBABILITIES].shape.dim]
    if shape != [len(about.classes)]:
        raise ValueError(f"it names {len(about.classes)} classes, and gives probabilities of the shape {shape}")
