"""A backbone that was built before is known without building it, as long as nothing that decides it changes."""

from pathlib import Path

import pytest
import torch
from permissions import nobody
from safetensors.torch import save_file

from boatyard.core import cache_keys
from boatyard.core.errors import UserError
from boatyard.models import backbone_cache, backbones
from boatyard.models.frozen_backbone import FrozenBackbone
from boatyard.params.schema import Head, Image, Model

OWN = "own.safetensors"


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the backbones that were built, as they are; timm's get random weights, for want of a network."""
    names = []
    create = backbones.create

    def noting(name: str, weights: str, *others: object) -> backbones.Backbone:
        names.append(name)
        return create(name, "none" if name.startswith("timm/") else weights, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(backbones, "create", noting)
    return names


def frozen(folder: Path, weights: str = OWN, backbone: str = "squeezenet1_1", size: object = 64) -> FrozenBackbone:
    model = Model(backbone=backbone, weights=weights, head=Head(hidden=0, dropout=0))
    image = Image.model_validate({"size": size, "crop": 0.9})
    found, preprocessing = backbone_cache.frozen(model, image, 0, folder, folder / "records")
    assert (preprocessing.size, preprocessing.crop) == (size, 0.9)
    return found


def save(folder: Path, seed: int) -> None:
    torch.manual_seed(seed)
    network = backbones.torchvision.models.squeezenet1_1()
    save_file(network.state_dict(), folder / OWN)


def test_what_was_built_is_known_and_the_same(tmp_path: Path, built: list[str]) -> None:
    save(tmp_path, 0)
    first = frozen(tmp_path)
    again, larger = frozen(tmp_path), frozen(tmp_path, size=96)

    assert built == ["squeezenet1_1"]
    assert {(one.fingerprint, one.width) for one in (first, again, larger)} == {(first.fingerprint, 512)}
    views = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    assert torch.equal(again.network()(views), first.network()(views))


@pytest.mark.parametrize("name", ["efficientnet_lite0", "efficientnet_lite0+squeezenet1_1"])
def test_embedded_weights_are_known_too(name: str, tmp_path: Path, built: list[str]) -> None:
    save(tmp_path, 0)
    weights = "+".join({"efficientnet_lite0": "default"}.get(part, OWN) for part in name.split("+"))
    first = frozen(tmp_path, weights, name)
    count = len(built)

    assert frozen(tmp_path, weights, name).fingerprint == first.fingerprint
    assert len(built) == count > 0


def test_other_weights_in_the_file_are_another_backbone(tmp_path: Path) -> None:
    save(tmp_path, 0)
    first = frozen(tmp_path)
    save(tmp_path, 1)
    second = frozen(tmp_path)
    save(tmp_path, 0)

    assert frozen(tmp_path).fingerprint == first.fingerprint != second.fingerprint


def test_weights_whose_file_has_a_plus_in_its_name(tmp_path: Path) -> None:
    name = "v1+v2.safetensors"
    fingerprints = set()
    for seed in (0, 1):
        save(tmp_path, seed)
        (tmp_path / OWN).rename(tmp_path / name)
        fingerprints.add(frozen(tmp_path, name).fingerprint)
    (tmp_path / name).unlink()

    assert len(fingerprints) == 2
    with pytest.raises(UserError, match="neither published weights nor a file"):
        frozen(tmp_path, name)


def test_published_weights_are_known_while_they_are_in_torch_hubs_cache(
    tmp_path: Path, built: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    published = tmp_path / "hub/checkpoints/squeezenet1_1-b8a52dc0.pth"
    published.parent.mkdir(parents=True)
    fingerprints = []
    for seed in (0, 1, 1):
        torch.manual_seed(seed)
        torch.save(backbones.torchvision.models.squeezenet1_1().state_dict(), published)
        fingerprints.append(frozen(tmp_path, "default").fingerprint)

    assert fingerprints[0] != fingerprints[1] == fingerprints[2]
    assert len(built) == 2


@pytest.mark.parametrize("what", ["version", "_source"])
def test_after_another_version_or_source_it_is_built_anew(
    what: str, tmp_path: Path, built: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, 0)
    frozen(tmp_path)
    before = getattr(cache_keys, what)
    changing = {"version": "timm", "_source": "boatyard.models.frozen_backbone"}[what]
    monkeypatch.setattr(cache_keys, what, lambda name: "other" if name == changing else before(name))
    frozen(tmp_path)

    assert len(built) == 2


def test_random_weights_and_fetched_ones_are_not_remembered(tmp_path: Path, built: list[str]) -> None:
    for _ in range(2):
        frozen(tmp_path, "none", "squeezenet1_1")
        frozen(tmp_path, "default", "timm/resnet10t")

    assert built == ["squeezenet1_1", "timm/resnet10t"] * 2
    assert not (tmp_path / "records").exists()


def test_a_damaged_record_is_made_anew(tmp_path: Path, built: list[str]) -> None:
    save(tmp_path, 0)
    first = frozen(tmp_path)
    (record,) = (tmp_path / "records").iterdir()
    whole = record.read_bytes()
    for damaged in (b"", whole[:-9], whole.replace(b"512", b'"512"'), b"[]", b"\xff", b"{}"):
        record.write_bytes(damaged)
        assert frozen(tmp_path).fingerprint == first.fingerprint
        assert record.read_bytes() == whole

    assert len(built) == 7


def test_a_record_that_says_something_else_is_told_once(tmp_path: Path) -> None:
    save(tmp_path, 0)
    first = frozen(tmp_path)
    (record,) = (tmp_path / "records").iterdir()
    whole = record.read_bytes()
    for true, false in ((first.fingerprint, "0" * 32), ("512", "513"), ("224", "225")):
        record.write_bytes(whole.replace(true.encode(), false.encode()))
        with pytest.raises(UserError, match=rf"{record}, what was known of squeezenet1_1, is damaged and was deleted"):
            frozen(tmp_path).network()
        assert frozen(tmp_path).fingerprint == first.fingerprint
        assert record.read_bytes() == whole


def test_a_size_that_it_does_not_take_is_told_when_it_is_to_run(tmp_path: Path) -> None:
    torch.manual_seed(0)
    save_file(backbones.torchvision.models.vit_b_32().state_dict(), tmp_path / OWN)
    frozen(tmp_path, backbone="vit_b_32", size=224)
    other = frozen(tmp_path, backbone="vit_b_32", size=96)

    with pytest.raises(UserError, match=r"image\.size: the backbone does not take views of 96 pixels"):
        other.network()


def test_weights_that_can_not_be_read_are_told_by_what_reads_them(tmp_path: Path) -> None:
    save(tmp_path, 0)
    frozen(tmp_path)
    (tmp_path / OWN).chmod(0)

    with nobody(tmp_path), pytest.raises(UserError, match=rf"{OWN} can't be read \(Permission denied\): mend its"):
        frozen(Path())
