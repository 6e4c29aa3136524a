"""Normalisation, head and the frozen backbone."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from boatyard.core.machine import Machine
from boatyard.images.views import Preprocessing
from boatyard.models.backbones import Backbone
from boatyard.models.engines import registry
from boatyard.models.frozen_backbone import FrozenBackbone
from boatyard.models.network import Embedder, Network, Temperature, embedder, head, head_weights

PREPROCESSING = Preprocessing(8, 1.0, "bilinear", (0.2, 0.4, 0.6), (0.5, 0.25, 0.1))


def small_backbone() -> Backbone:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return Backbone("small", nn.Sequential(*layers), 4, PREPROCESSING)


def test_views_are_normalised_by_channel() -> None:
    views = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 3, 1, 1)
    normalised = Embedder(Backbone("none", nn.Identity(), 3, PREPROCESSING), PREPROCESSING)(views)
    # (level / 255 − mean) / std
    assert normalised.flatten().tolist() == pytest.approx([-0.4, -0.8, 4.0])
    assert normalised.dtype == torch.float32


def test_the_normalisation_is_not_part_of_the_state() -> None:
    assert dict(Embedder(Backbone("none", nn.Identity(), 3, PREPROCESSING), PREPROCESSING).state_dict()) == {}


def test_head_layers() -> None:
    last = [nn.Linear, Temperature, nn.LogSoftmax]
    assert [type(layer) for layer in head(5, 7, 0.4, 3)] == [nn.Linear, nn.ReLU, nn.Dropout, *last]
    assert {name: tuple(tensor.shape) for name, tensor in head(5, 7, 0.4, 3).state_dict().items()} == {
        "hidden.weight": (7, 5),
        "hidden.bias": (7,),
        "classes.weight": (3, 7),
        "classes.bias": (3,),
    }
    assert head(5, 7, 0.4, 3).get_submodule("dropout").p == 0.4
    assert [type(layer) for layer in head(5, 0, 0.4, 3)] == last


def test_head_gives_log_probabilities() -> None:
    classifier = head(2, 0, 0.0, 2)
    classifier.load_state_dict({"classes.weight": torch.eye(2), "classes.bias": torch.tensor([0.0, 1.0])})
    # Logits 1 and 1 + ln 3: probabilities 1/4 and 3/4.
    output = classifier(torch.tensor([[1.0, math.log(3)]]))
    assert output.exp().flatten().tolist() == pytest.approx([0.25, 0.75])


def test_a_temperature_divides_the_logits_and_is_not_a_weight() -> None:
    state = {"classes.weight": torch.eye(2), "classes.bias": torch.zeros(2)}
    warm, plain = head(2, 0, 0.0, 2, temperature=2.0), head(2, 0, 0.0, 2)
    for classifier in (warm, plain):
        classifier.load_state_dict(state)
    # Logits 0 and ln 9, halved: ln 3, so 1/4 and 3/4.
    assert warm(torch.tensor([[0.0, math.log(9)]])).exp().flatten().tolist() == pytest.approx([0.25, 0.75])
    logits = torch.randn(100, 2)
    assert torch.equal(plain(logits), torch.log_softmax(plain[0](logits), 1))  # at 1, to the bit


@pytest.mark.parametrize("kind", ["onnx", "torch"])
def test_engines_apply_the_temperature(kind: str, tmp_path: Path) -> None:
    views = np.random.default_rng(0).integers(0, 256, (5, 3, 8, 8), dtype=np.uint8)
    outputs = []
    for temperature in (1.0, 3.0):
        frozen = embedder(small_backbone(), PREPROCESSING)
        classifier = head(4, 0, 0.0, 3, temperature)
        classifier.load_state_dict({"classes.weight": torch.eye(3, 4) * 9, "classes.bias": torch.zeros(3)})
        backbone, weights = FrozenBackbone.of(frozen), head_weights(classifier)
        # The same folder of graphs: the second is not the first one's.
        outputs.append(registry.for_views(backbone, weights, [3, 8, 8], Machine(engine=kind), tmp_path)(views))
    assert np.ptp(outputs[0], axis=1).min() > 0.01
    assert outputs[1] == pytest.approx(temperature_of(outputs[0], 3.0), abs=1e-5)


def temperature_of(log_probabilities: NDArray[np.float32], value: float) -> NDArray[np.float64]:
    weights = np.exp(log_probabilities.astype(np.float64)) ** (1 / value)
    return np.asarray(np.log(weights / weights.sum(axis=1, keepdims=True)))


def test_the_frozen_backbone_and_its_batch_norm_statistics_do_not_change() -> None:
    frozen = embedder(small_backbone(), PREPROCESSING)
    assert not any(module.training for module in frozen.modules())
    assert not any(parameter.requires_grad for parameter in frozen.parameters())
    before = {name: tensor.clone() for name, tensor in frozen.backbone.state_dict().items()}
    network = Network(frozen, head(4, 0, 0.0, 2))
    optimiser = torch.optim.SGD([parameter for parameter in network.parameters() if parameter.requires_grad], lr=1.0)
    views = torch.randint(0, 256, (6, 3, 8, 8), dtype=torch.uint8)
    weight = network.head.get_parameter("classes.weight").clone()
    for _ in range(3):
        loss: Tensor = -network(views)[:, 0].mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    assert not torch.equal(network.head.get_parameter("classes.weight"), weight)
    assert list(before) == list(frozen.backbone.state_dict())
    assert all(torch.equal(before[name], tensor) for name, tensor in frozen.backbone.state_dict().items())
    # In training mode the same three passes would have moved the statistics.
    frozen.train()(views)
    assert not torch.equal(frozen.backbone.get_buffer("1.running_mean"), before["1.running_mean"])
