"""Training the head on cached features, with the backbone frozen."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from boatyard.core.errors import UserError
from boatyard.features.feature_files import Examples
from boatyard.params.schema import Train
from boatyard.training.history import Epoch
from boatyard.training.optimisation import EarlyStopping, Loss, epoch_seed, optimiser, rate

_ROWS = 4096  # embeddings per forward pass when judging


def fit(
    head: nn.Module, train: Examples, validation: Examples, loss: Loss, settings: Train, seed: int
) -> Iterator[Epoch]:
    """Train `head` in place; yields every epoch as it ends.

    Epoch e uses view (e − 1) mod views of every training photo. Training stops after `patience` epochs without a lower
    validation loss. Once the generator is exhausted, the head has the weights of the epoch with the lowest.

    It runs on one CPU thread: the head is small, and sums then have the same order on any number of cores.

    Args:
        head: maps embeddings [n, width] to log-probabilities [n, classes].
        train: the training examples.
        validation: decides when to stop; the first view of each photo is used.
        loss: the loss to minimise; the validation loss is the plain negative log-likelihood.
        settings: of the optimiser and the stopping rule.
        seed: of the order of the photos and of dropout.

    Raises:
        UserError: the loss is not finite.
    """
    with _one_thread():
        yield from _fit(head, train, validation, loss, settings, seed)


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _fit(
    head: nn.Module, train: Examples, validation: Examples, loss: Loss, settings: Train, seed: int
) -> Iterator[Epoch]:
    optimizer = optimiser(settings.optimiser, [{"params": head.parameters(), "lr": settings.lr}], settings.weight_decay)
    stopping = EarlyStopping(settings.patience)
    labels = torch.from_numpy(train.labels)
    views = train.features.shape[1]
    for epoch in range(1, settings.epochs + 1):
        lr = settings.lr * rate(settings.schedule, epoch, settings.epochs, settings.warmup)
        optimizer.param_groups[0]["lr"] = lr
        view = (epoch - 1) % views
        torch.manual_seed(epoch_seed(seed, epoch))
        order = torch.randperm(len(labels))
        batches = torch.split(order, settings.batch_size)
        train_loss, train_top1 = _one_epoch(head, optimizer, loss, train, view, labels, batches)
        validation_loss, validation_top1 = evaluate(head, validation)
        if not (math.isfinite(train_loss) and math.isfinite(validation_loss)):
            raise UserError(f"the loss is not finite in epoch {epoch}: lower train.lr ({settings.lr})")
        stopping.update(epoch, validation_loss, head)
        yield Epoch(epoch, "head", train_loss, validation_loss, train_top1, validation_top1, lr)
        if stopping.stops_after(epoch):
            break
    head.load_state_dict(stopping.best_state)


def _one_epoch(
    head: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss: Loss,
    train: Examples,
    view: int,
    labels: Tensor,
    batches: tuple[Tensor, ...],
) -> tuple[float, float]:
    head.train()
    loss_sum = correct = 0.0
    for batch in batches:
        log_probabilities = head(torch.from_numpy(train.rows(batch.numpy(), view)))  # only a batch in memory
        batch_loss = loss(log_probabilities, labels[batch])
        optimizer.zero_grad(set_to_none=True)
        batch_loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        loss_sum += batch_loss.item() * len(batch)
        correct += (log_probabilities.argmax(1) == labels[batch]).sum().item()
    return loss_sum / len(labels), correct / len(labels)


def log_probabilities(head: nn.Module, examples: Examples) -> NDArray[np.float32]:
    """The head's outputs for every example's first view, float32 [n, classes], also computed on one CPU thread."""
    with _one_thread(), torch.inference_mode():
        return np.asarray(_forward(head, examples).numpy(), np.float32)


def _forward(head: nn.Module, examples: Examples) -> Tensor:
    head.eval()
    starts = range(0, max(1, len(examples.labels)), _ROWS)
    return torch.cat([head(torch.from_numpy(examples.rows(slice(start, start + _ROWS), 0))) for start in starts])


@torch.inference_mode()
def evaluate(head: nn.Module, examples: Examples) -> tuple[float, float]:
    """Mean negative log-likelihood (nats) and top-1 of the head on every example's first view."""
    labels = torch.from_numpy(examples.labels)
    outputs = _forward(head, examples)
    loss = functional.nll_loss(outputs, labels).item()
    return loss, (outputs.argmax(1) == labels).float().mean().item()
