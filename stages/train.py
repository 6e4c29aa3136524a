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
from boatyard.training import classifier_training
from boatyard.training.history import Epoch


def main() -> None:
    finetune = params.load("train").finetune
    machine = registry.read_machine()
    distributed.run(train, machine if finetune.epochs else replace(machine, processes=1))


def train(machine: Machine) -> None:
    settings = params.load("train")
    samples = splits.read_splits(paths.SPLITS)
    features = feature_files.read(paths.FEATURES, samples)
    folders = classifier_training.Folders(paths.RAW, paths.WEIGHTS, paths.FEATURE_ROWS, paths.GRAPHS, paths.FINETUNING)
    result = classifier_training.train(settings, samples, features, folders, machine, print_epoch)
    if distributed.rank() == 0:
        model_file.save(paths.MODEL, result.network, result.header)
        tables.write_rows(paths.HISTORY, Epoch, result.history)
        files.write_json(paths.TRAIN_METRICS, result.metrics)
        print_summary(result.metrics)
        if result.state:
            result.state.unlink(missing_ok=True)


def print_epoch(epoch: Epoch, is_best: bool) -> None:
    if distributed.rank() == 0:
        print(
            f"{epoch.phase} epoch {epoch.epoch:3}  train loss {epoch.train_loss:.4f}  "
            f"validation loss {epoch.validation_loss:.4f}  validation top-1 {epoch.validation_top1:.4f}"
            f"{'  best' if is_best else ''}",
            flush=True,
        )


def print_summary(metrics: classifier_training.Metrics) -> None:
    best, epochs, top1 = (metrics[key] for key in ("best_epoch", "epochs", "validation_top1"))
    print(
        f"best epoch {best} of {epochs}: validation top-1 {top1:.4f}; "
        f"{metrics['parameters_trained']:,} of {metrics['parameters']:,} parameters trained"
    )
    print(temperature.verdict(metrics))


if __name__ == "__main__":
    run_stage(main)
