"""models/model.onnx: the engine's network, its preprocessing, and no trace of the machine that wrote it."""

import hashlib
import os
import socket
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import small_model
import torch
from onnx import TensorProto
from PIL import Image

from boatyard.core import paths
from boatyard.core.errors import UserError
from boatyard.export import onnx_file
from boatyard.images.views import plain_view
from boatyard.models import model_header
from boatyard.models.engines.onnx_engine import OnnxEngine
from boatyard.models.model_header import Header
from boatyard.models.network import Network, head
from boatyard.models.onnx_runtime import session


def noise(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)


def probabilities(run: onnxruntime.InferenceSession, pixels: np.ndarray) -> np.ndarray:
    (found,) = run.run([onnx_file.PROBABILITIES], {onnx_file.PHOTO: pixels})
    return found


def test_the_file_gives_the_probabilities_of_the_network_for_the_plain_view(model_repository: Path) -> None:
    network, header = small_model.network()
    pipeline = OnnxEngine(small_model.graph(network), 1)
    file = onnx_file.read(paths.ONNX)
    part, whole = OnnxEngine(file.network, 1), session(onnx_file.joined(paths.ONNX))

    assert file.header == header
    results = set()
    for width, height in ((64, 64), (200, 90), (31, 500)):
        pixels = noise(width, height)
        view = plain_view(Image.fromarray(pixels), header.preprocessing)
        expected = pipeline(view[None])
        assert np.array_equal(part(view[None]), expected)
        found = probabilities(whole, pixels)
        assert (found.dtype, found.shape) == (np.float32, (3,))
        assert np.allclose(found, np.exp(expected[0]), rtol=1e-6, atol=0)
        results.add(round(float(found[0]), 4))
    assert len(results) == 3  # they differ from photo to photo


def test_the_same_network_gives_the_same_bytes_without_a_trace_of_the_machine(model_repository: Path) -> None:
    network, header = small_model.network()
    single = onnx_file.build(small_model.graph(network), header)

    assert onnx_file.joined(paths.ONNX) == single
    assert onnx_file.split(single, paths.ONNX_DATA.name) == (paths.ONNX.read_bytes(), paths.ONNX_DATA.read_bytes())
    traces = [b".py", b"/site-packages", str(Path.home()).encode(), str(Path(__file__).parents[2]).encode()]
    host = socket.gethostname().encode()
    traces += [host] if len(host) > 5 else []
    assert not any(trace in content for trace in traces for content in (single, paths.ONNX.read_bytes()))


def test_the_metadata_is_that_of_the_safetensors_file(model_repository: Path) -> None:
    found = onnxruntime.InferenceSession(paths.ONNX).get_modelmeta().custom_metadata_map

    assert model_header.decode(found, "x")[0] == model_header.read(paths.MODEL)


def test_plain_onnx_runtime_loads_both_forms_with_the_same_results(model_repository: Path, tmp_path: Path) -> None:
    single = tmp_path / "single.onnx"
    onnx_file.save(single, onnx_file.joined(paths.ONNX))
    pixels = noise(200, 90)
    expected = probabilities(onnxruntime.InferenceSession(single), pixels)

    os.chdir(tmp_path)  # what matters is the folder of the model
    split = onnxruntime.InferenceSession(model_repository / paths.ONNX)

    assert np.array_equal(probabilities(split, pixels), expected)
    assert onnx_file.read(single) == onnx_file.read(model_repository / paths.ONNX)
    assert onnx_file.joined(single) == single.read_bytes()


def test_it_loads_where_dvc_links_to_its_cache(model_repository: Path) -> None:
    """With `cache.type symlink`, every file of models/ is a link into a different folder.

    ONNX Runtime alone refuses that (docs/predicting.md).
    """
    expected = onnx_file.read(paths.ONNX)
    for number, path in enumerate((paths.ONNX, paths.ONNX_DATA)):
        stored = model_repository / "cache" / str(number) / "content"
        stored.parent.mkdir(parents=True)
        path.rename(stored)
        path.symlink_to(stored)

    assert onnx_file.read(paths.ONNX) == expected


def test_while_the_backbone_is_frozen_its_weights_keep_their_bytes() -> None:
    network, header = small_model.network()

    def files(network: Network, header: Header) -> tuple[bytes, bytes]:
        return onnx_file.split(onnx_file.build(small_model.graph(network), header), "model.onnx_data")

    first, weights = files(network, header)
    assert len(first) < len(weights) / 20
    for changes, hidden, names, temperature in (
        ({"hidden": 0}, 0, header.classes, header.temperature),
        ({"hidden": 300}, 300, header.classes, header.temperature),
        ({"dropout": 0.1, "params": {"seed": 1}}, 8, header.classes, header.temperature),
        ({"classes": ["a", "b", "c", "d"]}, 8, ["a", "b", "c", "d"], header.temperature),
        ({"temperature": 2.0}, 8, header.classes, 2.0),
    ):
        other = Network(network.embedder, head(network.embedder.width, hidden, 0.4, len(names), temperature)).eval()
        model, same = files(other, replace(header, **changes))
        assert (same == weights, model == first) == (True, False), changes

    tuned, _ = small_model.network()
    with torch.no_grad():
        next(tuned.embedder.parameters())[0] += 1
    assert files(tuned, header)[1] != weights


Change = Callable[[onnx.ModelProto], object]


def without_metadata(model: onnx.ModelProto) -> None:
    del model.metadata_props[:]


def other_classes(model: onnx.ModelProto) -> None:
    model.metadata_props[0].value = model.metadata_props[0].value.replace('"barge", ', "")


def damaged_metadata(model: onnx.ModelProto) -> None:
    model.metadata_props[0].value = model.metadata_props[0].value[:-20]


def of_no_part(model: onnx.ModelProto) -> None:
    header, _ = model_header.decode({entry.key: entry.value for entry in model.metadata_props}, "")
    onnx.helper.set_model_props(model, model_header.encode(header))


def other_names(model: onnx.ModelProto) -> None:
    model.graph.output[0].name = "scores"


def two_of_a_name(model: onnx.ModelProto) -> None:
    model.graph.node.append(model.graph.node[0])


def no_network(model: onnx.ModelProto) -> None:
    del model.graph.value_info[:]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_metadata, "has no Boatyard metadata"),
        (other_classes, "it has 2 classes, but probabilities of shape [3]"),
        (damaged_metadata, "has damaged metadata"),
        (of_no_part, "its weights are in other files"),
        (other_names, "it has no output probabilities"),
        (two_of_a_name, "is not a model that Boatyard exported"),
        (no_network, "is not a model that Boatyard exported"),
    ],
)
def test_a_file_that_was_tampered_with_is_one_line(model_repository: Path, change: Change, message: str) -> None:
    error = error_after(change)

    assert message in error
    assert error.startswith("models/model.onnx")


def error_after(change: Change) -> str:
    """The error line of reading models/model.onnx after a change to its graph."""
    model = onnx.load(paths.ONNX, load_external_data=False)
    change(model)
    paths.ONNX.write_bytes(model.SerializeToString())

    with pytest.raises(UserError) as error:
        onnx_file.read(paths.ONNX)

    assert "\n" not in str(error.value)
    return str(error.value)


def first_external(model: onnx.ModelProto) -> TensorProto:
    return next(tensor for tensor in model.graph.initializer if tensor.data_location == TensorProto.EXTERNAL)


def place(model: onnx.ModelProto, **changes: str) -> None:
    for entry in first_external(model).external_data:
        entry.value = changes.get(entry.key, entry.value)


def external(name: str) -> TensorProto:
    """A tensor in the model's own data file, at a valid place."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[64], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", paths.ONNX_DATA.name), ("offset", "0"), ("length", "256")):
        tensor.external_data.add(key=key, value=value)
    return tensor


def constant(name: str) -> onnx.NodeProto:
    return onnx.helper.make_node("Constant", [], [name], value=external("value"))


def in_a_subgraph(model: onnx.ModelProto) -> None:
    branch = onnx.helper.make_graph([], "branch", [], [], initializer=[external("inner")])
    model.graph.node.append(onnx.helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch))


def sparse(model: onnx.ModelProto) -> None:
    model.graph.sparse_initializer.add().values.CopyFrom(external("sparse"))


def swapped(model: onnx.ModelProto) -> None:
    tensors = model.graph.initializer
    tensors.append(first_external(model))
    tensors.remove(first_external(model))


ELSEWHERE = "is at an unexpected place in another file"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        *(
            (partial(place, location=location), ELSEWHERE)
            for location in ("../../etc/passwd", "/etc/passwd", "model.safetensors", "./model.onnx_data", "")
        ),
        (partial(place, offset="64"), ELSEWHERE),
        (partial(place, offset="-64"), ELSEWHERE),
        (partial(place, length="0"), ELSEWHERE),
        (partial(place, length="-64"), ELSEWHERE),
        (partial(place, length="9" * 30), ELSEWHERE),
        (partial(place, length="64"), ELSEWHERE),  # the next tensor's then
        (partial(place, length="x"), "invalid literal for int"),
        (partial(place, length="0" * 5000), "is not a model that Boatyard exported"),
        (lambda model: first_external(model).external_data.pop(), "'length'"),
        (lambda model: first_external(model).external_data.add(key="checksum", value="0"), ELSEWHERE),
        (lambda model: first_external(model).external_data.append(first_external(model).external_data[0]), ELSEWHERE),
        (lambda model: model.graph.initializer.append(external("again")), ELSEWHERE),
        (lambda model: model.graph.initializer.remove(first_external(model)), ELSEWHERE),
        (swapped, ELSEWHERE),
        (lambda model: model.graph.node.append(constant("more")), "its weights are in other files"),
        (lambda model: model.functions[0].node.append(constant("more")), "its weights are in other files"),
        (in_a_subgraph, "its weights are in other files"),
        (sparse, "its weights are in other files"),
    ],
)
def test_external_data_in_any_other_form_are_refused(model_repository: Path, change: Change, message: str) -> None:
    error = error_after(change)

    assert message in error
    assert error.startswith("models/model.onnx is not a model that Boatyard exported (")


def test_weights_that_the_graph_does_not_use_are_refused(model_repository: Path) -> None:
    header, _ = model_header.decode({e.key: e.value for e in onnx.load(paths.ONNX).metadata_props}, "")
    data = paths.ONNX_DATA.read_bytes() + bytes(64)
    paths.ONNX_DATA.write_bytes(data)
    model = onnx.load(paths.ONNX, load_external_data=False)
    part = model_header.Part(paths.ONNX_DATA.name, hashlib.sha256(data).hexdigest())
    onnx.helper.set_model_props(model, model_header.encode(header, part))
    paths.ONNX.write_bytes(model.SerializeToString())

    with pytest.raises(UserError, match=r"model\.onnx_data has \d+ bytes, but the graph uses \d+"):
        onnx_file.read(paths.ONNX)


def test_a_part_that_is_missing_or_of_another_model_is_one_line(model_repository: Path) -> None:
    content = bytearray(paths.ONNX_DATA.read_bytes())
    content[len(content) // 2] ^= 1
    paths.ONNX_DATA.write_bytes(content)
    with pytest.raises(
        UserError, match=r"^models/model\.onnx needs another models/model\.onnx_data, this one is damaged "
    ):
        onnx_file.read(paths.ONNX)

    paths.ONNX_DATA.unlink()
    for read in (onnx_file.read, onnx_file.joined):
        with pytest.raises(
            UserError,
            match=r"^models/model\.onnx needs models/model\.onnx_data, which is missing: run `dvc pull models/m",
        ):
            read(paths.ONNX)


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
