"""models/model.onnx: the engine's network, its preprocessing, and no trace of the machine that wrote it."""

import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import small_model
from onnx import TensorProto
from PIL import Image

from boatyard.core import paths
from boatyard.core.errors import UserError
from boatyard.export import onnx_file
from boatyard.images.views import plain_view
from boatyard.models import model_header
from boatyard.models.engines.onnx_engine import OnnxEngine
from boatyard.models.onnx_runtime import session


def noise(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_the_file_gives_the_probabilities_of_the_network_for_the_plain_view(model_repository: Path) -> None:
    network, header = small_model.network()
    pipeline = OnnxEngine(small_model.graph(network), 1)
    file = onnx_file.read(paths.ONNX)
    part, whole = OnnxEngine(file.network, 1), session(paths.ONNX.read_bytes())

    assert file.header == header
    results = set()
    for width, height in ((64, 64), (200, 90), (31, 500)):
        pixels = noise(width, height)
        view = plain_view(Image.fromarray(pixels), header.preprocessing)
        expected = pipeline(view[None])
        assert np.array_equal(part(view[None]), expected)
        (probabilities,) = whole.run([onnx_file.PROBABILITIES], {onnx_file.PHOTO: pixels})
        assert (probabilities.dtype, probabilities.shape) == (np.float32, (3,))
        assert np.allclose(probabilities, np.exp(expected[0]), rtol=1e-6, atol=0)
        results.add(round(float(probabilities[0]), 4))
    assert len(results) == 3  # they differ from photo to photo


def test_the_same_network_gives_the_same_bytes_without_a_trace_of_the_machine(model_repository: Path) -> None:
    network, header = small_model.network()
    content = paths.ONNX.read_bytes()

    assert onnx_file.build(small_model.graph(network), header) == content
    traces = [b".py", b"/site-packages", str(Path.home()).encode(), str(Path(__file__).parents[2]).encode()]
    host = socket.gethostname().encode()
    assert not any(trace in content for trace in [*traces, *([host] if len(host) > 5 else [])])


def test_the_metadata_is_that_of_the_safetensors_file(model_repository: Path) -> None:
    found = session(paths.ONNX.read_bytes()).get_modelmeta().custom_metadata_map

    assert model_header.decode(found, "x") == model_header.read(paths.MODEL)


Change = Callable[[onnx.ModelProto], None]


def without_metadata(model: onnx.ModelProto) -> None:
    del model.metadata_props[:]


def other_classes(model: onnx.ModelProto) -> None:
    model.metadata_props[0].value = model.metadata_props[0].value.replace('"barge", ', "")


def damaged_metadata(model: onnx.ModelProto) -> None:
    model.metadata_props[0].value = model.metadata_props[0].value[:-20]


def external_weights(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")


def other_names(model: onnx.ModelProto) -> None:
    model.graph.output[0].name = "scores"


def no_network(model: onnx.ModelProto) -> None:
    del model.graph.value_info[:]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_metadata, "has no Boatyard metadata"),
        (other_classes, "it has 2 classes, but probabilities of shape [3]"),
        (damaged_metadata, "has damaged metadata"),
        (external_weights, "its weights are in other files"),
        (other_names, "it has no output probabilities"),
        (no_network, "is not a model that Boatyard exported"),
    ],
)
def test_a_file_that_was_tampered_with_is_one_line(model_repository: Path, change: Change, message: str) -> None:
    model = onnx.load(paths.ONNX, load_external_data=False)
    change(model)
    paths.ONNX.write_bytes(model.SerializeToString())

    with pytest.raises(UserError) as error:
        onnx_file.read(paths.ONNX)

    assert message in str(error.value)
    assert str(error.value).startswith("models/model.onnx")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"\x08", b"no protocol buffer", b"\x00" * 1000, b"PK\x03\x04" + b"z" * 99])
def test_a_file_that_is_not_onnx_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.onnx").write_bytes(content)

    with pytest.raises(UserError, match=r"x\.onnx (is not an ONNX file|has no Boatyard metadata)"):
        onnx_file.read(tmp_path / "x.onnx")


def test_a_file_cut_off_anywhere_is_one_line(model_repository: Path) -> None:
    content = paths.ONNX.read_bytes()
    for share in np.linspace(0, 1, 40)[:-1]:
        paths.ONNX.write_bytes(content[: int(share * len(content))])
        with pytest.raises(UserError, match="models"):
            onnx_file.read(paths.ONNX)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist: run `dvc repro` to make it, or `dvc pull"):
        onnx_file.read(tmp_path / "x.onnx")
