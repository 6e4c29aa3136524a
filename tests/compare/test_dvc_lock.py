from pathlib import Path

import pytest

from boatyard.compare.dvc_lock import Lock, read_lock
from boatyard.core.errors import DamagedFile

LOCK = """schema: '2.0'
stages:
  split:
    cmd: python stages/split.py
    deps:
    - {path: data/catalog.csv, hash: md5, md5: aa, size: 1}
    - {path: src/x.py, hash: md5, md5: bb, size: 1}
    - {path: data/raw, hash: md5, md5: cc.dir, size: 1, nfiles: 2}
    - {path: src/boatyard/core, hash: md5, md5: dd.dir, size: 1, nfiles: 2}
    params:
      params.yaml:
        seed: 0
        split: {train: 0.6}
    outs:
    - {path: data/splits.csv, hash: md5, md5: dd, size: 1}
  train:
    cmd: python stages/train.py
    deps:
    - {path: data/splits.csv, hash: md5, md5: dd, size: 1}
    params:
      params.yaml:
        seed: 1
        train.lr: 1e-05
    outs:
    - {path: metrics/train.json, hash: md5, md5: ee, size: 1}
    - {path: data/catalog.csv, hash: md5, md5: aa, size: 1}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "dvc.lock"
    path.write_text(text, encoding="utf-8")
    return path


def test_what_it_says(tmp_path: Path) -> None:
    assert read_lock(write(tmp_path, LOCK)) == Lock(
        sums={"data/splits.csv": "dd", "metrics/train.json": "ee", "data/catalog.csv": "aa"},
        code={"src/x.py": "bb", "src/boatyard/core": "dd.dir"},
        params={"seed": [0, 1], "split.train": [0.6], "train.lr": [1e-05]},
    )


def test_values_that_no_stage_or_not_every_stage_ran_with(tmp_path: Path) -> None:
    lock = read_lock(write(tmp_path, LOCK))
    assert lock.not_run({"seed": 1, "split.train": 0.6, "train.lr": 0.00001}) == ["seed"]
    assert lock.not_run({"seed": 1, "split.train": 0.7, "new": 3}) == ["new", "seed", "split.train", "train.lr"]
    assert Lock(params={"seed": [1, 1]}).not_run({"seed": 1.0}) == []


@pytest.mark.parametrize("text", ["a: 1", "stages: 3", "stages: {a: 1}", "stages: {a: {outs: [{md5: x}]}}"])
def test_no_lock_file(tmp_path: Path, text: str) -> None:
    with pytest.raises(DamagedFile, match=r"dvc\.lock is not a DVC lock file"):
        read_lock(write(tmp_path, text))
