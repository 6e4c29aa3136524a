"""Train the head on cached features, fine-tune the backbone if finetune.epochs is set, and save the best network."""

from boatyard.core.stage import run_stage

from dataclasses import replace

from boatyard import params
from boatyard.core import distributed, files, paths, splits, tables
from boatyard.core.machine import Machine
from boatyard.evaluation import temperature
from boatyard.features import feature_files
from boatyard.models import model_file
from boatyard.models.engines import registry
from boatyard.training import classifier_training, finetuning_state, last_run, trained_layers
from boatyard.training.history import Epoch


def main() -> None:
    finetune = params.load("train").finetune
    machine = registry.read_machine()
    distributed.run(train, machine if finetune.epochs else replace(machine, processes=1))


def train(machine: Machine) -> None:
    settings = params.load("train")
    samples = splits.read_splits(paths.SPLITS)
    features = feature_files.read(paths.FEATURES, samples)
    finished = last_run.cached(paths.FINETUNING_STATE, "train") if settings.finetune.epochs else None
    work = paths.FEATURE_ROWS, paths.GRAPHS, paths.FINETUNING
    folders = classifier_training.Folders(paths.RAW, paths.WEIGHTS, *work, finished)
    result = classifier_training.train(settings, samples, features, folders, machine, print_epoch, print)
    if distributed.rank() == 0:
        model_file.save(paths.MODEL, result.network, result.header, paths.MODEL_BACKBONE.name)
        tables.write_rows(paths.HISTORY, Epoch, result.history)
        trained_layers.write(paths.LAYERS, result.network, settings.finetune)
        files.write_json(paths.TRAIN_METRICS, result.metrics)
        finetuning_state.copy(result.state, paths.FINETUNING_STATE)
        print_summary(result.metrics, result.seconds)
        if result.interrupted:
            result.interrupted.unlink(missing_ok=True)


def print_epoch(epoch: Epoch, is_best: bool, seconds: float | None) -> None:
    took = "" if seconds is None else f"  {seconds:.2f} s"
    print(f"{epoch}{took}{'  best' if is_best else ''}", flush=True)


def print_summary(metrics: classifier_training.Metrics, seconds: list[float]) -> None:
    print(f"trained {len(seconds)} epochs in {sum(seconds):.1f} s")
    best, epochs, top1 = (metrics[key] for key in ("best_epoch", "epochs", "validation_top1"))
    print(
        f"best epoch {best} of {epochs}: validation top-1 {top1:.4f}; "
        f"{metrics['parameters_trained']:,} of {metrics['parameters']:,} parameters trained"
    )
    print(temperature.verdict(metrics))


if __name__ == "__main__":
    run_stage(main)
