"""A whole training run: the head on cached features, then, optionally, the last blocks of the backbone with it."""

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
from boatyard.models.frozen_backbone import FrozenBackbone
from boatyard.models.model_header import Header
from boatyard.models.network import Network, embedder, head, parameter_count
from boatyard.params import Params
from boatyard.training import finetuning, head_training
from boatyard.training.history import Epoch, best
from boatyard.training.optimisation import Loss, balanced

OnEpoch = Callable[[Epoch, bool], None]  # the flag says whether it is the best epoch so far
Metrics = dict[str, Any]


@dataclass(frozen=True)
class Folders:
    """Input folders (the photos, the user's own weights) and cache folders (embeddings, graphs, states of runs)."""

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
        state: file from which a killed run would have continued; to be deleted once everything is saved.
    """

    network: Network
    header: Header
    history: list[Epoch]
    metrics: Metrics
    state: Path | None


def train(
    settings: Params,
    samples: Sequence[Sample],
    features: Features,
    folders: Folders,
    machine: Machine,
    on_epoch: OnEpoch,
) -> Result:
    """Train the head on `features`, fine-tune the backbone if `finetune.epochs` is positive, and fit a temperature.

    Several processes may share fine-tuning; each returns the same result.

    Args:
        settings: the sections that the stage train declares.
        samples: the photos.
        features: of the frozen backbone, for these photos.
        folders: where to read and cache.
        machine: where fine-tuning runs.
        on_epoch: called after each epoch.

    Raises:
        UserError: there is no such backbone or weights, a photo can't be opened, or the loss is not finite.
    """
    model, seed, classes = settings.model, settings.seed, class_names(samples)
    history: list[Epoch] = []

    def add(epoch: Epoch) -> None:
        is_best = not history or epoch.validation_loss < best(history).validation_loss
        history.append(epoch)
        on_epoch(epoch, is_best)

    # The published backbone with a new head.
    torch.manual_seed(seed)  # the same random weights as in featurize, if model.weights is 'none'
    backbone = backbones.create(model.backbone, model.weights, folders.weights)
    recipe = Recipe(backbone.preprocessing.adapted(settings.image), settings.augment, seed)
    torch.manual_seed(seed)
    new_head = head(backbone.width, model.head.hidden, model.head.dropout, len(classes))
    network = Network(embedder(backbone, recipe.preprocessing), new_head)

    # Phase 1: the head, on cached features.
    train, validation = (feature_files.examples(features, classes, split) for split in ("train", "validation"))
    labels = torch.from_numpy(train.labels)
    weights = balanced(labels, len(classes)) if settings.train.class_weights == "balanced" else None
    loss = Loss(settings.train.label_smoothing, weights)
    for epoch in head_training.fit(network.head, train, validation, loss, settings.train, seed):
        add(epoch)
    trained = parameter_count(network.head)
    state = None

    # Phase 2: the last blocks of the backbone too, on the photos.
    if settings.finetune.epochs:
        to_train = finetuning.blocks_to_train(network, settings.finetune)
        trained += sum(parameter.numel() for block in to_train for parameter in block)
        state = _state_path(settings, network, samples, folders.finetuning, machine)
        photos, held_out = (
            finetuning.photos(samples, classes, split, folders.raw, recipe) for split in ("train", "validation")
        )
        before = best(history)
        for epoch in finetuning.fit(network, photos, held_out, loss, settings.finetune, seed, before, machine, state):
            add(epoch)
        # The cached features are those of the published backbone. The new embeddings also serve tta_evaluate.
        tuned = FrozenBackbone.of(network.embedder)
        embeddings = Embeddings(tuned, recipe, folders.raw, machine, folders.embeddings, folders.graphs)
        embeddings.fill([Task(sample, [PLAIN]) for sample in held_out.rows], "validation")
        validation = Examples(embeddings.rows(held_out.rows, [PLAIN]), validation.labels)

    # Calibration, on validation.
    log_probabilities = head_training.log_probabilities(network.head, validation)
    fitted = temperature.fit(log_probabilities, validation.labels)
    header = Header(
        classes=classes,
        backbone=model.backbone,
        hidden=model.head.hidden,
        dropout=model.head.dropout,
        preprocessing=recipe.preprocessing,
        temperature=fitted,
        params=params.dump(settings),
    )
    best_epoch = asdict(best(history))
    metrics = (
        {"epochs": len(history), "best_epoch": best_epoch["epoch"]}
        | {name: best_epoch[name] for name in ("train_loss", "validation_loss", "train_top1", "validation_top1")}
        | temperature.summary(log_probabilities, validation.labels, fitted)
        | {"parameters": parameter_count(network), "parameters_trained": trained}
    )
    return Result(network, header, history, metrics, state)


def _state_path(settings: Params, network: Network, samples: Sequence[Sample], folder: Path, machine: Machine) -> Path:
    """The file for the state of a killed run. Its name changes with everything that decides the run."""
    published = FrozenBackbone.of(network.embedder).fingerprint
    inputs = params.dump(settings), published, samples, machine.kind, machine.precision, distributed.size()
    return folder / f"{cache_keys.key(*inputs, libraries=('torch', 'pillow'), code=finetuning.__name__)}.pt"
