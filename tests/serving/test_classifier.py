"""A trained model for notebooks and commands: the same result from either file and for any form of photo."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from properties import check_told, damaged, examples

from boatyard import Classifier
from boatyard.core.errors import UserError
from boatyard.export import onnx_file
from boatyard.images.decoding import UnreadablePhoto, open_photo
from boatyard.images.views import Preprocessing
from boatyard.models.model_header import Header
from boatyard.serving.classifier import Classification

ONNX, SAFETENSORS = "models/model.onnx", "models/model.safetensors"


def test_both_files_give_the_same_result_to_the_bit(photo: Path) -> None:
    one, other = Classifier.load(ONNX)(photo), Classifier.load(SAFETENSORS)(photo)

    assert one.log_probabilities.dtype == np.float32
    assert np.array_equal(one.log_probabilities, other.log_probabilities)


def test_a_photo_may_be_a_file_an_image_or_pixels(photo: Path) -> None:
    classifier = Classifier.load(ONNX)
    expected = classifier(photo).log_probabilities

    for form in (str(photo), Image.open(photo), np.asarray(Image.open(photo))):
        assert np.array_equal(classifier(form).log_probabilities, expected)


# How a camera that writes this EXIF orientation stores an upright photo.
STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("model", [ONNX, SAFETENSORS])
def test_a_photo_is_rotated_by_its_orientation(photo: Path, model: str) -> None:
    classifier = Classifier.load(model)
    expected = classifier(photo).log_probabilities
    path = photo.with_name("rotated.png")
    for orientation, transposed in STORED.items():
        rotated = Image.open(photo).transpose(transposed)
        exif = Image.Exif()
        exif[274] = orientation
        rotated.save(path, exif=exif)

        assert not np.array_equal(classifier(rotated).log_probabilities, expected), orientation
        for form in (path, Image.open(path), open_photo(path)):
            assert np.array_equal(classifier(form).log_probabilities, expected), orientation


def test_a_result_ranks_the_classes() -> None:
    result = Classification(["barge", "canoe", "ferry"], np.log(np.array([0.2, 0.5, 0.3])))

    assert (result.label, round(result.probability, 12)) == ("canoe", 0.5)
    assert [label for label, _ in result.top(2)] == ["canoe", "ferry"]
    assert list(result.probabilities) == ["canoe", "ferry", "barge"]
    assert sum(result.probabilities.values()) == pytest.approx(1)
    assert str(result) == "canoe 50.0 %, ferry 30.0 %, barge 20.0 %"


def test_many_photos_come_in_order_and_views_are_averaged(photo: Path) -> None:
    classifier = Classifier.load(ONNX)
    mirrored = np.asarray(Image.open(photo))[:, ::-1]
    plain, flipped = classifier.plain_view(photo), classifier.plain_view(np.ascontiguousarray(mirrored))
    given = {"plain": [plain], "none": [], "both": [plain, flipped], "flipped": [flipped]}

    answers = dict(zip(given, classifier.each(list(given), given.__getitem__), strict=True))

    assert answers["none"] is None
    one, two, both = (np.exp(answers[name].log_probabilities) for name in ("plain", "flipped", "both"))
    assert np.abs(one - two).max() > 1e-3
    assert np.allclose(both, (one + two) / 2, atol=1e-6)


def test_what_is_not_a_photo_says_why(photo: Path) -> None:
    classifier = Classifier.load(ONNX)
    photo.write_bytes(b"text")

    with pytest.raises(UnreadablePhoto, match="not a photo in a known format"):
        classifier(photo)
    with pytest.raises(UnreadablePhoto, match="no such file"):
        classifier("nowhere.jpg")
    with pytest.raises(ValueError, match=r"uint8 \[height, width, 3\], not float64 \[2, 2\]"):
        classifier(np.zeros((2, 2)))


@pytest.mark.parametrize("name", ["model.pt", "model.pkl", "model"])
def test_no_other_kind_of_file_is_opened(model_repository: Path, name: str) -> None:
    (model_repository / name).write_bytes((model_repository / SAFETENSORS).read_bytes())

    with pytest.raises(UserError, match=r"is neither an \.onnx nor a \.safetensors file"):
        Classifier.load(name)


def test_nothing_is_left_where_there_is_no_repository(photo: Path) -> None:
    Classifier.load(SAFETENSORS)(photo)

    assert sorted(path.name for path in photo.parent.iterdir()) == ["models", "photo.png"]


def test_an_onnx_file_runs_without_torch(photo: Path) -> None:
    code = """
import sys
from boatyard import Classifier
print(Classifier.load("models/model.onnx")("photo.png").label)
print([name for name in ("torch", "torchvision", "timm", "matplotlib", "dvc") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines() == [Classifier.load(ONNX)(photo).label, "[]"]


def test_the_package_has_no_other_name() -> None:
    import boatyard

    with pytest.raises(AttributeError, match="has no attribute 'Clasifier'"):
        boatyard.Clasifier  # noqa: B018


def test_a_file_that_can_not_be_run_is_one_line(photo: Path) -> None:
    model = onnx.load_from_string(onnx_file.joined(Path(ONNX)))
    node = next(node for node in model.graph.node if node.op_type == "Conv")
    node.op_type = "Convolute"
    onnx.save(model, ONNX)

    with pytest.raises(UserError, match=r"^models/model\.onnx can't be run .*Convolute"):
        Classifier.load(ONNX)


def with_the_first_weight_flat(model: onnx.ModelProto) -> None:
    weight = model.graph.initializer[0]
    weight.CopyFrom(onnx.numpy_helper.from_array(np.zeros(3, np.float32), weight.name))


def for_views_of_another_size(model: onnx.ModelProto) -> None:
    model.metadata_props[0].value = model.metadata_props[0].value.replace('"size": 64', '"size": 32')


def with_more_outputs_than_classes(model: onnx.ModelProto) -> None:
    node = next(node for node in model.graph.node if "output" in node.output)
    node.output[0] = "three"
    model.graph.node.append(onnx.helper.make_node("Concat", ["three", "three"], ["output"], axis=1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (with_the_first_weight_flat, "X num_dims does not match W num_dims"),
        (for_views_of_another_size, "Got invalid dimensions for input: views"),
        (with_more_outputs_than_classes, r"it has 3 classes, but outputs of shape \[1, 6\]"),
    ],
)
def test_a_graph_that_does_not_fit_itself_or_its_header_is_one_line(
    photo: Path, capfd: pytest.CaptureFixture[str], change: Callable[[onnx.ModelProto], None], message: str
) -> None:
    model = onnx.load_from_string(onnx_file.joined(Path(ONNX)))
    change(model)
    onnx.save(model, ONNX)

    with pytest.raises(
        UserError, match=rf"^models/model\.onnx can't be run \(.*{message}.*\): export or fetch it again$"
    ):
        Classifier.load(ONNX)(photo)
    assert capfd.readouterr() == ("", "")  # nothing from onnxruntime


def test_weights_with_nan_are_one_line(photo: Path) -> None:
    model = onnx.load_from_string(onnx_file.joined(Path(ONNX)))
    bias = next(tensor for tensor in model.graph.initializer if tensor.name == "head.classes.bias")
    bias.CopyFrom(onnx.numpy_helper.from_array(np.full(3, np.nan, np.float32), bias.name))
    onnx.save(model, ONNX)

    with pytest.raises(UserError, match="the model's weights are damaged"):
        Classifier.load(ONNX)(photo)


def test_onnx_runtime_tells_nobody(photo: Path, tmp_path: Path) -> None:
    """Its telemetry keeps an id in the home folder and one in the temporary one."""
    homes = {name: str(tmp_path / name) for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME")}
    for home in homes.values():
        Path(home).mkdir()
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")}
    script = f"from boatyard import Classifier; print(Classifier.load('{ONNX}')('{photo}'))"

    subprocess.run([sys.executable, "-c", script], env=environment | homes, check=True)

    assert [path for home in homes.values() for path in Path(home).rglob("*")] == []


def tiny_file() -> bytes:
    """An ONNX file in Boatyard's format with a network of three weights."""
    header = Header(
        ["a", "b", "c"], "none", 0, 0.0, Preprocessing(16, 1.0, "bilinear", (0.5,) * 3, (0.5,) * 3), 1.0, {}
    )
    network = onnx.parser.parse_model("""
        <ir_version: 10, opset_import: ["" : 20]>
        network (uint8[1, 3, 16, 16] views) => (float[1, 3] output)
        <float[3] weight = {0.1, 0.2, 0.3}>
        {
            numbers = Cast <to = 1> (views)
            axes = Constant <value = int64[2] {2, 3}> ()
            means = ReduceMean <keepdims = 0> (numbers, axes)
            logits = Mul (means, weight)
            output = LogSoftmax (logits)
        }
    """)
    return onnx_file.build(network.SerializeToString(), header)


def test_a_name_that_is_not_utf8_is_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Found by fuzzing: onnxruntime told of it on standard output, and tried again.

    What it raises depends on the version of Python: a UnicodeDecodeError, or an error of its own without a text.
    """
    path = tmp_path / "model.onnx"
    path.write_bytes(tiny_file().replace(b"LogSoftmax", b"LogSoftma\xff"))
    with pytest.raises(UserError, match=r"model\.onnx can't be run \(('utf-8' codec can't decode byte 0xff|\w+\):)"):
        Classifier.load(path)
    assert capfd.readouterr() == ("", "")


def flipped(content: bytes) -> st.SearchStrategy[bytes]:
    """With some single bytes changed, which mostly leaves it a message of protobuf's, and a graph of another kind."""

    def change(places: dict[int, int]) -> bytes:
        return bytes(places.get(place, byte) for place, byte in enumerate(content))

    return st.dictionaries(st.integers(0, len(content) - 1), st.integers(0, 255), max_size=2).map(change)


@examples(150)
@given(flipped(tiny_file()) | damaged([tiny_file()]))
def test_whatever_its_bytes_an_onnx_file_runs_or_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    try:
        result = Classifier.load(path)(np.zeros((16, 16, 3), np.uint8))
    except UserError as error:
        check_told(error)
    else:
        assert len(result.log_probabilities) == len(result.classes)


@pytest.mark.parametrize("suffix", [".onnx", ".safetensors"])
@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_a_model_that_could_be_read_forever_is_one_line(
    tmp_path: Path, make: Callable[[Path], None], suffix: str
) -> None:
    path = tmp_path / f"model{suffix}"
    make(path)

    with pytest.raises(UserError, match=f"^{path} is not a file: name the model file, such as models/model.onnx$"):
        Classifier.load(path)
