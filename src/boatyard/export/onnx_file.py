"""models/model.onnx: one ONNX graph from a photo to probabilities, with its preprocessing.

    photo          uint8 [height, width, 3], RGB, upright, of any size
    → PlainView    a function in the file itself (`onnx_preprocessing`)
    → views        uint8 [1, 3, s, s]
    → the network  as ONNX Runtime runs it in the pipeline
    → output       log-probabilities, float32 [1, k]
    → probabilities  float32 [k]

The metadata property `boatyard` is the same JSON as in the header of the safetensors file: classes, preprocessing,
settings.

The pipeline keeps the backbone's weights in a file of their own, models/model.onnx_data, which stays the same while the
backbone is frozen. No other external data is accepted: a file of the same folder with the name and the SHA-256 in the
metadata, in which the weights lie one after the other, as `split` writes them.

This module does not import torch.
"""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.utils import Extractor

from boatyard.core.errors import UserError
from boatyard.core.files import write_bytes
from boatyard.export import onnx_preprocessing
from boatyard.models import model_header
from boatyard.models.model_header import HEAD, Header, Part
from boatyard.models.onnx_runtime import OUTPUT, VIEWS

PHOTO, PROBABILITIES = "photo", "probabilities"

_EXTERNAL = 1024  # bytes from which on a tensor is external; shapes and the like, which checkers read, are smaller
_ALIGNMENT = 64


def build(network: bytes, header: Header) -> bytes:
    """The content of a self-contained file; the same network and header give the same bytes.

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
        UserError: the file or its part is missing, or is not a model that this version of Boatyard exported.
    """
    model, header, part = _load(path)
    with _errors(path):
        network = Extractor(model).extract_model([VIEWS], [OUTPUT])
        _fill(network, path, part)
        return OnnxFile(header, network.SerializeToString())


def joined(path: Path) -> bytes:
    """The content of a self-contained file of the same model, as `build` makes it.

    Raises:
        UserError: as `read`.
    """
    model, header, part = _load(path)
    with _errors(path):
        _fill(model, path, part)
    helper.set_model_props(model, model_header.encode(header))
    return bytes(model.SerializeToString(deterministic=True))


def save(path: Path, content: bytes, data_file: str | None = None) -> None:
    """Write the content of `build`.

    Args:
        path: of the ONNX file.
        content: of a self-contained file.
        data_file: name of a file in the same folder for the backbone's weights, as ONNX's external data, which depends
            on nothing else; None: the ONNX file is self-contained.

    Raises:
        UserError: a file can't be written.
    """
    if data_file is not None:
        content, data = split(content, data_file)
        write_bytes(path.with_name(data_file), data)
    write_bytes(path, content)


def split(content: bytes, data_file: str) -> tuple[bytes, bytes]:
    """The contents of the two files that `save` makes of a self-contained one."""
    model, data = onnx.load_from_string(content), bytearray()
    for tensor in model.graph.initializer:
        if len(tensor.raw_data) >= _EXTERNAL and not tensor.name.startswith(HEAD):
            data += bytes(-len(data) % _ALIGNMENT)
            place = {"location": data_file, "offset": len(data), "length": len(tensor.raw_data)}
            data += tensor.raw_data
            tensor.ClearField("raw_data")
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in place.items():
                tensor.external_data.add(key=key, value=str(value))
    header, _ = _metadata(model, data_file)
    part = Part(data_file, hashlib.sha256(data).hexdigest())
    helper.set_model_props(model, model_header.encode(header, part))
    return bytes(model.SerializeToString(deterministic=True)), bytes(data)


def _load(path: Path) -> tuple[onnx.ModelProto, Header, Part | None]:
    """The graph, before `_fill`, and its metadata."""
    model_header.check_is_file(path)
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
    header, part = _metadata(model, str(path))
    with _errors(path):
        _check(model, header, part)
    return model, header, part


def _metadata(model: onnx.ModelProto, source: str) -> tuple[Header, Part | None]:
    return model_header.decode({entry.key: entry.value for entry in model.metadata_props}, source)


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (
        ValueError,
        TypeError,
        KeyError,
        AssertionError,
        onnx.checker.ValidationError,
        onnx.shape_inference.InferenceError,
    ) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path} is not a model that Boatyard exported ({reason}): export or fetch it again") from None


def _fill(model: onnx.ModelProto, path: Path, part: Part | None) -> None:
    """Undo `split` in a model that `_check` has passed; raise ValueError if the part is shorter or longer."""
    if part is None:
        return
    with model_header.opened(part, path) as file:
        data = file.read()
    end = 0
    for tensor in _external(model.graph.initializer):
        place = {entry.key: entry.value for entry in tensor.external_data}
        start, end = int(place["offset"]), int(place["offset"]) + int(place["length"])
        tensor.ClearField("external_data")
        tensor.ClearField("data_location")
        tensor.raw_data = data[start:end]
    if end != len(data):
        raise ValueError(f"{part.file} has {len(data)} bytes, but the graph uses {end}")


def _external(tensors: Iterable[TensorProto]) -> list[TensorProto]:
    return [tensor for tensor in tensors if tensor.data_location == TensorProto.EXTERNAL]


def _tensors(message: Any) -> Iterator[TensorProto]:
    """Every tensor in a protocol buffer: initializers and attributes, of subgraphs and functions too."""
    if isinstance(message, TensorProto):
        yield message
        return
    for field in message.DESCRIPTOR.fields:
        if field.message_type:
            value = getattr(message, field.name)
            if hasattr(value, "HasField"):  # a single message, not a list of them
                value = [value] if message.HasField(field.name) else []
            for part in value:
                yield from _tensors(part)


def _check(model: onnx.ModelProto, header: Header, part: Part | None) -> None:
    """Raise ValueError for anything that `build` and `split` would not have written."""
    external = _external(model.graph.initializer) if part else []
    if len(_external(_tensors(model))) > len(external):
        raise ValueError("its weights are in other files")
    end = 0
    for tensor in external:
        found = [(entry.key, entry.value) for entry in tensor.external_data]
        start, length = end + -end % _ALIGNMENT, int(dict(found)["length"])
        expected = {"location": part and part.file, "offset": start, "length": length}
        if length < 1 or found != [(key, str(value)) for key, value in expected.items()]:
            raise ValueError(f"{tensor.name!r} is at an unexpected place in another file")
        end = start + length
    outputs = {value.name: value.type.tensor_type for value in model.graph.output}
    if PROBABILITIES not in outputs:
        raise ValueError(f"it has no output {PROBABILITIES}")
    shape = [dimension.dim_value for dimension in outputs[PROBABILITIES].shape.dim]
    if shape != [len(header.classes)]:
        raise ValueError(f"it has {len(header.classes)} classes, but probabilities of shape {shape}")
