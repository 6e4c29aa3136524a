"""The ONNX function equals the pipeline's preprocessing in every pixel."""

from typing import Literal

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from boatyard.core.errors import UserError
from boatyard.export import onnx_preprocessing
from boatyard.images.views import Preprocessing, plain_view

OPSET = 20
KINDS = ["bilinear", "bicubic", "lanczos"]
Crop = float | Literal["squash"]


def preprocessing(interpolation: str, size: int = 48, crop: Crop = 0.875) -> Preprocessing:
    return Preprocessing(size, crop, interpolation, (0.5,) * 3, (0.5,) * 3)


def session(wanted: Preprocessing) -> onnxruntime.InferenceSession:
    size = wanted.size
    model = onnx.parser.parse_model(f"""
        <ir_version: 10, opset_import: ["" : {OPSET}, "boatyard" : 1]>
        view (uint8[height, width, 3] photo) => (uint8[1, 3, {size}, {size}] views)
        {{ views = boatyard.PlainView(photo) }}
    """)
    model.functions.extend(onnx_preprocessing.functions(wanted, OPSET))
    onnx.checker.check_model(model, full_check=True)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def photo(width: int, height: int, seed: int = 0, harsh: bool = False) -> NDArray[np.uint8]:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return np.where(pixels > 127, 255, 0).astype(np.uint8) if harsh else pixels


def differing(run: onnxruntime.InferenceSession, wanted: Preprocessing, pixels: NDArray[np.uint8]) -> int:
    (views,) = run.run(None, {"photo": pixels})
    return int((views[0] != plain_view(Image.fromarray(pixels), wanted)).sum())


@pytest.mark.parametrize("interpolation", KINDS)
@pytest.mark.parametrize(
    ("size", "crop"), [(48, 1.0), (48, 0.875), (33, 0.96), (224, 0.9), (48, "squash"), (33, "squash")]
)
def test_every_pixel_equals_pillows(interpolation: str, size: int, crop: Crop) -> None:
    wanted = preprocessing(interpolation, size, crop)
    run = session(wanted)
    sizes = [(1, 1), (1, 900), (900, 1), (size, size), (2, 3), (47, 49), (640, 480), (333, 1001), (1200, 801)]
    sizes += [(size, 333), (333, size), (2 * size, size // 2), (size // 2, 2 * size)]
    for number, (width, height) in enumerate(sizes):
        for harsh in (False, True):
            assert differing(run, wanted, photo(width, height, number, harsh)) == 0, (width, height, harsh)


CROPS: list[Crop] = [0.875, "squash"]
RUNS = {
    (kind, crop): (preprocessing(kind, crop=crop), session(preprocessing(kind, crop=crop)))
    for kind in KINDS
    for crop in CROPS
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("crop", CROPS)
@given(width=st.integers(1, 700), height=st.integers(1, 700), seed=st.integers(0, 2**32 - 1), harsh=st.booleans())
@settings(max_examples=40, deadline=None)
def test_at_any_size(kind: str, crop: Crop, width: int, height: int, seed: int, harsh: bool) -> None:
    assume(height <= 100 * width)  # the limit that the module states
    wanted, run = RUNS[kind, crop]
    assert differing(run, wanted, photo(width, height, seed, harsh)) == 0


def test_a_uniform_photo_stays_uniform() -> None:
    wanted, run = RUNS["lanczos", 0.875]
    for level in (0, 1, 127, 254, 255):
        pixels = np.full((301, 77, 3), level, np.uint8)
        assert np.unique(run.run(None, {"photo": pixels})[0]).tolist() == [level]
        assert differing(run, wanted, pixels) == 0


def test_other_interpolations_are_refused() -> None:
    with pytest.raises(UserError, match="'nearest' can't be exported to ONNX, only by bilinear, bicubic, lanczos"):
        onnx_preprocessing.functions(preprocessing("nearest"), OPSET)
