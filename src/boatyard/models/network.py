"""The whole network: normalisation, backbone and head, from uint8 views to log-probabilities."""

from collections import OrderedDict
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from boatyard.core.errors import UserError
from boatyard.images.views import Preprocessing
from boatyard.models.backbones import Backbone, refusal
from boatyard.models.fingerprint import fingerprint
from boatyard.models.head import Head


class Temperature(nn.Module):
    """Divides logits by one number: how sure the network is, not what it answers (Guo et al., ICML 2017)."""

    value: Tensor

    def __init__(self, value: float):
        super().__init__()
        # Not part of the state: it is no weight, and the model file's header says it.
        self.register_buffer("value", torch.tensor(value), persistent=False)

    def forward(self, logits: Tensor) -> Tensor:
        return logits / self.value


def head(width: int, hidden: int, dropout: float, classes: int, temperature: float = 1.0) -> nn.Sequential:
    """Linear – ReLU – Dropout – Linear – Temperature – LogSoftmax on embeddings [n, width].

    Without the first three if hidden is 0. It is trained at temperature 1, which changes no bit.
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


def head_of(top: nn.Module) -> Head:
    """The numbers of a `head`."""
    return Head(arrays(top), float(top.get_buffer("temperature.value")))


def with_numbers(numbers: Head) -> nn.Sequential:
    """The `head` with these numbers, in eval mode."""
    top = head(numbers.width, numbers.hidden, 0.0, numbers.classes, numbers.temperature)
    top.load_state_dict({name: torch.from_numpy(array) for name, array in numbers.weights.items()})
    return top.eval().requires_grad_(False)


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
        self._name, self._preprocessing = backbone.name, preprocessing
        # In the units of the views, 0 … 255. Not part of the state: the preprocessing is written down by itself.
        self.register_buffer("mean", 255 * torch.tensor(preprocessing.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(preprocessing.std).view(3, 1, 1), persistent=False)

    def forward(self, views: Tensor) -> Tensor:
        embeddings: Tensor = self.backbone((views.to(self.mean.dtype) - self.mean) / self.std)
        return embeddings

    def fingerprint(self) -> str:
        """What tells it from others: `boatyard.models.fingerprint`."""
        return fingerprint(self._name, self._preprocessing, self.width, arrays(self).items())


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
    if why := refusal(backbone, preprocessing.size):
        raise UserError(
            f"image.size: the backbone does not take views of {preprocessing.size} pixels ({why}); "
            f"write 'backbone', which means {backbone.preprocessing.size}"
        )
    return Embedder(backbone, preprocessing).eval().requires_grad_(False)


def parameter_count(module: nn.Module) -> int:
    """How many numbers a network learns or was published with."""
    return sum(parameter.numel() for parameter in module.parameters())
