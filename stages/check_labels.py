"""Find photos that may be mislabelled: each is checked by a classifier that has not seen it."""

from boatyard.core.stage import run_stage

from boatyard.core import files, paths, splits, tables
from boatyard.curation import duplicate_groups
from boatyard.evaluation import label_issues
from boatyard.features import feature_files


def main() -> None:
    rows = splits.read_splits(paths.SPLITS)
    cached = feature_files.read(paths.FEATURES, rows)
    near = tables.read_rows(paths.NEAR_DUPLICATES, duplicate_groups.NearDuplicate)
    groups = duplicate_groups.group_numbers([row.path for row in rows], near)
    found = label_issues.find(rows, cached.plain, groups, splits.class_names(rows))
    tables.write_rows(paths.SUSPECTS, label_issues.LabelIssue, found.issues)
    metrics = {
        "photos": len(rows),
        "judged": found.checked,
        "top1": found.confirmed / found.checked if found.checked else None,
        "suspects": len(found.issues),
    }
    files.write_json(paths.CHECK_LABELS_METRICS, metrics)
    print(f"{len(found.issues):,} of {found.checked:,} labels may be wrong (see {paths.SUSPECTS})")


if __name__ == "__main__":
    run_stage(main)
