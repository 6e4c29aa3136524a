"""Embeddings that are kept: a head on them answers to the bit what the whole network does, and none comes twice."""

from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_photos import draw_photo

from boatyard.core import paths
from boatyard.core.machine import Machine
from boatyard.core.splits import Sample
from boatyard.features.embeddings import Embeddings
from boatyard.features.feature_files import Task
from boatyard.images.views import HORIZONTAL, PLAIN, Recipe
from boatyard.models import backbones
from boatyard.models.engines import registry
from boatyard.models.frozen_backbone import FrozenBackbone
from boatyard.models.network import Network, embedder, head, head_of
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
        Sample(path.relative_to(paths.RAW).as_posix(), "discs", "test", str(number))
        for number, path in enumerate(drawn)
    ]


# One of each way in which a backbone ends: pooled, flattened, normalised, a class token, a convolution, three outputs;
# and two side by side.
@pytest.mark.parametrize("kind", ["onnx", "torch"])
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
def test_a_head_on_kept_embeddings_answers_what_the_network_does(name: str, kind: str, photos: list[Sample]) -> None:
    torch.manual_seed(0)
    backbone = backbones.create(name, "none")
    network = Network(embedder(backbone, backbone.preprocessing), head(backbone.width, 16, 0.2, 3, 1.3)).eval()
    recipe = Recipe(backbone.preprocessing, AUGMENT, seed=0)
    whole = registry.create(network, backbone.preprocessing.shape, Machine(engine=kind), None)

    frozen = FrozenBackbone.of(network.embedder)
    embeddings = Embeddings(frozen, recipe, paths.RAW, Machine(engine=kind), paths.FEATURE_ROWS, paths.GRAPHS)
    tasks = [Task(photo, NUMBERS) for photo in photos]
    assert list(embeddings.compute(embeddings.missing(tasks))) == tasks
    (answers,) = embeddings.answers(head_of(network.head), photos, NUMBERS)

    for photo, found in zip(photos, answers, strict=True):
        views = np.stack(recipe.draw(paths.RAW / photo.path, photo.sha256, NUMBERS))
        assert np.array_equal(found, whole(views))
    assert len(np.unique(answers[..., 0])) > 3


def test_what_another_has_computed_is_not_computed_again(photos: list[Sample]) -> None:
    torch.manual_seed(0)
    backbone = backbones.create("efficientnet_lite0", "none", size=32)
    recipe = Recipe(backbone.preprocessing, AUGMENT, seed=0)

    def opened() -> Embeddings:
        frozen = FrozenBackbone.of(embedder(backbone, recipe.preprocessing))
        return Embeddings(frozen, recipe, paths.RAW, Machine(), paths.FEATURE_ROWS, paths.GRAPHS)

    first = opened()
    list(first.compute([Task(photos[0], [PLAIN]), Task(photos[1], NUMBERS)]))
    again = opened().missing([Task(photo, NUMBERS) for photo in photos])
    assert again == [Task(photos[0], [HORIZONTAL, 0]), Task(photos[2], NUMBERS)]

    backbone.network.conv_stem.weight.data += 1  # type: ignore[union-attr]
    assert opened().missing([Task(photos[0], [PLAIN])]) == [Task(photos[0], [PLAIN])]


def test_what_was_computed_in_another_precision_is_not_taken(photos: list[Sample]) -> None:
    torch.manual_seed(0)
    backbone = backbones.create("efficientnet_lite0", "none", size=32)
    recipe, tasks = Recipe(backbone.preprocessing, AUGMENT, seed=0), [Task(photos[0], [PLAIN])]

    def opened(machine: Machine) -> Embeddings:
        frozen = FrozenBackbone.of(embedder(backbone, recipe.preprocessing))
        return Embeddings(frozen, recipe, paths.RAW, machine, paths.FEATURE_ROWS, paths.GRAPHS)

    plain = Machine(engine="torch")
    first = opened(plain)
    list(first.compute(tasks))
    assert (str(first), opened(plain).missing(tasks)) == ("torch on cpu", [])
    second = opened(Machine(engine="torch", precision="bf16"))
    assert (str(second), second.missing(tasks)) == ("torch on cpu in bf16", tasks)
    list(second.compute(tasks))
    rows = [one.store.read([recipe.name(photos[0].sha256, PLAIN)]) for one in (first, second)]
    assert 0 < np.abs(rows[1] - rows[0]).max() < 0.2 * np.abs(rows[0]).max()
    assert str(opened(Machine(precision="bf16"))) == "onnx on cpu"  # which computes in fp32 whatever is set
