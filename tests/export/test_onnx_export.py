"""Export refuses to write a file that disagrees with the model."""

from pathlib import Path

import numpy as np
import pytest
import small_model
import torch
from PIL import Image
from torch import Tensor, nn

from boatyard.core.errors import UserError
from boatyard.export import onnx_export, onnx_file


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    paths = []
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (50 + 30 * number, 90, 3), dtype=np.uint8)
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(pixels).save(paths[-1])
    return paths


def test_a_file_that_agrees_is_exported(photos: list[Path]) -> None:
    network, header = small_model.network()
    content, agreement = onnx_export.export(network, header, photos, None)

    assert onnx_export.largest_difference(content, network, header, photos) < 1e-5
    assert agreement == "on 3 photos, no probability differs from the model's by more than 0.0001"
    assert b"boatyard" in content


class OtherWhenExported(nn.Module):
    """A network that computes something else while it is traced, which happens to users of other tools."""

    def __init__(self, backbone: nn.Module):
        super().__init__()
        self.backbone = backbone

    def forward(self, images: Tensor) -> Tensor:
        embeddings: Tensor = self.backbone(images)
        return embeddings * 1.01 if torch.compiler.is_exporting() else embeddings


def test_a_file_that_differs_is_not_exported(photos: list[Path]) -> None:
    changed, header = small_model.network()
    changed.embedder.backbone = OtherWhenExported(changed.embedder.backbone)

    with pytest.raises(
        UserError, match=r"not exported: on 3 photos, .* more than 0\.0001; please report this .*squeezenet"
    ):
        onnx_export.export(changed, header, photos, None)


def test_a_file_with_nan_outputs_is_not_exported(photos: list[Path]) -> None:
    network, header = small_model.network()
    with torch.no_grad():
        network.get_parameter("head.classes.bias").fill_(torch.nan)

    with pytest.raises(UserError, match="differs from the model's by nan"):
        onnx_export.export(network, header, photos, None)


def test_different_preprocessing_is_detected(photos: list[Path]) -> None:
    network, header = small_model.network()
    content, _ = onnx_export.export(network, header, photos, None)
    other = header.__class__(**{**vars(header), "preprocessing": small_model.network(crop=0.8)[1].preprocessing})

    assert onnx_export.largest_difference(content, network, other, photos) > onnx_export.TOLERANCE


def test_of_many_photos_a_few_evenly_spaced_are_checked(photos: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[Path] = []
    monkeypatch.setattr(
        onnx_export,
        "largest_difference",
        lambda *arguments: checked.extend(arguments[3]) or 0.0,
    )
    monkeypatch.setattr(onnx_file, "build", lambda *_: b"")
    network, header = small_model.network()

    onnx_export.export(network, header, [Path(str(number)) for number in range(100)], None)

    assert [path.name for path in checked] == [str(number) for number in range(0, 100, 4)]


def test_a_photo_that_cannot_be_read_is_named(photos: list[Path]) -> None:
    photos[1].write_bytes(b"no photo")

    with pytest.raises(UserError, match=r"1\.png, a photo to check the exported file on, can't be read \(not a photo"):
        onnx_export.export(*small_model.network(), photos, None)
