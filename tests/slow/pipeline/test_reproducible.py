"""The same inputs give the same bytes."""

from pathlib import Path

from small_run import STAGES, Run


def test_two_fresh_clones_write_the_same_bytes(run: Run, tmp_path: Path) -> None:
    """In another folder, home and time zone, with another hash seed and fewer threads."""
    clone = run.fresh(tmp_path / "a clone with another name", tmp_path / "home")

    threads = {"BOATYARD_WORKERS": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    repro = clone.repro(PYTHONHASHSEED="12345", TZ="Pacific/Auckland", **threads)

    assert repro.ran == set(STAGES)
    assert clone.lock() == run.clone.lock()
    tracked = run.clone.git("ls-files", "metrics", "plots", "dvc.lock").splitlines()
    assert len(tracked) > 15
    for name in tracked:
        assert (clone.folder / name).read_bytes() == (run.clone.folder / name).read_bytes(), name
