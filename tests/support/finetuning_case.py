"""A small case of fine-tuning, shared by the tests and by the processes that they start."""

import hashlib
from itertools import islice
from pathlib import Path

import torch
from torch import nn

from boatyard.core.machine import Machine
from boatyard.core.splits import Sample
from boatyard.images.views import Preprocessing, Recipe
from boatyard.models.backbones import Backbone
from boatyard.models.network import Embedder, Network, head
from boatyard.params.schema import Augment, Finetune
from boatyard.training import finetuning, finetuning_state
from boatyard.training.finetuning_state import State
from boatyard.training.history import Epoch
from boatyard.training.optimisation import Loss

CLASSES = ["discs", "squares", "stripes"]
PREPROCESSING = Preprocessing(32, 1.0, "bilinear", (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
AUGMENT = Augment(
    scale=[0.8, 1.0],
    aspect=[1.0, 1.0],
    rotation=0,
    horizontal_flip=True,
    vertical_flip=False,
    brightness=0.0,
    contrast=0.0,
    saturation=0.0,
    hue=0.0,
)
SETTINGS = Finetune(
    epochs=4,
    patience=4,
    batch_size=7,
    blocks="all",
    optimiser="adamw",
    lr=0.03,
    block_decay=0.5,
    schedule="cosine",
    warmup=1,
    weight_decay=0.01,
    clip=1.0,
)
BEFORE = Epoch(9, "head", 2.0, 2.0, 0.3, 0.3, 0.001)


class Blocks(nn.Module):
    """Three blocks, one of them with batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2)
        self.stages = nn.Sequential(
            nn.Sequential(nn.BatchNorm2d(8), nn.ReLU()), nn.Sequential(nn.Conv2d(8, 16, 3, 2), nn.ReLU())
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.stages(self.stem(images)).mean(dim=(2, 3))


def network(dropout: float = 0.0) -> Network:
    torch.manual_seed(0)
    embedder = Embedder(Backbone("blocks", Blocks(), 16, PREPROCESSING), PREPROCESSING)
    # Only a head with a hidden layer has dropout.
    return Network(embedder, head(16, 8 if dropout else 0, dropout, len(CLASSES))).eval().requires_grad_(False)


def rows(raw: Path) -> list[Sample]:
    """The photos below `raw`, every fourth for validation."""
    found = sorted(path for label in CLASSES for path in (raw / label).iterdir())
    return [
        Sample(
            path.relative_to(raw).as_posix(),
            path.parent.name,
            "train" if number % 4 else "validation",
            hashlib.sha256(path.read_bytes()).hexdigest(),
        )
        for number, path in enumerate(found)
    ]


def fine_tune(
    raw: Path, path: Path, settings: Finetune = SETTINGS, stop_after: int | None = None, dropout: float = 0.0
):
    """Fine-tune the small network, from the state at `path` if there is one; it and its history.

    `stop_after` breaks off after so many new epochs, as a kill does.
    """
    tuned, recipe = network(dropout), Recipe(PREPROCESSING, AUGMENT, 0)
    photos = [finetuning.photos(rows(raw), CLASSES, split, raw, recipe) for split in ("train", "validation")]
    start = finetuning_state.read(path) if path.exists() else State("case")
    assert not finetuning_state.why_not(start, "case", BEFORE, settings) or not start.history
    epochs = finetuning.fit(tuned, *photos, Loss(0.1, None), settings, 3, BEFORE, Machine(workers=2), start, path)
    return tuned, [*start.history, *islice(epochs, stop_after)]
