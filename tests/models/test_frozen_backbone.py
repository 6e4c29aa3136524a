"""A backbone that was built before need not be built again, as long as nothing that decides it has changed."""

from pathlib import Path
from types import ModuleType

import pytest
import torch
from permissions import nobody
from safetensors.torch import save_file

from boatyard.core import cache_keys, import_graph
from boatyard.core.errors import UserError
from boatyard.models import backbones, frozen_backbone
from boatyard.models.frozen_backbone import FrozenBackbone
from boatyard.params.schema import Head, Image, Model

OWN = "own.safetensors"


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the backbones that are built. timm's get random weights, since tests have no network."""
    names: list[str] = []
    create = backbones.create

    def recording(name: str, weights: str, *others: object) -> backbones.Backbone:
        names.append(name)
        return create(name, "none" if name.startswith("timm/") else weights, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(backbones, "create", recording)
    return names


def published(folder: Path, weights: str = OWN, backbone: str = "squeezenet1_1", size: object = 64) -> FrozenBackbone:
    model = Model(backbone=backbone, weights=weights, head=Head(hidden=0, dropout=0))
    image = Image.model_validate({"size": size, "crop": 0.9})
    found, preprocessing = frozen_backbone.published(model, image, 0, folder, folder / "records")
    assert (preprocessing.size, preprocessing.crop) == (size, 0.9)
    return found


def save(folder: Path, seed: int) -> None:
    torch.manual_seed(seed)
    network = backbones.torchvision.models.squeezenet1_1()
    save_file(network.state_dict(), folder / OWN)


def test_a_backbone_from_the_cache_is_the_same(tmp_path: Path, built: list[str]) -> None:
    save(tmp_path, 0)
    first = published(tmp_path)
    again, larger = published(tmp_path), published(tmp_path, size=96)

    assert built == ["squeezenet1_1"]
    assert {(one.fingerprint, one.width) for one in (first, again, larger)} == {(first.fingerprint, 512)}
    views = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    assert torch.equal(again.build()(views), first.build()(views))


@pytest.mark.parametrize("name", ["efficientnet_lite0", "efficientnet_lite0+squeezenet1_1"])
def test_weights_from_packages_are_cached_too(name: str, tmp_path: Path, built: list[str]) -> None:
    save(tmp_path, 0)
    weights = "+".join({"efficientnet_lite0": "default"}.get(part, OWN) for part in name.split("+"))
    first = published(tmp_path, weights, name)
    count = len(built)

    assert published(tmp_path, weights, name).fingerprint == first.fingerprint
    assert len(built) == count > 0


def test_other_weights_in_the_file_are_another_backbone(tmp_path: Path) -> None:
    save(tmp_path, 0)
    first = published(tmp_path)
    save(tmp_path, 1)
    second = published(tmp_path)
    save(tmp_path, 0)

    assert published(tmp_path).fingerprint == first.fingerprint != second.fingerprint


def test_a_weight_file_with_a_plus_in_its_name(tmp_path: Path) -> None:
    name = "v1+v2.safetensors"
    fingerprints = set()
    for seed in (0, 1):
        save(tmp_path, seed)
        (tmp_path / OWN).rename(tmp_path / name)
        fingerprints.add(published(tmp_path, name).fingerprint)
    (tmp_path / name).unlink()

    assert len(fingerprints) == 2
    with pytest.raises(UserError, match="neither published weights nor a file"):
        published(tmp_path, name)


def test_published_weights_in_torch_hubs_cache_are_cached(
    tmp_path: Path, built: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    file = tmp_path / "hub/checkpoints/squeezenet1_1-b8a52dc0.pth"
    file.parent.mkdir(parents=True)
    fingerprints = []
    for seed in (0, 1, 1):
        torch.manual_seed(seed)
        torch.save(backbones.torchvision.models.squeezenet1_1().state_dict(), file)
        fingerprints.append(published(tmp_path, "default").fingerprint)

    assert fingerprints[0] != fingerprints[1] == fingerprints[2]
    assert len(built) == 2


@pytest.mark.parametrize(
    ("module", "function", "changing"),
    [(cache_keys, "version", "timm"), (import_graph, "code", "boatyard.models.concatenated")],
)
def test_after_another_version_or_change_of_code_it_is_built_again(
    module: ModuleType,
    function: str,
    changing: str,
    tmp_path: Path,
    built: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    save(tmp_path, 0)
    published(tmp_path)
    before = getattr(module, function)
    monkeypatch.setattr(module, function, lambda name: "other" if name == changing else before(name))
    published(tmp_path)

    assert len(built) == 2


def test_random_weights_and_timms_downloads_are_not_cached(tmp_path: Path, built: list[str]) -> None:
    for _ in range(2):
        published(tmp_path, "none", "squeezenet1_1")
        published(tmp_path, "default", "timm/resnet10t")

    assert built == ["squeezenet1_1", "timm/resnet10t"] * 2
    assert not (tmp_path / "records").exists()


def test_a_damaged_record_is_replaced(tmp_path: Path, built: list[str]) -> None:
    save(tmp_path, 0)
    first = published(tmp_path)
    (record,) = (tmp_path / "records").iterdir()
    whole = record.read_bytes()
    for damaged in (b"", whole[:-9], whole.replace(b"512", b'"512"'), b"[]", b"\xff", b"{}"):
        record.write_bytes(damaged)
        assert published(tmp_path).fingerprint == first.fingerprint
        assert record.read_bytes() == whole

    assert len(built) == 7


def test_a_wrong_record_is_reported_and_deleted(tmp_path: Path) -> None:
    save(tmp_path, 0)
    first = published(tmp_path)
    (record,) = (tmp_path / "records").iterdir()
    whole = record.read_bytes()
    for true, false in ((first.fingerprint, "0" * 32), ("512", "513"), ("224", "225")):
        record.write_bytes(whole.replace(true.encode(), false.encode()))
        with pytest.raises(
            UserError, match=rf"{record}, the cached record of squeezenet1_1, was wrong and has been deleted"
        ):
            published(tmp_path).build()
        assert published(tmp_path).fingerprint == first.fingerprint
        assert record.read_bytes() == whole


def test_a_wrong_size_is_an_error_when_the_network_is_built(tmp_path: Path) -> None:
    torch.manual_seed(0)
    save_file(backbones.torchvision.models.vit_b_32().state_dict(), tmp_path / OWN)
    published(tmp_path, backbone="vit_b_32", size=224)
    other = published(tmp_path, backbone="vit_b_32", size=96)

    with pytest.raises(UserError, match=r"image\.size: the backbone does not take views of 96 pixels"):
        other.build()


def test_weights_that_cannot_be_read(tmp_path: Path) -> None:
    save(tmp_path, 0)
    published(tmp_path)
    (tmp_path / OWN).chmod(0)

    with nobody(tmp_path), pytest.raises(UserError, match=rf"{OWN} can't be read \(Permission denied\): fix its"):
        published(Path())
