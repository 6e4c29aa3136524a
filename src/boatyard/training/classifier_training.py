"""A whole training run: the head on cached features, then, optionally, the last blocks of the backbone with it."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from boatyard import params
from boatyard.core import cache_keys, distributed
from boatyard.core.machine import Machine
from boatyard.core.splits import Sample, class_names
from boatyard.evaluation import temperature
from boatyard.features import feature_files
from boatyard.features.embeddings import Embeddings
from boatyard.features.feature_files import Examples, Features, Task
from boatyard.images.views import PLAIN, Recipe
from boatyard.models import backbones, model_file
from boatyard.models.frozen_backbone import FrozenBackbone, fingerprint
from boatyard.models.model_header import Header
from boatyard.models.network import Network, arrays, embedder, head, parameter_count
from boatyard.params import Params
from boatyard.training import finetuning, finetuning_state, head_training
from boatyard.training.finetuning import Photos
from boatyard.training.finetuning_state import State
from boatyard.training.history import Epoch, best
from boatyard.training.optimisation import Loss, balanced

# Receives an epoch, whether it is the best so far, and its seconds, or None if an earlier run trained it.
OnEpoch = Callable[[Epoch, bool, float | None], None]
Metrics = dict[str, Any]


@dataclass(frozen=True)
class Folders:
    """Input folders (the photos, the user's own weights) and cache folders (embeddings, graphs, states of killed runs).

    `finished` is the state that the last finished run left, if there is one.
    """

    raw: Path
    weights: Path
    embeddings: Path
    graphs: Path
    finetuning: Path
    finished: Path | None


@dataclass(frozen=True)
class Result:
    """A trained classifier.

    Attributes:
        network: with the weights of the best epoch.
        header: its metadata.
        history: every epoch.
        metrics: metrics/train.json.
        seconds: of each epoch that was trained now.
        state: of fine-tuning, from which a run with more epochs continues.
        interrupted: file from which a killed run would have continued; to be deleted once everything is saved.
    """

    network: Network
    header: Header
    history: list[Epoch]
    metrics: Metrics
    seconds: list[float]
    state: State
    interrupted: Path | None


class _Log:
    """The epochs of a run, as they end."""

    def __init__(self, on_epoch: OnEpoch, on_note: Callable[[str], None]):
        self.on_epoch, self.on_note = on_epoch, on_note
        self.history: list[Epoch] = []
        self.seconds: list[float] = []  # of the epochs trained now

    def note(self, text: str) -> None:
        """Report what is worth a line."""
        if distributed.rank() == 0:
            self.on_note(text)

    def add(self, epochs: Iterable[Epoch]) -> None:
        """Log epochs of an earlier run."""
        for epoch in epochs:
            self._add(epoch, None)

    def run(self, epochs: Iterable[Epoch]) -> None:
        """Train epochs, and log them."""
        start = time.perf_counter()
        for epoch in epochs:
            self.seconds.append(time.perf_counter() - start)
            self._add(epoch, self.seconds[-1])
            start = time.perf_counter()

    def _add(self, epoch: Epoch, seconds: float | None) -> None:
        is_best = not self.history or epoch.validation_loss < best(self.history).validation_loss
        self.history.append(epoch)
        if distributed.rank() == 0:
            self.on_epoch(epoch, is_best, seconds)


def train(
    settings: Params,
    samples: Sequence[Sample],
    features: Features,
    folders: Folders,
    machine: Machine,
    on_epoch: OnEpoch,
    on_note: Callable[[str], None],
) -> Result:
    """Train the head on `features`, fine-tune the backbone if `finetune.epochs` is positive, and fit a temperature.

    Several processes may share fine-tuning; each returns the same result.

    Args:
        settings: the sections that the stage train declares.
        samples: the photos.
        features: of the frozen backbone, for these photos.
        folders: where to read and cache.
        machine: where fine-tuning runs.
        on_epoch: called after each epoch, in the first process.
        on_note: called with what is worth a line, in the first process.

    Raises:
        UserError: there is no such backbone or weights, a photo can't be opened, or the loss is not finite.
    """
    model, seed, classes = settings.model, settings.seed, class_names(samples)
    log = _Log(on_epoch, on_note)

    # The published backbone with a new head, or those of a trained model.
    torch.manual_seed(seed)  # the same random weights as in featurize, if model.weights is 'none'
    backbone = backbones.create(model.backbone, model.weights, folders.weights)
    recipe = Recipe(backbone.preprocessing.adapted(settings.image), settings.augment, seed)
    torch.manual_seed(seed)
    new_head = head(backbone.width, model.head.hidden, model.head.dropout, len(classes))
    network = Network(embedder(backbone, recipe.preprocessing), new_head)
    if backbone.model:
        log.note(_start_head(new_head, model.head.hidden, classes, backbone.model))

    # Phase 1: the head, on cached features.
    train, validation = (feature_files.examples(features, classes, split) for split in ("train", "validation"))
    labels = torch.from_numpy(train.labels)
    weights = balanced(labels, len(classes)) if settings.train.class_weights == "balanced" else None
    loss = Loss(settings.train.label_smoothing, weights)
    log.run(head_training.fit(network.head, train, validation, loss, settings.train, seed))
    trained = parameter_count(network.head)
    state, interrupted = State(), None

    # Phase 2: the last blocks of the backbone too, on the photos.
    if settings.finetune.epochs:
        to_train = finetuning.blocks_to_train(network, settings.finetune)
        trained += sum(parameter.numel() for block in to_train for parameter in block)
        run = _run_key(settings, network, recipe, best(log.history), samples, machine)
        interrupted = folders.finetuning / f"{run}.safetensors"
        photos, held_out = (
            finetuning.photos(samples, classes, split, folders.raw, recipe) for split in ("train", "validation")
        )
        saved = interrupted, folders.finished
        state = _fine_tune(network, photos, held_out, loss, settings, machine, run, saved, log)
        # The cached features are those of the published backbone. The new embeddings also serve tta_evaluate.
        tuned = FrozenBackbone.of(network.embedder)
        embeddings = Embeddings(tuned, recipe, folders.raw, machine, folders.embeddings, folders.graphs)
        embeddings.fill([Task(sample, [PLAIN]) for sample in held_out.rows], "validation")
        validation = Examples(embeddings.rows(held_out.rows, [PLAIN]), validation.labels)

    # Calibration, on validation.
    log_probabilities = head_training.log_probabilities(network.head, validation)
    choice = temperature.choose(log_probabilities, validation.labels)
    header = Header(
        classes=classes,
        backbone=model.backbone,
        hidden=model.head.hidden,
        dropout=model.head.dropout,
        preprocessing=recipe.preprocessing,
        temperature=choice.temperature,
        params=params.dump(settings),
    )
    best_epoch = asdict(best(log.history))
    metrics = (
        {"epochs": len(log.history), "best_epoch": best_epoch["epoch"]}
        | {name: best_epoch[name] for name in ("train_loss", "validation_loss", "train_top1", "validation_top1")}
        | temperature.summary(log_probabilities, validation.labels, choice)
        | {"parameters": parameter_count(network), "parameters_trained": trained}
    )
    return Result(network, header, log.history, metrics, log.seconds, state, interrupted)


def _start_head(new_head: nn.Module, hidden: int, classes: list[str], path: Path) -> str:
    """Give a new head the weights of a trained one, if classes and layers are the same; returns what was done."""
    trained = model_file.read(path)
    if trained.header.classes != classes:
        reason = "it has other classes"
    elif trained.head.hidden != hidden:
        reason = f"it has hidden: {trained.head.hidden}"
    else:
        new_head.load_state_dict({name: torch.from_numpy(array) for name, array in trained.head.weights.items()})
        return f"the backbone and the head start from {path.name}"
    return f"the backbone starts from {path.name}, the head from the seed: {reason}"


def _fine_tune(
    network: Network,
    photos: Photos,
    held_out: Photos,
    loss: Loss,
    settings: Params,
    machine: Machine,
    run: str,
    files: tuple[Path, Path | None],
    log: _Log,
) -> State:
    """Fine-tune from the first of the files that this run can continue from, or from the first epoch.

    Its own state is written to the first file.

    Returns:
        The state at the end, with its tensors if another run could continue from there.
    """
    finetune, before, start = settings.finetune, best(log.history), State(run)
    for file in filter(None, files):
        try:
            found = finetuning_state.read(file)
        except FileNotFoundError:
            continue
        except ValueError as error:
            log.note(f"{file} is damaged ({error}): fine-tuning does not continue from it")
            continue
        why = finetuning_state.why_not(found, run, before, finetune)
        if not why:
            start = found
            log.note(f"fine-tuning continues after epoch {found.history[-1].epoch}")
            break
        if found.history:
            log.note(f"fine-tuning does not continue the last run: {why}")
    log.add(start.history)
    done = len(log.history)
    log.run(finetuning.fit(network, photos, held_out, loss, finetune, settings.seed, before, machine, start, files[0]))
    history = [epoch for epoch in log.history if epoch.phase == "finetune"]
    if not finetuning_state.can_continue(finetune, len(history)):
        return State(run, history)
    return State(run, history, file=files[0] if len(log.history) > done else start.file)


def _run_key(
    settings: Params, network: Network, recipe: Recipe, before: Epoch, samples: Sequence[Sample], machine: Machine
) -> str:
    """Identifies everything that decides an epoch of fine-tuning, except its learning rate."""
    sections = params.dump(settings)
    sections["finetune"] = {
        key: value for key, value in sections["finetune"].items() if key not in ("epochs", "patience")
    }
    embedder = network.embedder
    start = fingerprint(embedder.name, recipe.preprocessing, embedder.width, arrays(network).items())
    return cache_keys.key(
        *(sections, start, recipe.preprocessing, before, samples),
        *(machine.kind, machine.precision, distributed.size(), _arithmetic(machine)),
        libraries=("torch", "pillow"),
        code=finetuning.__name__,
    )


def _arithmetic(machine: Machine) -> object:
    """What decides the order of the terms in a sum: the GPU's kind, or the CPU's instructions and number of threads."""
    if machine.kind == "cuda":
        return torch.cuda.get_device_name(machine.device)
    return torch.backends.cpu.get_cpu_capability(), torch.get_num_threads()
