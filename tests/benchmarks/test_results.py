"""The parts of benchmarks/results.py and its published recipe that a figure can be wrong by."""

import argparse
import multiprocessing
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import drawn_photos
import published_recipe
import pytest
import results
import scratch

from boatyard.core import files, paths
from boatyard.core.splits import Sample

PRESETS = Path(__file__).parents[2] / "presets"


@pytest.mark.parametrize(
    ("said", "seeds"),
    [([], [0, 1, 2, 3, 4]), (["--seeds", "2"], [0, 1]), (["--first-seed", "2", "--seeds", "3"], [2, 3, 4])],
)
def test_the_seeds_are_those_that_were_asked_for(said: list[str], seeds: list[int], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", ["results.py", "preset.yaml", "photos.zip", *said])
    assert list(results.seeds(results.parse())) == seeds


@pytest.mark.parametrize("said", [["--seeds", "0"], ["--first-seed", "-1"]])
def test_no_seeds_are_a_mistake(said: list[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", ["results.py", "preset.yaml", "photos.zip", *said])
    with pytest.raises(SystemExit) as ended:
        results.parse()
    assert ended.value.code == 2


def test_a_row_is_of_the_seeds_that_have_the_figure():
    runs = {"one": [{"top-1": 0.5, "loss": 1.0}, {"top-1": 0.7}], "other": [{"loss": 0.25}]}
    assert results.table(["top-1", "loss"], runs).splitlines() == [
        "| | n | top-1 | loss |",
        "|---|---:|---:|---:|",
        "| one | 2 | 0.6000 ± 0.1414 | 1.0000 |",
        "| other | 1 |  | 0.2500 |",
    ]


def test_a_preset_for_a_folder_runs_as_it_is_on_the_unpacked_archive(tmp_path: Path):
    photos, run = tmp_path / "photos", tmp_path / "run"
    (photos / "discs").mkdir(parents=True)
    drawn_photos.draw_photo(photos, "discs", 0)
    archive = Path(shutil.make_archive(str(tmp_path / "photos"), "zip", photos))
    (run / paths.INCOMING).mkdir(parents=True)

    def dataset(preset: str) -> object:
        given = argparse.Namespace(preset=PRESETS / preset, archive=archive, root=".", set=[])
        results.write_params(run, given, seed=3)
        settings = files.read_yaml(run / paths.PARAMS)
        assert settings["seed"] == 3
        return settings["dataset"]

    assert dataset("boats.yaml") == scratch.from_archive(archive, ".")
    assert not any((run / paths.INCOMING).iterdir())
    expected = files.read_yaml(PRESETS / "offline/boats.yaml")["dataset"]
    assert dataset("offline/boats.yaml") == expected
    assert (run / paths.INCOMING / drawn_photos.name_of("discs", 0)).is_file()
    archive.unlink()
    assert dataset("offline/boats.yaml") == expected  # a second seed does not unpack it again


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the stages up to split have run: their photos."""
    for label in drawn_photos.CLASSES:
        (tmp_path / paths.RAW / label).mkdir(parents=True)
        for number in range(6):
            drawn_photos.draw_photo(tmp_path / paths.RAW, label, number)
    return tmp_path


def rows() -> list[Sample]:
    splits = ("train", "train", "train", "validation", "test", "test")
    return [
        Sample(drawn_photos.name_of(label, number), label, split, "")
        for label in drawn_photos.CLASSES
        for number, split in enumerate(splits)
    ]


@pytest.mark.slow
def test_how_the_recipes_loaders_start_changes_no_figure(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("BOATYARD_WORKERS", "1")
    multiprocessing.set_forkserver_preload(["torch", "torchvision"])

    def run(start_method: str | None) -> published_recipe.Outcome:
        given = (rows(), folder, "squeezenet1_1", "none", 4, 0, "cpu")
        outcome = published_recipe.run(*given, epochs=1, start_method=start_method)
        return replace(outcome, epoch_seconds=(), test_seconds=0)

    assert run("forkserver") == run(None)
