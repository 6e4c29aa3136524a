"""On a full or read-only disk, a stage ends with a one-line error, and existing files stay whole."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from clone import REPOSITORY, Clone
from ruamel.yaml import YAML
from small_disk import BLOCK, SmallDisk, blocks, small_disk
from small_run import STAGES, Run

PIPELINE = YAML(typ="safe", pure=True).load((REPOSITORY / "dvc.yaml").read_text(encoding="utf-8"))["stages"]


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallDisk]:
    with small_disk(tmp_path_factory.mktemp("disk") / "disk", 400) as disk:
        yield disk


@pytest.fixture(scope="module")
def stored(run: Run, disk: SmallDisk) -> Clone:
    """The run's clone, with all its results, on the small disk."""
    return run.clone.copy(disk.folder / "clone")


def outputs(stage: str) -> list[str]:
    entries = [entry for kind in ("outs", "metrics", "plots") for entry in PIPELINE[stage].get(kind, [])]
    return [next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries]


def error_line(stderr: str) -> str:
    """The only error line of a stage, printed without a traceback."""
    assert "Traceback" not in stderr
    (line,) = [line for line in stderr.splitlines() if line.startswith("error: ")]
    assert stderr.endswith(f"{line}\n")
    return line


@pytest.mark.parametrize(("stage", "share"), [*((stage, 1.0) for stage in STAGES), ("featurize", 0.5)])
def test_a_stage_on_a_disk_that_is_one_block_too_small(
    stored: Clone, disk: SmallDisk, tmp_path: Path, stage: str, share: float
) -> None:
    """All outputs but the last fit, or half of them. Those that it leaves are whole; other stages' do not change."""
    before = stored.results()
    paths = {tmp_path / str(place): stored.folder / name for place, name in enumerate(outputs(stage))}
    needed = sum(map(blocks, paths.values()))
    for kept, path in paths.items():  # DVC, too, removes them before it runs the stage
        shutil.move(path, kept)
    others = stored.results()
    disk.leave(int(share * needed) - BLOCK)

    done = stored.run("python", f"stages/{stage}.py", fails=True)

    assert done.returncode == 2
    assert "No space left on device" in error_line(done.stderr)  # in a message of safetensors, or alone
    assert "free space" in done.stderr
    assert others.items() <= stored.results().items() <= before.items()
    assert not [path for path in stored.folder.rglob("*.part") if ".dvc" not in path.parts]
    disk.clear()
    for kept, path in paths.items():
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        shutil.move(kept, path)


@pytest.mark.parametrize("free", range(3, 9))
def test_a_library_first_imported_on_a_full_disk_can_be_imported_later(
    stored: Clone, disk: SmallDisk, free: int
) -> None:
    """Python would later load bytecode that a full disk has truncated (CPython issue 126606)."""
    before = stored.results()
    for cache in (stored.folder / "src").rglob("__pycache__"):
        shutil.rmtree(cache)
    disk.leave(free * BLOCK)

    assert "(No space left on device)" in error_line(stored.run("python", "stages/download.py", fails=True).stderr)

    disk.clear()
    stored.run("python", "stages/download.py")
    assert stored.results() == before


def test_repro_on_a_full_disk_continues_after_space_is_freed(stored: Clone, disk: SmallDisk, tmp_path: Path) -> None:
    """First the model does not fit, then DVC's copy of its head in the cache. Earlier outputs are still there."""
    before = stored.lock()
    backbone, model = (stored.folder / f"models/{name}.safetensors" for name in ("backbone", "model"))
    size, head = backbone.stat().st_size, model.stat().st_size
    kept = tmp_path / "model"
    shutil.move(model, kept)
    backbone.unlink()
    stored.set_param("train.lr", 0.002)
    disk.leave(size // 2)

    done = stored.run("dvc", "repro", "train", fails=True)

    assert "error: models/backbone.safetensors can't be written (" in done.stderr
    assert "ERROR: failed to reproduce 'train'" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert stored.lock() == before
    disk.leave(size + head + head // 2)  # DVC's cache has the backbone
    done = stored.run("dvc", "repro", "train", fails=True)
    assert "ERROR: failed to reproduce 'train': [Errno 28] No space left on device" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert stored.lock() == before

    disk.clear()
    assert stored.repro("train").ran == {"train"}
    stored.set_param("train.lr", 0.001)
    assert stored.repro("train").restored == {"train"}
    assert model.read_bytes() == kept.read_bytes()


def test_repro_on_a_read_only_disk_names_it_and_predict_works(run: Run, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 400) as disk:
        clone = run.clone.copy(disk.folder / "clone")
        photo = next((clone.folder / "data/raw/discs").iterdir())
        predict = ("python", "-m", "boatyard", "predict", str(photo), "--format", "csv")
        answer = clone.run(*predict, PYTHONPATH=str(clone.folder / "src")).stdout
        disk.forbid_writing()

        done = clone.run("dvc", "repro", fails=True)
        assert "Read-only file system" in done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        for stage in ("download", "report"):
            done = clone.run("python", f"stages/{stage}.py", fails=True)
            assert done.returncode == 2
            assert done.stderr == (
                f"error: .work/locks/{stage} can't be written (Read-only file system): "
                "free space, or fix the folder's permissions\n"
            )
        assert clone.run(*predict, PYTHONPATH=str(clone.folder / "src")).stdout == answer
        assert clone.results() == run.clone.results()
