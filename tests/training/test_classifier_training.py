"""A whole training run with a small backbone: which fine-tuning continues from which state."""

import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import drawn_photos
import finetuning_case
import numpy as np
import pytest
import torch
from clone import REPOSITORY, Clone
from finetuning_case import CLASSES, PREPROCESSING, Blocks

from boatyard import params
from boatyard.core import paths
from boatyard.core.machine import Machine
from boatyard.features.feature_files import Features
from boatyard.images.views import PLAIN, Recipe
from boatyard.models import backbones, model_file
from boatyard.models.backbones import Backbone
from boatyard.models.network import Embedder
from boatyard.training import classifier_training, finetuning_state
from boatyard.training.classifier_training import Folders, Result
from boatyard.training.history import Epoch

SETTINGS = {
    "image.size": "backbone",
    "image.crop": "backbone",
    "features.views": 0,
    "model.head.hidden": 8,
    "train.epochs": 3,
    "finetune.epochs": 2,
    "finetune.patience": 9,
    "finetune.batch_size": 8,
    "finetune.schedule": "constant",
}


@dataclass
class Case:
    """A folder in which training runs; what the last run printed."""

    root: Path
    epochs: list[tuple[Epoch, bool, float | None]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def train(self, finished: Path | None = None, machine: Machine = Machine(), **changes: Any) -> Result:  # noqa: B008
        """Train, and write the outputs of the stage into the folder."""
        for key, value in changes.items():
            Clone(self.root, self.root).set_param(key.replace("__", "."), value)
        settings = params.load("train", self.root / paths.PIPELINE, self.root / paths.PARAMS)
        samples, folder = finetuning_case.rows(self.root / paths.RAW), self.root
        recipe = Recipe(PREPROCESSING, finetuning_case.AUGMENT, 0)
        views = [recipe.open(folder / paths.RAW / sample.path, sample.sha256, [PLAIN]).views()[0] for sample in samples]
        with torch.inference_mode():
            plain = Embedder(small_backbone(), PREPROCESSING)(torch.from_numpy(np.stack(views))).numpy()
        count = sum(sample.split == "train" for sample in samples)
        features = Features(samples, plain, np.empty((count, 0, 16), np.float32))
        work = paths.RAW, paths.WEIGHTS, paths.FEATURE_ROWS, paths.GRAPHS, paths.FINETUNING
        folders = Folders(*(folder / part for part in work), finished)
        self.epochs, self.notes = [], []
        result = classifier_training.train(
            settings, samples, features, folders, machine, lambda *epoch: self.epochs.append(epoch), self.notes.append
        )
        finetuning_state.copy(result.state, self.state)
        model_file.save(self.root / paths.MODEL, result.network, result.header)
        if result.interrupted:
            result.interrupted.unlink(missing_ok=True)
        return result

    @property
    def state(self) -> Path:
        return self.root / paths.FINETUNING_STATE

    def outputs(self) -> list[bytes]:
        return [(self.root / path).read_bytes() for path in (paths.MODEL, paths.FINETUNING_STATE)]

    def trained_now(self) -> list[str]:
        return [epoch.phase for epoch, _, seconds in self.epochs if seconds is not None]


def small_backbone() -> Backbone:
    torch.manual_seed(7)
    return Backbone("blocks", Blocks().eval(), 16, PREPROCESSING)


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    monkeypatch.setattr(backbones, "create", lambda *_: small_backbone())
    return new_case(tmp_path / "case")


def new_case(root: Path) -> Case:
    for label in CLASSES:
        (root / paths.RAW / label).mkdir(parents=True)
        for number in range(8):
            drawn_photos.draw_photo(root / paths.RAW, label, number)
    shutil.copy(REPOSITORY / "presets/solar_cells.yaml", root / paths.PARAMS)
    shutil.copy(REPOSITORY / paths.PIPELINE, root / paths.PIPELINE)
    for key, value in SETTINGS.items():
        Clone(root, root).set_param(key, value)
    return Case(root)


def test_more_epochs_continue_a_finished_run_and_end_in_the_bytes_of_one_long_run(case: Case, tmp_path: Path) -> None:
    long = new_case(tmp_path / "long")
    once = long.train(finetune__epochs=4)
    assert long.notes == []
    case.train()
    finished = shutil.copy(case.state, tmp_path / "finished")

    twice = case.train(finished, finetune__epochs=4)

    assert case.notes == ["fine-tuning continues after epoch 5"]
    assert case.trained_now() == ["head"] * 3 + ["finetune"] * 2
    assert [epoch for epoch, _, _ in case.epochs] == twice.history == once.history
    assert [best for _, best, _ in case.epochs] == [best for _, best, _ in long.epochs]
    assert twice.metrics == once.metrics
    assert case.outputs() == long.outputs()
    assert len(twice.seconds) == 5
    assert min(twice.seconds) > 0


def test_the_same_settings_again_train_no_epoch_of_fine_tuning(case: Case, tmp_path: Path) -> None:
    case.train()
    before, finished = case.outputs(), shutil.copy(case.state, tmp_path / "finished")
    case.train(finished)
    assert case.trained_now() == ["head"] * 3
    assert case.outputs() == before


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"finetune__lr": 0.001},
        {"train__epochs": 2},
        {"augment__vertical_flip": False},
        {"machine": Machine(precision="bf16")},
    ],
)
def test_a_run_with_other_settings_starts_from_the_first_epoch_and_says_so(
    case: Case, tmp_path: Path, changes: dict[str, Any]
) -> None:
    case.train()
    finished = shutil.copy(case.state, tmp_path / "finished")
    case.train(finished, finetune__epochs=4, **changes)
    (note,) = case.notes
    assert note.startswith("fine-tuning does not continue the last run: other settings, photos, weights or code, or ")
    assert case.trained_now().count("finetune") == 4


def test_a_run_with_other_photos_starts_from_the_first_epoch(case: Case, tmp_path: Path) -> None:
    case.train()
    finished = shutil.copy(case.state, tmp_path / "finished")
    drawn_photos.draw_photo(case.root / paths.RAW, CLASSES[0], 99)
    case.train(finished, finetune__epochs=4)
    assert case.trained_now().count("finetune") == 4


def test_another_number_of_threads_starts_from_the_first_epoch(case: Case, tmp_path: Path) -> None:
    case.train()
    finished, threads = shutil.copy(case.state, tmp_path / "finished"), torch.get_num_threads()
    try:
        torch.set_num_threads(threads + 1)
        case.train(finished, finetune__epochs=3)
    finally:
        torch.set_num_threads(threads)
    assert case.trained_now().count("finetune") == 3


def test_a_longer_cosine_schedule_says_why_it_starts_from_the_first_epoch(case: Case, tmp_path: Path) -> None:
    case.train(finetune__schedule="cosine")
    assert finetuning_state.read(case.state).file is None  # no run could continue from its weights
    finished = shutil.copy(case.state, tmp_path / "finished")
    case.train(finished, finetune__epochs=4)
    assert case.notes == [
        "fine-tuning does not continue the last run: the cosine schedule over 4 epochs differs from epoch 5 on; "
        "with finetune.schedule: constant it would continue"
    ]
    assert case.trained_now().count("finetune") == 4


def test_a_damaged_state_is_one_line_and_a_run_from_the_first_epoch(case: Case, tmp_path: Path) -> None:
    case.train()
    before, finished = case.outputs(), tmp_path / "finished"
    content = bytearray(case.state.read_bytes())
    content[-5] ^= 1
    finished.write_bytes(content)
    case.train(finished)
    assert case.notes == [f"{finished} is damaged (its checksum is wrong): fine-tuning does not continue from it"]
    assert case.trained_now().count("finetune") == 2
    assert case.outputs() == before


def test_without_fine_tuning_the_state_is_empty_and_the_same_for_every_run(case: Case) -> None:
    states = []
    for seed in (0, 1):
        result = case.train(seed=seed, finetune__epochs=0)
        assert result.interrupted is None
        states.append(case.state.read_bytes())
    assert states[0] == states[1]
    assert len(states[0]) < 300
    assert case.notes == []


def test_a_models_head_is_trained_further_if_its_classes_and_layers_are_the_same(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = case.train(finetune__epochs=0).metrics["validation_loss"]
    weights = case.root / paths.WEIGHTS / "mine.safetensors"
    weights.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(case.root / paths.MODEL, weights)
    monkeypatch.setattr(backbones, "create", lambda *_: replace(small_backbone(), model=weights))

    case.train()

    assert case.notes == ["the backbone and the head start from mine.safetensors"]
    assert case.epochs[0][0].validation_loss < first

    case.train(model__head__hidden=4)
    assert case.notes == ["the backbone starts from mine.safetensors, the head from the seed: it has hidden: 8"]

    (case.root / paths.RAW / CLASSES[0]).rename(case.root / paths.RAW / "renamed")
    monkeypatch.setattr(finetuning_case, "CLASSES", ["renamed", *CLASSES[1:]])
    case.train(model__head__hidden=8)
    assert case.notes == ["the backbone starts from mine.safetensors, the head from the seed: it has other classes"]
