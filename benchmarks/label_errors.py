"""How many planted label errors are found among the photos of a run.

    python benchmarks/label_errors.py FOLDER [--share 0.03] [--seeds 5]

FOLDER is a repository in which `dvc repro featurize` has run. A random share of the photos gets a random other label,
and data/suspects.csv is made for these labels. Labels that were wrong before count as false positives, so the precision
is a lower bound. Random errors are easier to find than those of people, who mistake a class for a similar one. Last,
the out-of-fold top-1 with other shrinkages than the one in use.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from boatyard.core import paths, splits, tables
from boatyard.curation import duplicate_groups
from boatyard.evaluation import discriminant_analysis, label_issues
from boatyard.features import feature_files


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--share", type=float, default=0.03, help="of the photos to change the label of")
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    rows = splits.read_splits(arguments.folder / paths.SPLITS)
    plain = feature_files.read(arguments.folder / paths.FEATURES, rows).plain
    alike = tables.read_rows(arguments.folder / paths.NEAR_DUPLICATES, duplicate_groups.NearDuplicate)
    numbers = duplicate_groups.group_numbers([row.path for row in rows], alike)
    classes = splits.class_names(rows)
    count = round(arguments.share * len(rows))
    unchanged = label_issues.find(rows, plain, numbers, classes)
    print(f"{len(rows):,} photos, {len(classes)} classes: {len(unchanged.issues):,} label issues without changes")
    print(f"{count} labels changed; share of them among the first {count} label issues, and among all:")
    first, listed = [], []
    for seed in range(arguments.seeds):
        generator = np.random.default_rng(seed)
        changed, wrong = list(rows), set()
        for place in generator.choice(len(rows), count, replace=False):
            others = [label for label in classes if label != rows[place].label]
            changed[place] = replace(rows[place], label=others[generator.integers(len(others))])
            wrong.add(rows[place].path)
        found = [issue.path for issue in label_issues.find(changed, plain, numbers, classes).issues]
        first.append(len(wrong.intersection(found[:count])) / count)
        listed.append(len(wrong.intersection(found)) / count)
        print(f"  seed {seed}: {first[-1]:.3f}, {listed[-1]:.3f} of {len(found):,} label issues")
    print(f"  mean: {np.mean(first):.3f}, {np.mean(listed):.3f}")
    actual, folds = splits.labels(rows, classes), label_issues.folds(rows, numbers)
    for shrinkage in (0.03, 0.1, 0.3, 0.6, 0.9):
        found = discriminant_analysis.out_of_fold(plain, actual, folds, len(classes), shrinkage=shrinkage).argmax(
            axis=1
        )
        print(f"shrinkage {shrinkage}: out-of-fold top-1 {(found == actual).mean():.4f}")


if __name__ == "__main__":
    main()
