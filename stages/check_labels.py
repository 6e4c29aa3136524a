"""Which labels are in doubt: each photo is judged by a classifier that has not seen it."""

from boatyard.core.stage import run_stage

from boatyard.core import files, paths, splits
from boatyard.curation import duplicate_groups
from boatyard.evaluation import label_issues
from boatyard.features import feature_files


def main() -> None:
    rows = splits.read_splits(paths.SPLITS)
    cached = feature_files.read(paths.FEATURES, rows)
    numbers = duplicate_groups.group_numbers(
        [row.path for row in rows], duplicate_groups.read_table(paths.NEAR_DUPLICATES)
    )
    found = label_issues.find(rows, cached.plain, numbers, splits.class_names(rows))
    label_issues.write_suspects(paths.SUSPECTS, found.suspects)
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
