"""The epochs of a training run: the rows of plots/history.csv."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Epoch:
    """One epoch; losses in nats, accuracies as fractions.

    Attributes:
        epoch: from 1, through both phases.
        phase: 'head' on the frozen backbone, then 'finetune'.
        train_loss, train_top1: means over the epoch's batches, with dropout, while the weights change.
        validation_loss, validation_top1: on plain views after the epoch.
        lr: learning rate of the head.
    """

    epoch: int
    phase: Literal["head", "finetune"]
    train_loss: float
    validation_loss: float
    train_top1: float
    validation_top1: float
    lr: float

    def __str__(self) -> str:
        return (
            f"{self.phase} epoch {self.epoch:3}  train loss {self.train_loss:.4f}  train top-1 {self.train_top1:.4f}  "
            f"validation loss {self.validation_loss:.4f}  validation top-1 {self.validation_top1:.4f}"
        )


def best(history: Sequence[Epoch]) -> Epoch:
    """The best epoch: the first with the lowest validation loss."""
    return min(history, key=lambda epoch: epoch.validation_loss)
