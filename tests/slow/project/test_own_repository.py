"""`make test` passes in the repository of someone who has committed another preset, their own photos and results."""

import shutil
import sys
from pathlib import Path

from small_run import Run


def test_the_fast_tests_pass_with_another_preset_own_photos_and_own_results(run: Run, tmp_path: Path) -> None:
    clone = run.clone.copy(tmp_path / "clone")  # its photos and its results are committed
    shutil.copy(clone.folder / "presets/boats.yaml", clone.folder / "params.yaml")
    clone.commit("Another preset")
    changed = clone.git("diff", "--name-only", "HEAD~3").splitlines()
    for name in ("params.yaml", "data/incoming/", "metrics/", "plots/", "dvc.lock"):
        assert any(path.startswith(name) for path in changed), name

    options = ("--numprocesses", "2", "--dist", "loadgroup", "--no-loadscope-reorder")
    clone.run(sys.executable, "-m", "pytest", *options, PYTHONPATH=str(clone.folder / "src"))
