"""Training the head on cached features, with the backbone frozen."""

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from boatyard.errors import UserError


@dataclass(frozen=True)
class Examples:
    """Features and what they show.

    Attributes:
        features: float32 [n, views, width]; an epoch uses one view of each photo.
        labels: int64 [n].
    """

    features: NDArray[np.float32]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class Settings:
    """How to train the head: see `train` in params.yaml."""

    epochs: int
    patience: int
    batch_size: int
    lr: float
    weight_decay: float
    seed: int


@dataclass(frozen=True)
class Epoch:
    """One line of the history; losses in nats, accuracies as fractions.

    Attributes:
        epoch: from 1.
        train_loss, train_top1: means over the epoch's batches, dropout on, weights changing underneath.
        best: the validation loss is the lowest so far.
    """

    epoch: int
    train_loss: float
    validation_loss: float
    train_top1: float
    validation_top1: float
    lr: float
    best: bool


def fit(head: nn.Module, train: Examples, validation: Examples, settings: Settings) -> Iterator[Epoch]:
    """Train `head` in place with Adam on the negative log-likelihood; yields every epoch as it ends.

    Epoch e sees view e mod views of every training photo. Training stops after `patience` epochs without a lower
    validation loss, and the head is left with the weights of the epoch that had the lowest.

    It runs on one CPU thread: the head is small, and sums then have one order on every number of cores.

    Args:
        head: maps embeddings [n, width] to log-probabilities [n, classes].
        train: what it learns from.
        validation: what decides when to stop; the first view of each photo is used.
        settings: of the optimiser and the stopping rule.

    Raises:
        UserError: the loss is not finite.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield from _fit(head, train, validation, settings)
    finally:
        torch.set_num_threads(threads)


def _fit(head: nn.Module, train: Examples, validation: Examples, settings: Settings) -> Iterator[Epoch]:
    optimizer = torch.optim.Adam(head.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
    labels = torch.from_numpy(train.labels)
    best_loss, best_epoch, best_state = math.inf, 0, copy.deepcopy(head.state_dict())
    for number in range(1, settings.epochs + 1):
        features = torch.from_numpy(np.array(train.features[:, (number - 1) % train.features.shape[1]]))
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(settings.seed * 1_000_003 + number))
        train_loss, train_top1 = _one_epoch(head, optimizer, features, labels, torch.split(order, settings.batch_size))
        validation_loss, validation_top1 = evaluate(head, validation)
        if not (math.isfinite(train_loss) and math.isfinite(validation_loss)):
            raise UserError(f"the loss is not finite in epoch {number}: lower train.lr ({settings.lr})")
        better = validation_loss < best_loss
        if better:
            best_loss, best_epoch, best_state = validation_loss, number, copy.deepcopy(head.state_dict())
        yield Epoch(number, train_loss, validation_loss, train_top1, validation_top1, settings.lr, better)
        if number - best_epoch >= settings.patience:
            break
    head.load_state_dict(best_state)


def _one_epoch(
    head: nn.Module, optimizer: torch.optim.Optimizer, features: Tensor, labels: Tensor, batches: tuple[Tensor, ...]
) -> tuple[float, float]:
    head.train()
    loss_sum = correct = 0.0
    for batch in batches:
        log_probabilities = head(features[batch])
        loss = functional.nll_loss(log_probabilities, labels[batch])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        loss_sum += loss.item() * len(batch)
        correct += (log_probabilities.argmax(1) == labels[batch]).sum().item()
    return loss_sum / len(labels), correct / len(labels)


@torch.inference_mode()
def evaluate(head: nn.Module, examples: Examples) -> tuple[float, float]:
    """Mean loss (nats) and top-1 of the head on every example's first view."""
    head.eval()
    labels = torch.from_numpy(examples.labels)
    log_probabilities = head(torch.from_numpy(np.array(examples.features[:, 0])))
    loss = functional.nll_loss(log_probabilities, labels).item()
    return loss, (log_probabilities.argmax(1) == labels).float().mean().item()


def parameter_count(module: nn.Module) -> int:
    """How many numbers a network learns or was published with."""
    return sum(parameter.numel() for parameter in module.parameters())
