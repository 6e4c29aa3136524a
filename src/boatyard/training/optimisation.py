"""What both training phases share: loss, optimiser, learning-rate schedule, early stopping."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from boatyard.params.schema import Optimiser, Schedule


def optimiser(kind: Optimiser, groups: Iterable[dict[str, Any]], weight_decay: float) -> torch.optim.Optimizer:
    """An optimiser over parameter groups, each with an `lr`. SGD uses Nesterov momentum 0.9."""
    if kind == "sgd":
        return torch.optim.SGD(groups, momentum=0.9, nesterov=True, weight_decay=weight_decay)
    kinds: dict[str, type[torch.optim.Adam]] = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    return kinds[kind](groups, weight_decay=weight_decay)


def epoch_seed(seed: int, epoch: int) -> int:
    """The seed of an epoch's order and dropout: no epoch depends on the random numbers drawn before it."""
    return (seed * 1_000_003 + epoch) % 2**63


def rate(schedule: Schedule, epoch: int, epochs: int, warmup: int) -> float:
    """The factor on every learning rate in epoch 1 … epochs.

    It rises in equal steps to 1 over `warmup` epochs, then stays there ('constant') or follows half a cosine down to 0
    ('cosine'; Loshchilov and Hutter 2017, without restarts).
    """
    if epoch <= warmup:
        return epoch / (warmup + 1)
    if schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (epoch - warmup - 1) / max(1, epochs - warmup)))


@dataclass(frozen=True)
class Loss:
    """Negative log-likelihood in nats, with optional label smoothing and class weights.

    Attributes:
        smoothing: fraction of each label spread over all classes (Szegedy et al. 2016).
        weights: float32 [classes]; None: equal.
    """

    smoothing: float
    weights: Tensor | None

    def __call__(self, log_probabilities: Tensor, labels: Tensor) -> Tensor:
        """The mean over a batch; log-probabilities [n, classes], labels int64 [n]."""
        return self.total(log_probabilities, labels) / self.weight(labels)

    def total(self, log_probabilities: Tensor, labels: Tensor) -> Tensor:
        """The sum over a batch, each photo weighted by its class."""
        weights = None if self.weights is None else self.weights.to(labels.device)
        # Log-softmax does not change log-probabilities, so cross entropy takes them in place of logits.
        return functional.cross_entropy(
            log_probabilities, labels, weight=weights, label_smoothing=self.smoothing, reduction="sum"
        )

    def weight(self, labels: Tensor) -> float:
        """The sum of the photos' weights, by which `total` is divided for the mean."""
        return float(len(labels)) if self.weights is None else self.weights[labels].sum().item()


def balanced(labels: Tensor, classes: int) -> Tensor:
    """Weights that give every class the same influence: n / (classes · photos of the class), float32 [classes]."""
    counts = torch.bincount(labels, minlength=classes).clamp(min=1)
    return (len(labels) / (classes * counts)).float()


class EarlyStopping:
    """Stops after `patience` epochs without a lower validation loss."""

    def __init__(self, patience: int):
        self.patience = patience
        self.best_loss, self.best_epoch = math.inf, 0

    def improves(self, epoch: int, loss: float) -> bool:
        """Note the loss of an epoch; returns whether it is the lowest so far."""
        if loss >= self.best_loss:
            return False
        self.best_loss, self.best_epoch = loss, epoch
        return True

    def stops_after(self, epoch: int) -> bool:
        """Whether this epoch is the last."""
        return epoch - self.best_epoch >= self.patience


def weights(network: nn.Module) -> dict[str, Tensor]:
    """A copy of a network's state."""
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
