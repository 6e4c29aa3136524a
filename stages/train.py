"""Train the head on cached features, then, if asked to, fine-tune the backbone; save the best network whole."""

from boatyard.stage import run_stage

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from boatyard import files, keys, machine, params, paths
from boatyard.data import splitting
from boatyard.data.views import PLAIN, Recipe
from boatyard.evaluation import temperature
from boatyard.model import backbones, checkpoint, distributed, features, finetuning, training
from boatyard.model.embeddings import Embeddings
from boatyard.model.features import Examples, Task
from boatyard.model.frozen import Frozen, fingerprint
from boatyard.model.header import Header
from boatyard.model.history import Epoch, best
from boatyard.model.network import Classifier, arrays, embedder, head, parameter_count
from boatyard.model.optimisation import Loss, balanced
from boatyard.params import Params

# The code that decides what a step of fine-tuning does.
DECIDING = (
    "boatyard.data.photos",
    "boatyard.data.views",
    "boatyard.model.distributed",
    "boatyard.model.finetuning",
    "boatyard.model.optimisation",
    "boatyard.model.torch_engine",
)


def main() -> None:
    settings = params.load("train")
    device = machine.device()
    processes = machine.processes(device) if settings.finetune.epochs else 1
    distributed.run(train, device, processes)


def train(device: str) -> None:
    settings = params.load("train")
    model, seed = settings.model, settings.seed
    rows = splitting.read_splits(paths.SPLITS)
    classes = splitting.class_names(rows)
    cached = features.read(paths.FEATURES, rows)
    torch.manual_seed(seed)  # the same draws as in featurize, where model.weights is 'none'
    backbone = backbones.create(model.backbone, model.weights, paths.WEIGHTS)
    recipe = Recipe(backbone.preprocessing.adapted(settings.image), settings.augment, seed)
    torch.manual_seed(seed)
    top = head(backbone.width, model.head.hidden, model.head.dropout, len(classes))
    network = Classifier(embedder(backbone, recipe.preprocessing), top)
    trained = parameter_count(top)

    learning, validation = (features.examples(cached, classes, split) for split in ("train", "validation"))
    labels = torch.from_numpy(learning.labels)
    weights = balanced(labels, len(classes)) if settings.train.class_weights == "balanced" else None
    loss = Loss(settings.train.label_smoothing, weights)
    history: list[Epoch] = []
    for epoch in training.fit(top, learning, validation, loss, settings.train, seed):
        follow(epoch, history)
    if settings.finetune.epochs:
        trained += sum(part.numel() for block in finetuning.chosen(network, settings.finetune) for part in block)
        photos, held_out = (
            finetuning.photos(rows, classes, split, paths.RAW, recipe) for split in ("train", "validation")
        )
        precision = machine.precision(device)
        before = fingerprint(backbone.name, recipe.preprocessing, backbone.width, arrays(network).items())
        state = state_path(settings, before, rows, machine.kind(device), precision, distributed.size())
        where = finetuning.Machine(device, precision, machine.workers(), state)
        for epoch in finetuning.fit(network, photos, held_out, loss, settings.finetune, seed, best(history), where):
            follow(epoch, history)
        # The features are the old backbone's. tta_evaluate finds what is computed here.
        judged = [row for row in rows if row.split == "validation"]
        embeddings = Embeddings(Frozen.of(network.embedder), recipe, paths.RAW, device)
        embeddings.fill([Task(row, [PLAIN]) for row in judged], "validation")
        validation = Examples(embeddings.rows(judged, [PLAIN]), validation.labels)
    if distributed.rank() == 0:
        answers = training.answers(top, validation)
        fitted = temperature.fit(answers, validation.labels)
        about = Header(
            classes=classes,
            backbone=model.backbone,
            hidden=model.head.hidden,
            dropout=model.head.dropout,
            preprocessing=recipe.preprocessing,
            temperature=fitted,
            params=params.dump(settings),
        )
        checkpoint.save(paths.MODEL, network, about)
        files.write_rows(paths.HISTORY, Epoch, history)
        calibration = temperature.summary(answers, validation.labels, fitted)
        write_metrics(history, calibration, parameter_count(network), trained)
        if settings.finetune.epochs:
            state.unlink(missing_ok=True)


def follow(epoch: Epoch, history: list[Epoch]) -> None:
    is_best = not history or epoch.validation_loss < best(history).validation_loss
    history.append(epoch)
    if distributed.rank() == 0:
        print(
            f"{epoch.phase} epoch {epoch.epoch:3}  train loss {epoch.train_loss:.4f}  "
            f"validation loss {epoch.validation_loss:.4f}  validation top-1 {epoch.validation_top1:.4f}"
            f"{'  best' if is_best else ''}",
            flush=True,
        )


def state_path(settings: Params, *inputs: object) -> Path:
    """Where a killed run's state is kept: a name that changes with all that the run depends on."""
    key = keys.key(params.dump(settings), inputs, libraries=("torch", "pillow"), code=DECIDING)
    return paths.FINETUNING / f"{key}.pt"


def write_metrics(history: list[Epoch], calibration: dict[str, Any], parameters: int, trained: int) -> None:
    kept = asdict(best(history))
    names = ("train_loss", "validation_loss", "train_top1", "validation_top1")
    metrics = {"epochs": len(history), "best_epoch": kept["epoch"]} | {name: kept[name] for name in names}
    sizes = {"parameters": parameters, "parameters_trained": trained}
    files.write_json(paths.TRAIN_METRICS, metrics | calibration | sizes)
    print(
        f"best epoch {kept['epoch']} of {len(history)}: validation top-1 {kept['validation_top1']:.4f}; "
        f"{trained:,} of {parameters:,} parameters trained"
    )
    before, after = (calibration[key]["validation_loss"] for key in ("uncalibrated", "calibrated"))
    print(f"temperature {calibration['temperature']:.3f}: validation loss {before:.4f} before it, {after:.4f} with it")


if __name__ == "__main__":
    run_stage(main)
