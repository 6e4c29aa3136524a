"""Which labels are in doubt: each photo is judged by a classifier that has not seen it."""

from boatyard.stage import run_stage

from boatyard import files, paths
from boatyard.data import groups, splitting
from boatyard.evaluation import suspects
from boatyard.model import features


def main() -> None:
    rows = splitting.read_splits(paths.SPLITS)
    cached = features.read(paths.FEATURES, rows)
    numbers = groups.numbers([row.path for row in rows], groups.read_alike(paths.NEAR_DUPLICATES))
    found = suspects.find(rows, cached.plain, numbers, splitting.class_names(rows))
    suspects.write_suspects(paths.SUSPECTS, found.suspects)
    metrics = {
        "photos": len(rows),
        "judged": found.judged,
        "top1": found.right / found.judged if found.judged else None,
        "suspects": len(found.suspects),
    }
    files.write_json(paths.CHECK_LABELS_METRICS, metrics)
    print(f"{len(found.suspects):,} of {found.judged:,} labels are in doubt (see {paths.SUSPECTS})")


if __name__ == "__main__":
    run_stage(main)
