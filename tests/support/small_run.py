"""The settings and the stages of a run on drawn photos."""

from dataclasses import dataclass
from pathlib import Path

import drawn_photos
from clone import Clone, Repro

# Small photos, few views and epochs: the run takes seconds where the default run takes minutes.
SETTINGS = {
    "dataset": {"source": "folder", "licence": "private", "layout": {"kind": "folders", "root": "."}},
    "filter.min_images": 8,
    "image.size": 64,
    "features.views": 2,
    "train.epochs": 30,
    "train.batch_size": 16,
    "evaluate.resamples": 200,
    "tta.views": 3,
}
STAGES = (
    *("download", "filter", "split", "featurize", "check_labels"),
    *("train", "export", "evaluate", "tta_evaluate", "report"),
)


def prepare(folder: Path, home: Path) -> tuple[Clone, drawn_photos.DrawnSet]:
    """A fresh clone with the drawn photos in data/incoming and the settings above, committed; nothing has run."""
    clone = Clone.of_working_tree(folder, home)
    drawn = drawn_photos.draw(folder / "data/incoming")
    for key, value in SETTINGS.items():
        clone.set_param(key, value)
    clone.commit("Drawn photos")
    return clone, drawn


@dataclass(frozen=True)
class Run:
    """A clone in which all stages have run and the results are committed."""

    clone: Clone
    drawn: drawn_photos.DrawnSet
    repro: Repro
    git_status: str  # after the run, before the commit
    started: dict[str, float]  # seconds from the start of `dvc repro`, by stage
    seconds: float  # duration of `dvc repro`

    def fresh(self, folder: Path, home: Path) -> Clone:
        """A clone of the commit before the run: nothing has run in it."""
        home.mkdir(exist_ok=True)
        self.clone.git("clone", "--quiet", str(self.clone.folder), str(folder))
        clone = Clone(folder, home)
        clone.git("checkout", "--quiet", "HEAD~1")
        return clone
