"""`boatyard export`: a model's ONNX file, and self-contained files to pass on."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import small_model

from boatyard import Classifier, cli
from boatyard.core import paths
from boatyard.export import onnx_file
from boatyard.models import model_file


def export(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as exit:
        cli.main(["export", *map(str, arguments)])
    return exit.value.code


def test_it_writes_what_the_stage_writes(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = paths.ONNX.read_bytes(), paths.ONNX_DATA.read_bytes()
    paths.ONNX.unlink()
    paths.ONNX_DATA.unlink()

    assert export("--photos", photo) == 0

    assert (paths.ONNX.read_bytes(), paths.ONNX_DATA.read_bytes()) == before
    assert capsys.readouterr().out == (
        "models/model.onnx: on 1 photos, no probability differs from the model's by more than 0.0001\n"
        "models/model.onnx_data: its backbone's weights; keep both in the same folder\n"
    )


def test_two_exports_in_one_folder_do_not_share_their_weights(photo: Path) -> None:
    before = paths.ONNX_DATA.read_bytes()

    assert export("--photos", photo, "--output", "models/other.onnx") == 0

    assert paths.ONNX_DATA.read_bytes() == Path("models/other.onnx_data").read_bytes() == before
    assert onnx_file.joined(Path("models/other.onnx")) == onnx_file.joined(paths.ONNX)


@pytest.mark.parametrize("model", [(), ("--model", paths.ONNX), ("--model", paths.MODEL, "--photos", "photo.png")])
def test_a_single_onnx_file_is_the_one_that_was_exported(
    photo: Path, model: tuple[str | Path, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    network, header = small_model.network()

    assert export("--single-file", *model) == 0

    single = Path("classifier.onnx")
    assert single.read_bytes() == onnx_file.build(small_model.graph(network), header)
    assert capsys.readouterr().out.startswith("classifier.onnx: ")
    expected = Classifier.load(paths.ONNX)(photo).log_probabilities
    assert np.array_equal(Classifier.load(single)(photo).log_probabilities, expected)


def test_a_single_safetensors_file_is_the_one_without_a_part(photo: Path) -> None:
    model_file.save(Path("expected"), *small_model.network())

    assert export("--single-file", "--output", "classifier.safetensors") == 0

    single = Path("classifier.safetensors")
    assert single.read_bytes() == Path("expected").read_bytes()
    expected = Classifier.load(paths.MODEL)(photo).log_probabilities
    assert np.array_equal(Classifier.load(single)(photo).log_probabilities, expected)


def test_a_single_onnx_file_is_made_without_torch(model_repository: Path) -> None:
    code = """
import sys
from boatyard import cli
try:
    cli.main(["export", "--single-file", "--output", "one.onnx"])
finally:
    print([name for name in ("torch", "timm", "dvc") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "one.onnx: all of models/model.onnx\n[]\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--output", "x.safetensors"), "x.safetensors: add --single-file to write a safetensors file"),
        (("--model", paths.ONNX), "models/model.onnx is not a safetensors file"),
        (("--model", paths.ONNX, "--single-file", "--output", "x.safetensors"), "is not a safetensors file"),
        (("--model", "none.onnx", "--single-file"), "none.onnx does not exist"),
        (("--model", paths.MODEL_BACKBONE), "models/backbone.safetensors is only the backbone of a model"),
    ],
)
def test_what_it_can_not_do_is_one_line(
    photo: Path, arguments: tuple[str | Path, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(photo.parent.rglob("*"))

    assert export(*arguments) == 2

    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert sorted(photo.parent.rglob("*")) == before
