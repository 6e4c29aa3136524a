"""Cached embeddings: a head on them equals the whole network to the bit, and none is computed twice."""

from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_photos import draw_photo

from boatyard.core import paths
from boatyard.core.errors import UserError
from boatyard.core.machine import Machine
from boatyard.core.splits import Sample
from boatyard.features import feature_files
from boatyard.features.embeddings import Embeddings
from boatyard.features.feature_files import Task
from boatyard.images.views import HORIZONTAL, PLAIN, Recipe
from boatyard.models import backbones
from boatyard.models.backbones import Backbone
from boatyard.models.engines import registry
from boatyard.models.frozen_backbone import FrozenBackbone
from boatyard.models.network import embedder, head, head_weights
from boatyard.params.schema import Augment

AUGMENT = Augment(
    scale=[0.5, 1.0],
    aspect=[0.8, 1.25],
    rotation=10,
    horizontal_flip=True,
    vertical_flip=False,
    brightness=0,
    contrast=0,
    saturation=0,
    hue=0,
)
NUMBERS = [PLAIN, HORIZONTAL, 0]


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Sample]:
    monkeypatch.chdir(tmp_path)
    (paths.RAW / "discs").mkdir(parents=True)
    drawn = [draw_photo(paths.RAW, "discs", number) for number in range(3)]
    return [
        Sample(path.relative_to(paths.RAW).as_posix(), "discs", "train", str(number))
        for number, path in enumerate(drawn)
    ]


def opened(backbone: FrozenBackbone, recipe: Recipe, machine: Machine = Machine()) -> Embeddings:  # noqa: B008
    return Embeddings(backbone, recipe, paths.RAW, machine, paths.FEATURE_ROWS, paths.GRAPHS)


@pytest.fixture
def lite() -> Backbone:
    torch.manual_seed(0)
    return backbones.create("efficientnet_lite0", "none", size=32)


# One of each way in which a backbone ends: pooled, flattened, normalised, a class token, a convolution, three outputs;
# and two concatenated.
@pytest.mark.parametrize("engine", ["onnx", "torch"])
@pytest.mark.parametrize(
    "name",
    [
        pytest.param("efficientnet_lite0", marks=pytest.mark.slow),
        pytest.param("resnet18", marks=pytest.mark.slow),
        pytest.param("vgg11", marks=pytest.mark.slow),
        "squeezenet1_1",
        pytest.param("convnext_tiny", marks=pytest.mark.slow),
        pytest.param("vit_b_32", marks=pytest.mark.slow),
        pytest.param("timm/mobilenetv3_small_050", marks=pytest.mark.slow),
        pytest.param("efficientnet_lite0+resnet18", marks=pytest.mark.slow),
    ],
)
def test_a_head_on_cached_embeddings_equals_the_whole_network(name: str, engine: str, photos: list[Sample]) -> None:
    torch.manual_seed(0)
    backbone = backbones.create(name, "none")
    frozen = FrozenBackbone.of(embedder(backbone, backbone.preprocessing))
    trained = head_weights(head(backbone.width, 16, 0.2, 3, 1.3))
    recipe, machine = Recipe(backbone.preprocessing, AUGMENT, seed=0), Machine(engine=engine)
    whole = registry.for_views(frozen, trained, backbone.preprocessing.shape, machine, None)

    embeddings = opened(frozen, recipe, machine)
    tasks = [Task(photo, NUMBERS) for photo in photos]
    assert list(embeddings.compute(embeddings.missing(tasks))) == tasks
    (log_probabilities,) = embeddings.log_probabilities(trained, photos, NUMBERS)

    for photo, found in zip(photos, log_probabilities, strict=True):
        views = np.stack(recipe.open(paths.RAW / photo.path, photo.sha256, NUMBERS).views())
        assert np.array_equal(found, whole(views))
    assert len(np.unique(log_probabilities[..., 0])) > 3


def test_what_another_has_computed_is_not_computed_again(photos: list[Sample], lite: Backbone) -> None:
    recipe = Recipe(lite.preprocessing, AUGMENT, seed=0)

    def embeddings() -> Embeddings:
        return opened(FrozenBackbone.of(embedder(lite, recipe.preprocessing)), recipe)

    list(embeddings().compute([Task(photos[0], [PLAIN]), Task(photos[1], NUMBERS)]))
    again = embeddings().missing([Task(photo, NUMBERS) for photo in photos])
    assert again == [Task(photos[0], [HORIZONTAL, 0]), Task(photos[2], NUMBERS)]

    lite.network.conv_stem.weight.data += 1  # type: ignore[union-attr]
    assert embeddings().missing([Task(photos[0], [PLAIN])]) == [Task(photos[0], [PLAIN])]


def test_embeddings_in_another_precision_are_not_used(photos: list[Sample], lite: Backbone) -> None:
    recipe, tasks = Recipe(lite.preprocessing, AUGMENT, seed=0), [Task(photos[0], [PLAIN])]

    def embeddings(**settings: str) -> Embeddings:
        return opened(FrozenBackbone.of(embedder(lite, recipe.preprocessing)), recipe, Machine(**settings))  # type: ignore[arg-type]

    first = embeddings(engine="torch")
    list(first.compute(tasks))
    assert (str(first), embeddings(engine="torch").missing(tasks)) == ("torch on cpu", [])
    second = embeddings(engine="torch", precision="bf16")
    assert (str(second), second.missing(tasks)) == ("torch on cpu in bf16", tasks)
    list(second.compute(tasks))
    exact, rough = (one.rows(photos[:1], [PLAIN]) for one in (first, second))
    assert 0 < np.abs(rough - exact).max() < 0.2 * np.abs(exact).max()
    assert str(embeddings(precision="bf16")) == "onnx on cpu"  # which always computes in fp32


@pytest.mark.parametrize("damaged", ["rows", "index"])
def test_damaged_embeddings_are_reported_and_computed_again(
    damaged: str, photos: list[Sample], lite: Backbone, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = Recipe(lite.preprocessing, AUGMENT, seed=0)
    frozen = FrozenBackbone.of(embedder(lite, recipe.preprocessing))
    trained = head_weights(head(lite.width, 0, 0.0, 3))
    wanted = feature_files.wanted(photos, 2)

    def run() -> tuple[int, dict[str, bytes], bytes]:
        """How many photos are computed, the files of data/features/, and a head's outputs."""
        embeddings = opened(frozen, recipe)
        missing = embeddings.fill(wanted, "embedding")
        feature_files.write(tmp_path / "features", photos, 2, embeddings.width, embeddings.rows)
        (log_probabilities,) = embeddings.log_probabilities(trained, photos, [PLAIN, 1])
        features = {path.name: path.read_bytes() for path in (tmp_path / "features").iterdir()}
        return len(missing), features, log_probabilities.tobytes()

    computed, *first = run()
    assert computed == 3
    (path,) = paths.FEATURE_ROWS.glob(f"*/{damaged}*")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    capsys.readouterr()

    computed, *again = run()

    assert again == first
    assert computed == (1 if damaged == "index" else 0)  # rows are checked when they are read
    message = f"{path} is damaged (a checksum does not match): the lost embeddings are computed again\n"
    assert capsys.readouterr() == ("", message)
    assert run() == (0, *first)
    assert capsys.readouterr() == ("", "")


def test_a_disk_that_damages_everything_is_an_error(
    photos: list[Sample], lite: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe(lite.preprocessing, AUGMENT, seed=0)
    embeddings = opened(FrozenBackbone.of(embedder(lite, recipe.preprocessing)), recipe)
    embeddings.fill([Task(photos[0], [PLAIN])], "embedding")
    monkeypatch.setattr(np, "memmap", lambda *_, shape, **__: np.ones(shape, np.float32))

    with pytest.raises(UserError, match=r"is damaged \(a checksum does not match\): run again, and check the disk$"):
        embeddings.rows(photos[:1], [PLAIN])
