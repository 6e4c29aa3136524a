"""The layers of a network add up to it, with the shapes that a view takes on its way."""

import pytest
import torch

from boatyard.models import backbones
from boatyard.models.layer_summary import Layer, summarise
from boatyard.models.network import Network, embedder, head, parameter_count
from boatyard.params.schema import Finetune
from boatyard.training import trained_layers


def network(backbone: str) -> Network:
    torch.manual_seed(0)
    created = backbones.create(backbone, "none")
    return Network(embedder(created, created.preprocessing), head(created.width, 16, 0.4, 5))


def rows(of: Network, every_layer: bool = False) -> dict[str, Layer]:
    return {row.name: row for row in summarise(of, [*of.head.parameters()], every_layer=every_layer)}


@pytest.mark.parametrize(
    "backbone", ["resnet18", "efficientnet_lite0", "vit_b_32", "squeezenet1_1", "resnet18+squeezenet1_1"]
)
@pytest.mark.parametrize("every_layer", [False, True])
def test_parameters_add_up(backbone: str, every_layer: bool) -> None:
    built = network(backbone)
    found = rows(built, every_layer).values()

    assert sum(row.parameters for row in found) == parameter_count(built)
    assert sum(row.trained for row in found) == parameter_count(built.head)
    assert every_layer or all(row.output for row in found)


def test_blocks_of_a_resnet() -> None:
    found = rows(network("resnet18"))

    assert found["backbone.conv1"] == Layer("backbone.conv1", "Conv2d", "64 × 112 × 112", 64 * 3 * 49, 0)
    assert found["backbone.layer4.1"] == Layer("backbone.layer4.1", "BasicBlock", "512 × 7 × 7", 4_720_640, 0)
    assert found["head.hidden"] == Layer("head.hidden", "Linear", "16", 513 * 16, 513 * 16)
    assert found["head.classes"].output == "5"
    assert len(found) < len(rows(network("resnet18"), every_layer=True))
    assert not any(name.endswith(".fc") for name in found)  # the classifier that was removed


def test_each_concatenated_backbone_is_split_into_the_blocks_that_it_has_alone() -> None:
    """SqueezeNet has fewer parameters than the last block of the ResNet."""
    found = rows(network("resnet18+squeezenet1_1"))

    for number, name in enumerate(("resnet18", "squeezenet1_1")):
        alone = [row for row in rows(network(name)) if row.startswith("backbone.")]
        prefix = f"backbone.networks.{number}."
        assert [row for row in found if row.startswith(prefix)] == [
            row.replace("backbone.", prefix, 1) for row in alone
        ]


def test_parameters_outside_layers_are_rows_of_their_own() -> None:
    found = rows(network("vit_b_32"))

    assert found["backbone.class_token"] == Layer("backbone.class_token", "Parameter", "1 × 1 × 768", 768, 0)
    assert found["backbone.encoder.layers.encoder_layer_0"].kind == "EncoderBlock"


def test_a_shared_parameter_counts_once() -> None:
    built = network("resnet18")
    first = built.embedder.backbone.get_submodule("layer1.0.conv1")
    built.embedder.backbone.get_submodule("layer1.1.conv1").weight = first.weight  # type: ignore[assignment]

    assert sum(row.parameters for row in rows(built).values()) == parameter_count(built)


@pytest.mark.parametrize(("epochs", "blocks", "expected"), [(0, 2, 0), (3, 1, 1), (3, 2, 2), (3, "all", 9)])
def test_fine_tuned_blocks_are_trained(epochs: int, blocks: int | str, expected: int) -> None:
    built = network("resnet18")
    settings = Finetune.model_construct(epochs=epochs, blocks=blocks)  # type: ignore[arg-type]
    found = trained_layers.layers(built, settings)
    changed = [row for row in found if row.trained and row.name.startswith("backbone.layer")]

    assert len(changed) == min(expected, 8)
    assert all(row.trained == row.parameters for row in changed)
    assert sum(row.trained for row in found if row.name.startswith("head.")) == parameter_count(built.head)
