"""The whole network: normalisation, backbone and head, from uint8 views to log-probabilities."""

from collections import OrderedDict
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from boatyard.core.errors import UserError
from boatyard.images.views import Preprocessing
from boatyard.models.backbones import Backbone, why_not
from boatyard.models.head import HeadWeights


class Temperature(nn.Module):
    """Divides logits by a constant, which changes confidence but no prediction (Guo et al., ICML 2017)."""

    value: Tensor

    def __init__(self, value: float):
        super().__init__()
        # Not part of the state: it is not a weight, and the model file has it in its header.
        self.register_buffer("value", torch.tensor(value), persistent=False)

    def forward(self, logits: Tensor) -> Tensor:
        return logits / self.value


def head(width: int, hidden: int, dropout: float, classes: int, temperature: float = 1.0) -> nn.Sequential:
    """Linear – ReLU – Dropout – Linear – Temperature – LogSoftmax on embeddings [n, width].

    If hidden is 0, without the first three. It is trained at temperature 1, which changes no bit.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if hidden:
        layers["hidden"] = nn.Linear(width, hidden)
        layers["relu"] = nn.ReLU()
        layers["dropout"] = nn.Dropout(dropout)
    layers["classes"] = nn.Linear(hidden or width, classes)
    layers["temperature"] = Temperature(temperature)
    layers["log_softmax"] = nn.LogSoftmax(dim=1)
    return nn.Sequential(layers)


def head_weights(module: nn.Module) -> HeadWeights:
    """The weights of a `head`."""
    return HeadWeights(arrays(module), float(module.get_buffer("temperature.value")))


def head_module(trained: HeadWeights) -> nn.Sequential:
    """The `head` with these weights, in eval mode."""
    module = head(trained.width, trained.hidden, 0.0, trained.classes, trained.temperature)
    module.load_state_dict({name: torch.from_numpy(array) for name, array in trained.weights.items()})
    return module.eval().requires_grad_(False)


def arrays(module: nn.Module) -> dict[str, NDArray[Any]]:
    """A module's state, as in a model file."""
    return {name: tensor.detach().cpu().contiguous().numpy() for name, tensor in module.state_dict().items()}


class Embedder(nn.Module):
    """uint8 views [n, 3, s, s] → embeddings [n, width]: the backbone's normalisation, then the backbone."""

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: Backbone, preprocessing: Preprocessing):
        super().__init__()
        self.backbone, self.width = backbone.network, backbone.width
        self.name, self.preprocessing = backbone.name, preprocessing
        # In the units of the views, 0 … 255. Not part of the state: a model file has the preprocessing in its header.
        self.register_buffer("mean", 255 * torch.tensor(preprocessing.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(preprocessing.std).view(3, 1, 1), persistent=False)

    def forward(self, views: Tensor) -> Tensor:
        embeddings: Tensor = self.backbone((views.to(self.mean.dtype) - self.mean) / self.std)
        return embeddings


class Network(nn.Module):
    """uint8 views [n, 3, s, s] → log-probabilities [n, classes]."""

    def __init__(self, embedder: Embedder, head: nn.Module):
        super().__init__()
        self.embedder = embedder
        self.head = head

    def forward(self, views: Tensor) -> Tensor:
        log_probabilities: Tensor = self.head(self.embedder(views))
        return log_probabilities


def embedder(backbone: Backbone, preprocessing: Preprocessing) -> Embedder:
    """The backbone with its normalisation, frozen: in eval mode (batch norm included), no gradients.

    Raises:
        UserError: the backbone does not take views of the preprocessing's size.
    """
    if why := why_not(backbone, preprocessing.size):
        raise UserError(
            f"image.size: the backbone does not take views of {preprocessing.size} pixels ({why}); "
            f"set it to 'backbone', which is {backbone.preprocessing.size} here"
        )
    return Embedder(backbone, preprocessing).eval().requires_grad_(False)


def parameter_count(module: nn.Module) -> int:
    """The number of parameters of a network."""
    return sum(parameter.numel() for parameter in module.parameters())
