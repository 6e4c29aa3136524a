"""Keys and comments of params.yaml and the presets, written from the schema."""

import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from boatyard.core import files
from boatyard.core.errors import UserError
from boatyard.params import write
from boatyard.params.schema import Params

ROOT = Path(__file__).parents[2]
PIPELINE = YAML(typ="safe", pure=True).load(ROOT / "dvc.yaml")["stages"]
PRESET = (ROOT / "presets/solar_cells.yaml").read_text(encoding="utf-8")
IMAGE = "image:\n  size: 64\n  crop: 1.0"
STAGES = {
    "first": {"params": ["seed", "image.size"]},
    "second": {"params": ["seed", "image", "train", "dataset", "filter", "model.head"]},
    "third": {"params": ["model", "train"]},
}


def comment(text: str, key: str) -> str:
    """The comment that `key: value`, anywhere in a file, gets."""
    lines = [line for line in write.write_comments(text, STAGES).splitlines() if line.strip().startswith(f"{key}:")]
    assert len(lines) == 1
    return lines[0].partition("#")[2].strip()


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        # ranges
        (
            "seed: 3",
            "seed",
            "[0, 2^63) · decides the split, the random views and the head's initial weights · reruns first",
        ),
        ("evaluate: {}\nfilter:\n  min_images: 3", "min_images", "≥ 1 photos · classes with fewer are left out"),
        ("finetune:\n  clip: 1.0", "clip", "> 0 · gradient clipping: the largest norm"),
        ("train:\n  lr: 0.1", "lr", "(0, 10] · learning rate"),
        ("train:\n  batch_size: 8", "batch_size", "1 to 1,000,000 photos"),
        ("train:\n  weight_decay: 0.0", "weight_decay", "0 to 1"),
        ("model:\n  head:\n    dropout: 0.4", "dropout", "[0, 1)"),
        ("augment:\n  scale: [0.8, 1.0]", "scale", "(0, 1] · area of the random crop, as a fraction of the photo's"),
        # words, and numbers or a word
        ("train:\n  optimiser: adam", "optimiser", "adam · adamw · sgd (Nesterov momentum 0.9)"),
        ("finetune:\n  blocks: all", "blocks", "all · ≥ 1: the last blocks of the backbone"),
        # a section of one of several kinds: the choices, and the keys of the chosen one
        (
            "split:\n  method: counts\n  train: 60",
            "method",
            "stratified: by fraction · counts: by number, in file-name order · folders: as published",
        ),
        ("split:\n  method: counts\n  train: 60", "train", "≥ 1 · the first photos of each class"),
        ("split:\n  method: stratified\n  test: 0.2", "test", "(0, 1)"),
        # the first stage that a change reruns: beside the section if it is the same for all of its keys
        (IMAGE, "image", ""),
        (IMAGE, "size", "32 to 1,024 pixels · backbone: the size it was trained with · reruns first"),
        ("train:\n  lr: 0.1\n  epochs: 2", "train", "the head, on cached features · reruns second"),
        ("model:\n  backbone: vgg16\n  head:\n    hidden: 0", "head", "reruns second"),
    ],
)
def test_a_comment_has_the_range_the_description_and_the_first_stage(text: str, key: str, expected: str) -> None:
    assert comment(text + "\n", key) == expected


@pytest.mark.parametrize(
    "gone",
    [
        ["seed: "],
        ["  min_images: "],
        ["  drop: "],
        ["  rotation: ", "  saturation: ", "  hue: "],
        ["    dropout: "],
        ["    file: ", "    header: "],
        ["evaluate:", "  resamples: ", "  bins: "],
        ["features:", "  views: 4"],
    ],
    ids=str,
)
def test_a_missing_key_is_added_in_its_place_with_its_example(gone: list[str]) -> None:
    lines = PRESET.splitlines()
    kept = [line for line in lines if not line.startswith(tuple(gone))]
    assert len(kept) == len(lines) - len(gone)
    added = write.add_keys("\n".join(kept)).splitlines()

    def keys(lines: list[str]) -> list[str]:
        return [line.partition(":")[0] for line in lines if line and not line.startswith("#")]

    assert keys(added) == keys(lines)
    Params.model_validate(YAML(typ="safe", pure=True).load("\n".join(added)))


def test_a_missing_section_without_examples_is_not_invented() -> None:
    text = PRESET[: PRESET.index("dataset:")] + PRESET[PRESET.index("filter:") :]
    assert "dataset" not in YAML(typ="safe", pure=True).load(write.add_keys(text))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  lr: 0.1", "  lr: 0.1                     # (0, 10] · learning rate"),
        ("  lr: 0.1 # 5", "  lr: 0.1                     # (0, 10] · learning rate"),
        ("  lr: |\n    text", "  lr: |\n    text"),
        ("  lr: [0.1,\n    0.2]  # mine", "  lr: [0.1,\n    0.2]  # mine"),
        ("  # mine\n  lr: 0.1", "  # mine\n  lr: 0.1                     # (0, 10] · learning rate"),
        ("  lr: 1.0000000000000000000001", "  lr: 1.0000000000000000000001  # (0, 10] · learning rate"),
        ("  lr: 1.00000000000000000000001", "  lr: 1.00000000000000000000001  # (0, 10] · learning rate"),
        ("  unknown: 0.1  # mine", "  unknown: 0.1  # mine"),
        ("  lr:\n    0.1  # mine", "  lr:                         # (0, 10] · learning rate\n    0.1  # mine"),
    ],
)
def test_only_the_comment_at_the_end_of_a_known_keys_line_changes(old: str, new: str) -> None:
    assert write.write_comments(f"train:\n{old}\n", {}).partition("\n")[2] == f"{new}\n"


def test_a_flow_mapping_gets_no_comment_inside() -> None:
    text = "dataset:\n  source: folder\n  layout: {kind: folders, root: .}  # mine\n"
    assert write.write_comments(text, {}).splitlines()[2] == "  layout: {kind: folders, root: .}  # mine"


def test_writing_comments_twice_or_into_a_file_without_any_gives_the_same_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = "\n".join(line.partition("   #")[0].rstrip() for line in PRESET.splitlines()) + "\n"
    assert bare != PRESET
    (tmp_path / "params.yaml").write_text(bare, encoding="utf-8")
    (tmp_path / "dvc.yaml").write_bytes((ROOT / "dvc.yaml").read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["write", "params.yaml"])
    own = ("  package: elpv-dataset", "  sha256: ")  # whose comments are the preset's own
    expected = [line.partition("   #")[0].rstrip() if line.startswith(own) else line for line in PRESET.splitlines()]
    for _ in range(2):
        write.main()
        assert (tmp_path / "params.yaml").read_text(encoding="utf-8").splitlines() == expected
    assert files.read_yaml(tmp_path / "params.yaml") == files.read_yaml(ROOT / "presets/solar_cells.yaml")


def test_a_file_that_does_not_fit_the_schema_is_refused_and_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("seed: -1\n")
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["write", str(path)])
    with pytest.raises(UserError, match="seed: -1 is invalid"):
        write.main()
    assert path.read_text() == "seed: -1\n"
