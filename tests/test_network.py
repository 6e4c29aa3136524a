"""Normalisation, head and the frozen backbone."""

import math

import pytest
import torch
from torch import Tensor, nn

from boatyard.data.views import Preprocessing
from boatyard.model.backbones import Backbone
from boatyard.model.network import Classifier, Embedder, embedder, head

PREPROCESSING = Preprocessing(8, 1.0, "bilinear", (0.2, 0.4, 0.6), (0.5, 0.25, 0.1))


def small_backbone() -> Backbone:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return Backbone(nn.Sequential(*layers), 4, PREPROCESSING)


def test_views_are_normalised_by_channel() -> None:
    normalised = Embedder(nn.Identity(), PREPROCESSING)(torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 3, 1, 1))
    # (level / 255 − mean) / std
    assert normalised.flatten().tolist() == pytest.approx([-0.4, -0.8, 4.0])
    assert normalised.dtype == torch.float32


def test_the_normalisation_belongs_to_the_preprocessing_and_not_to_the_state() -> None:
    assert dict(Embedder(nn.Identity(), PREPROCESSING).state_dict()) == {}


def test_head_layers() -> None:
    assert [type(layer) for layer in head(5, 7, 0.4, 3)] == [nn.Linear, nn.ReLU, nn.Dropout, nn.Linear, nn.LogSoftmax]
    assert {name: tuple(tensor.shape) for name, tensor in head(5, 7, 0.4, 3).state_dict().items()} == {
        "hidden.weight": (7, 5),
        "hidden.bias": (7,),
        "classes.weight": (3, 7),
        "classes.bias": (3,),
    }
    assert head(5, 7, 0.4, 3).get_submodule("dropout").p == 0.4
    assert [type(layer) for layer in head(5, 0, 0.4, 3)] == [nn.Linear, nn.LogSoftmax]


def test_head_gives_log_probabilities() -> None:
    top = head(2, 0, 0.0, 2)
    top.load_state_dict({"classes.weight": torch.eye(2), "classes.bias": torch.tensor([0.0, 1.0])})
    # Logits 1 and 1 + ln 3: probabilities 1/4 and 3/4.
    output = top(torch.tensor([[1.0, math.log(3)]]))
    assert output.exp().flatten().tolist() == pytest.approx([0.25, 0.75])


def test_the_frozen_backbone_learns_nothing_and_its_batch_norm_does_not_drift() -> None:
    frozen = embedder(small_backbone(), PREPROCESSING)
    assert not any(module.training for module in frozen.modules())
    assert not any(parameter.requires_grad for parameter in frozen.parameters())
    before = {name: tensor.clone() for name, tensor in frozen.backbone.state_dict().items()}
    network = Classifier(frozen, head(4, 0, 0.0, 2))
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
