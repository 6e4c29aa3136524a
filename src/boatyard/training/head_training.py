"""Training the head on cached features, with the backbone frozen."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from boatyard.core.errors import UserError
from boatyard.features.feature_files import Examples
from boatyard.params.schema import Train
from boatyard.training.history import Epoch
from boatyard.training.optimisation import EarlyStopping, Loss, epoch_seed, optimiser, rate, weights

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
    optimizer = optimiser(settings.optimiser, [{"params": head.parameters(), "lr": settings.lr}], settings.weight_decay)
    stopping = EarlyStopping(settings.patience)
    labels, views = torch.from_numpy(train.labels), train.features.shape[1]
    with _one_thread():
        for epoch in range(1, settings.epochs + 1):
            lr = settings.lr * rate(settings.schedule, epoch, settings.epochs, settings.warmup)
            optimizer.param_groups[0]["lr"] = lr
            torch.manual_seed(epoch_seed(seed, epoch))
            head.train()
            loss_sum = correct = 0.0
            for batch in torch.split(torch.randperm(len(labels)), settings.batch_size):
                # Only a batch of the features is in memory.
                outputs = head(torch.from_numpy(train.rows(batch.numpy(), (epoch - 1) % views)))
                batch_loss = loss(outputs, labels[batch])
                optimizer.zero_grad(set_to_none=True)
                batch_loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                loss_sum += batch_loss.item() * len(batch)
                correct += (outputs.argmax(1) == labels[batch]).sum().item()
            train_loss, train_top1 = loss_sum / len(labels), correct / len(labels)
            validation_loss, validation_top1 = evaluate(head, validation)
            if not (math.isfinite(train_loss) and math.isfinite(validation_loss)):
                raise UserError(f"the loss is not finite in epoch {epoch}: lower train.lr ({settings.lr})")
            if stopping.improves(epoch, validation_loss):
                best = weights(head)
            yield Epoch(epoch, "head", train_loss, validation_loss, train_top1, validation_top1, lr)
            if stopping.stops_after(epoch):
                break
    head.load_state_dict(best)


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@_one_thread()
@torch.inference_mode()
def log_probabilities(head: nn.Module, examples: Examples) -> NDArray[np.float32]:
    """The head's outputs for every example's first view, float32 [n, classes], also computed on one CPU thread."""
    head.eval()
    starts = range(0, max(1, len(examples.labels)), _ROWS)
    parts = [head(torch.from_numpy(examples.rows(slice(start, start + _ROWS), 0))).numpy() for start in starts]
    return np.concatenate(parts)


@torch.inference_mode()
def evaluate(head: nn.Module, examples: Examples) -> tuple[float, float]:
    """Mean negative log-likelihood (nats) and top-1 of the head on every example's first view."""
    labels, outputs = torch.from_numpy(examples.labels), torch.from_numpy(log_probabilities(head, examples))
    loss = functional.nll_loss(outputs, labels).item()
    return loss, (outputs.argmax(1) == labels).float().mean().item()
