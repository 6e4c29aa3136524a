"""A whole training run: the head on cached features, then, if asked to, the backbone's last blocks with it."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from boatyard import params
from boatyard.core import cache_keys, distributed
from boatyard.core.machine import Machine
from boatyard.core.splits import Sample, class_names
from boatyard.evaluation import temperature
from boatyard.features import feature_files
from boatyard.features.embeddings import Embeddings
from boatyard.features.feature_files import Examples, Features, Task
from boatyard.images.views import PLAIN, Recipe
from boatyard.models import backbones
from boatyard.models.fingerprint import fingerprint
from boatyard.models.frozen_backbone import FrozenBackbone
from boatyard.models.model_header import Header
from boatyard.models.network import Network, arrays, embedder, head, parameter_count
from boatyard.params import Params
from boatyard.training import finetuning, head_training
from boatyard.training.history import Epoch, best
from boatyard.training.optimisation import Loss, balanced

# Called after each epoch; the flag says whether it is the best so far.
OnEpoch = Callable[[Epoch, bool], None]

Metrics = dict[str, Any]


@dataclass(frozen=True)
class Folders:
    """Where a run finds the photos and a user's weights, and what it may cache: embeddings, graphs, its own state."""

    raw: Path
    weights: Path
    embeddings: Path
    graphs: Path
    finetuning: Path


@dataclass(frozen=True)
class Result:
    """A trained classifier.

    Attributes:
        network: with the weights of the best epoch.
        header: its metadata.
        history: every epoch.
        metrics: metrics/train.json.
        state: what a killed run would have gone on from; it can be deleted once all is saved.
    """

    network: Network
    header: Header
    history: list[Epoch]
    metrics: Metrics
    state: Path | None


def train(
    settings: Params, samples: Sequence[Sample], features: Features, folders: Folders, machine: Machine, tell: OnEpoch
) -> Result:
    """Train the head on `features`; fine-tune the backbone if `finetune.epochs` says so; fit a temperature.

    Several processes may share fine-tuning; each returns the same result.

    Args:
        settings: the sections that the stage train declares.
        samples: the photos.
        features: of the frozen backbone, of these photos.
        folders: where things are.
        machine: where fine-tuning runs.
        tell: called after each epoch.

    Raises:
        UserError: there is no such backbone or weights, a photo can't be opened, or the loss is not finite.
    """
    classes = class_names(samples)
    network, recipe = _untrained(settings, len(classes), folders.weights)
    train, validation = (feature_files.examples(features, classes, split) for split in ("train", "validation"))
    labels = torch.from_numpy(train.labels)
    weights = balanced(labels, len(classes)) if settings.train.class_weights == "balanced" else None
    loss = Loss(settings.train.label_smoothing, weights)
    history: list[Epoch] = []

    def add(epoch: Epoch) -> None:
        is_best = not history or epoch.validation_loss < best(history).validation_loss
        history.append(epoch)
        tell(epoch, is_best)

    for epoch in head_training.fit(network.head, train, validation, loss, settings.train, settings.seed):
        add(epoch)
    trained, state = parameter_count(network.head), None
    if settings.finetune.epochs:
        trained += sum(part.numel() for block in finetuning.chosen(network, settings.finetune) for part in block)
        state = _state_path(settings, network, recipe, samples, folders.finetuning, machine)
        photos, held_out = (
            finetuning.photos(samples, classes, split, folders.raw, recipe) for split in ("train", "validation")
        )
        before = best(history)
        for epoch in finetuning.fit(
            network, photos, held_out, loss, settings.finetune, settings.seed, before, machine, state
        ):
            add(epoch)
        # The cached features are the old backbone's. What is computed here serves tta_evaluate too.
        judged = [sample for sample in samples if sample.split == "validation"]
        frozen = FrozenBackbone.of(network.embedder)
        embeddings = Embeddings(frozen, recipe, folders.raw, machine, folders.embeddings, folders.graphs)
        embeddings.fill([Task(sample, [PLAIN]) for sample in judged], "validation")
        validation = Examples(embeddings.rows(judged, [PLAIN]), validation.labels)
    answers = head_training.answers(network.head, validation)
    fitted = temperature.fit(answers, validation.labels)
    header = Header(
        classes=classes,
        backbone=settings.model.backbone,
        hidden=settings.model.head.hidden,
        dropout=settings.model.head.dropout,
        preprocessing=recipe.preprocessing,
        temperature=fitted,
        params=params.dump(settings),
    )
    calibration = temperature.summary(answers, validation.labels, fitted)
    sizes = {"parameters": parameter_count(network), "parameters_trained": trained}
    return Result(network, header, history, _epochs(history) | calibration | sizes, state)


def _untrained(settings: Params, classes: int, weights: Path) -> tuple[Network, Recipe]:
    """The published backbone with a new head, and how its views are drawn."""
    model, seed = settings.model, settings.seed
    torch.manual_seed(seed)  # the same draws as in featurize, where model.weights is 'none'
    backbone = backbones.create(model.backbone, model.weights, weights)
    recipe = Recipe(backbone.preprocessing.adapted(settings.image), settings.augment, seed)
    torch.manual_seed(seed)
    top = head(backbone.width, model.head.hidden, model.head.dropout, classes)
    return Network(embedder(backbone, recipe.preprocessing), top), recipe


def _state_path(
    settings: Params, network: Network, recipe: Recipe, samples: Sequence[Sample], folder: Path, machine: Machine
) -> Path:
    """Where a killed run's state is kept: a name that changes with all that the run depends on."""
    before = fingerprint(settings.model.backbone, recipe.preprocessing, network.embedder.width, arrays(network).items())
    inputs = params.dump(settings), before, samples, machine.kind, machine.precision, distributed.size()
    return folder / f"{cache_keys.key(*inputs, libraries=('torch', 'pillow'), code=finetuning.__name__)}.pt"


def _epochs(history: Sequence[Epoch]) -> Metrics:
    """The keys of metrics/train.json that tell of the epochs."""
    kept = asdict(best(history))
    names = ("train_loss", "validation_loss", "train_top1", "validation_top1")
    return {"epochs": len(history), "best_epoch": kept["epoch"]} | {name: kept[name] for name in names}
