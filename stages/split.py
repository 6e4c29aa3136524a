"""Which photo is for training, which for validation, which for test."""

from boatyard.stage import run_stage

from collections import Counter

from boatyard import files, params, paths
from boatyard.data import catalog, duplicates, splitting
from boatyard.params.schema import CountsSplit, FoldersSplit, StratifiedSplit


def main() -> None:
    settings = params.load("split")
    split = settings.split
    photos = catalog.read_catalog(paths.CATALOG)
    groups: list[int] = []
    match split:
        case StratifiedSplit():
            groups = duplicates.group([photo.phash for photo in photos], split.near_duplicates).tolist()
            rows = splitting.stratified(photos, groups, split, settings.seed)
        case CountsSplit():
            rows = splitting.by_counts(photos, split.train, split.validation)
        case FoldersSplit():
            rows = splitting.as_given(photos)
    splitting.write_splits(paths.SPLITS, rows)

    counts = Counter(row.split for row in rows)
    together = [size for size in Counter(groups).values() if size > 1]
    metrics = {name: counts[name] for name in splitting.SPLITS}
    metrics |= {"near_duplicate_groups": len(together), "near_duplicate_photos": sum(together)}
    files.write_json(paths.SPLIT_METRICS, metrics)
    print(" · ".join(f"{counts[name]:,} {name}" for name in splitting.SPLITS))
    if together:
        print(f"{sum(together):,} photos in {len(together):,} groups of near duplicates, each group on one side")


if __name__ == "__main__":
    run_stage(main)
