"""What a model file says of itself: read back whole, read without torch, and refused in one line when it is wrong."""

import json
import struct
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from properties import damaged, examples
from safetensors.numpy import save, save_file

from boatyard.core.errors import UserError
from boatyard.images.views import Preprocessing
from boatyard.models import model_header
from boatyard.models.model_header import Header

ABOUT = Header(
    classes=["boot, groß", "ship", 'with "quotes"'],
    backbone="efficientnet_lite0",
    hidden=256,
    dropout=0.4,
    preprocessing=Preprocessing(224, 0.875, "bicubic", (127 / 255,) * 3, (128 / 255, 0.1, 1 / 3)),
    temperature=1.25,
    params={"train": {"lr": 0.001, "names": ["a", "b"]}, "seed": 2**62},
)


def write(path: Path, metadata: Mapping[str, str] | None) -> Path:
    save_file({"weight": np.zeros((2, 3), np.float32)}, path, metadata=dict(metadata) if metadata else None)
    return path


def changed(**changes: Any) -> dict[str, str]:
    content = json.loads(model_header.encode(ABOUT)[model_header.KEY])
    return {model_header.KEY: json.dumps({**content, **changes})}


def view(**changes: Any) -> dict[str, str]:
    content = json.loads(model_header.encode(ABOUT)[model_header.KEY])["preprocessing"]
    return changed(preprocessing={**content, **changes})


def without(name: str) -> dict[str, str]:
    content = json.loads(model_header.encode(ABOUT)[model_header.KEY])
    del content[name]
    return {model_header.KEY: json.dumps(content)}


def test_a_header_comes_back_as_it_was(tmp_path: Path) -> None:
    read = model_header.read(write(tmp_path / "model.safetensors", model_header.encode(ABOUT)))
    assert read == ABOUT
    assert isinstance(read.preprocessing.mean, tuple)


def test_a_crop_is_a_number_or_squash(tmp_path: Path) -> None:
    squashed = replace(ABOUT, preprocessing=replace(ABOUT.preprocessing, crop="squash"))
    read = model_header.read(write(tmp_path / "model.safetensors", model_header.encode(squashed)))
    assert read == squashed
    assert model_header.decode(view(crop=1), "model")[0].preprocessing.crop == 1


def test_the_metadata_is_one_key_of_sorted_json() -> None:
    (text,) = model_header.encode(ABOUT).values()
    assert text.startswith(
        '{"backbone": "efficientnet_lite0", "classes": ["boot, groß", "ship", "with \\"quotes\\""], '
    )
    assert '"format": 2, "hidden": 256, ' in text
    assert list(json.loads(text)) == sorted(json.loads(text))


def test_reading_a_header_imports_no_torch(tmp_path: Path) -> None:
    path = write(tmp_path / "model.safetensors", model_header.encode(ABOUT))
    code = f"""
import sys
from pathlib import Path
from boatyard.models import model_header as header
print(header.read(Path({str(path)!r})).backbone, "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "efficientnet_lite0 False\n"


def part(**changes: Any) -> dict[str, str]:
    content = json.loads(model_header.encode(ABOUT, PART)[model_header.KEY])
    return {model_header.KEY: json.dumps({**content, "part": {**content["part"], **changes}})}


PART = model_header.Part("backbone.safetensors", "0" * 63 + "a")


def test_a_part_comes_back_as_it_was_and_a_self_contained_file_has_none(tmp_path: Path) -> None:
    assert model_header.decode(model_header.encode(ABOUT, PART), "x") == (ABOUT, PART)
    assert model_header.decode(model_header.encode(ABOUT), "x") == (ABOUT, None)


WRONG: list[tuple[Mapping[str, str] | None, str]] = [
    (None, "has no Boatyard metadata: it was written by another tool"),
    ({"format": "pt"}, "has no Boatyard metadata: it was written by another tool"),
    ({model_header.KEY: ""}, "damaged metadata .Expecting value"),
    ({model_header.KEY: model_header.encode(ABOUT)[model_header.KEY][:-9]}, "damaged metadata"),
    ({model_header.KEY: "[1, 2]"}, "damaged metadata .list indices"),
    ({model_header.KEY: "7"}, "damaged metadata"),
    ({model_header.KEY: "[" * 100_000}, "damaged metadata"),
    (without("format"), "damaged metadata .'format'"),
    (changed(format=1), "has format 1, but this version reads 2 and 3: use the version that wrote it"),
    (changed(format="1" * 1000), "has format 1{20}, but this version reads 2 and 3"),
    (without("classes"), r"damaged metadata .classes: Field required"),
    (without("preprocessing"), r"damaged metadata .preprocessing: Field required"),
    (changed(classes="abc"), "damaged metadata .classes: Input should be a valid array"),
    (changed(classes=["a", 3]), r"damaged metadata .classes\.1: Input should be a valid string"),
    (changed(classes=["a"]), "damaged metadata .classes is out of range"),
    (changed(classes=["a", "a"]), "damaged metadata .classes is out of range"),
    (changed(classes=["a", ""]), "damaged metadata .classes is out of range"),
    (changed(classes=["a", "../b"]), "damaged metadata .classes is out of range"),
    (changed(classes=["a", "\x1b[2J"]), "damaged metadata .classes is out of range"),  # clears a terminal
    (changed(classes=["a", "b" * 256]), "damaged metadata .classes is out of range"),
    (changed(backbone=None), "damaged metadata .backbone: Input should be a valid string"),
    (changed(hidden="256"), "damaged metadata .hidden: Input should be a valid integer"),
    (changed(hidden=10**12), "damaged metadata .hidden is out of range"),
    (changed(hidden=-1), "damaged metadata .hidden is out of range"),
    (changed(dropout=1), "damaged metadata .dropout is out of range"),
    (changed(dropout=float("nan")), "damaged metadata .dropout is out of range"),
    (without("temperature"), "damaged metadata .temperature: Field required"),
    (changed(temperature=None), "damaged metadata .temperature: Input should be a valid number"),
    (changed(temperature="1"), "damaged metadata .temperature: Input should be a valid number"),
    *(
        (changed(temperature=value), "damaged metadata .temperature is out of range")
        for value in (0, -0.5, float("inf"), float("nan"))
    ),
    (changed(params=[]), "damaged metadata .params: Input should be"),
    (view(size=224.5), r"damaged metadata .preprocessing\.size: Input should be a valid integer"),
    (view(size=10**9), r"damaged metadata .preprocessing\.size is out of range"),
    (view(crop=0), r"damaged metadata .preprocessing\.crop is out of range"),
    (view(crop=float("nan")), r"damaged metadata .preprocessing\.crop is out of range"),
    (view(crop="squeeze"), r"damaged metadata .preprocessing\.crop\."),
    (view(crop=True), r"damaged metadata .preprocessing\.crop\."),
    (view(crop=None), r"damaged metadata .preprocessing\.crop\."),
    (view(crop=1.01), r"damaged metadata .preprocessing\.crop is out of range"),
    (view(interpolation="sinc"), r"damaged metadata .preprocessing\.interpolation is out of range"),
    (view(mean=[0.5, 0.5]), r"damaged metadata .preprocessing\.mean\.2: Field required"),
    (view(mean=[0.5, 0.5, float("inf")]), r"damaged metadata .preprocessing\.mean is out of range"),
    (view(std=[0.5, 0.0, 0.5]), r"damaged metadata .preprocessing\.std is out of range"),
    (view(std=[0.5, -0.1, 0.5]), r"damaged metadata .preprocessing\.std is out of range"),
    (model_header.encode_backbone("resnet18"), "is only the backbone of a model: name the model file instead"),
    (changed(format=3), "damaged metadata .'part'"),
    (changed(format=3, part=None), "damaged metadata .: Input should be"),
    *(
        (part(file=name), r"damaged metadata .part\.file is not a file name")
        for name in ("../backbone", "/etc/passwd", "a/b", "..", "", "c:\\x", "c:x", "a\\b", "a\0", "x" * 300, ".hidden")
    ),
    (part(file=3), "damaged metadata .file: Input should be a valid string"),
    (part(sha256="0" * 63), "damaged metadata .sha256: String should match pattern"),
    (part(sha256=7), "damaged metadata .sha256: Input should be a valid string"),
]


@pytest.mark.parametrize(("metadata", "message"), WRONG, ids=[message for _, message in WRONG])
def test_wrong_metadata(metadata: Mapping[str, str] | None, message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "model.safetensors", metadata)
    with pytest.raises(UserError, match=message) as caught:
        model_header.read(path)
    assert_one_line(caught.value, path)


def assert_one_line(error: UserError, path: Path) -> None:
    text = str(error)
    assert text.startswith(str(path))
    assert "\n" not in text
    assert len(text) < len(str(path)) + 400


def test_files_that_are_not_models(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole", model_header.encode(ABOUT)).read_bytes()
    length = struct.unpack("<Q", whole[:8])[0]
    contents = {
        "empty": b"",
        "short": whole[:5],
        "cut in the header": whole[: length // 2],
        "cut in the weights": whole[:-1],
        "longer": whole + b"\0",
        "text": b"<html><body>404: no such model</body></html>",
        "zeros": bytes(1000),
        "pickle": b"\x80\x02}q\x00." * 20,
        "a header of 2^60 bytes": struct.pack("<Q", 2**60) + whole[8:],
        "no JSON": struct.pack("<Q", 8) + b"{]{]{]{]" + bytes(24),
    }
    for name, content in contents.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(UserError, match="is not a safetensors file") as caught:
            model_header.read(path)
        assert_one_line(caught.value, path)
    with pytest.raises(UserError, match="is not a safetensors file") as caught:
        model_header.read(tmp_path)
    assert_one_line(caught.value, tmp_path)
    with pytest.raises(UserError, match="does not exist: run `dvc repro` to train it") as caught:
        model_header.read(tmp_path / "missing")
    assert_one_line(caught.value, tmp_path / "missing")


@pytest.mark.parametrize("key", ["other", model_header.KEY])
def test_a_header_of_50_megabytes(key: str, tmp_path: Path) -> None:
    path = write(tmp_path / "large.safetensors", {key: "x" * 50_000_000})
    with pytest.raises(UserError, match=r"has no Boatyard metadata|has damaged metadata") as caught:
        model_header.read(path)
    assert_one_line(caught.value, path)
    path.unlink()


SMALL = [save({"weight": np.zeros((2, 3), np.float32)}, metadata=model_header.encode(ABOUT))]


@examples(200)
@given(damaged(SMALL))
def test_whatever_the_bytes_a_header_is_read_or_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    try:
        header, part = model_header.read_all(path)
    except UserError as error:
        assert_one_line(error, path)
    else:
        assert model_header.decode(model_header.encode(header, part), "again") == (header, part)
