"""Which photo is for training, which for validation, which for test."""

from boatyard.core.stage import run_stage

from collections import Counter

from boatyard import params
from boatyard.core import files, paths, splits
from boatyard.curation import catalog, duplicate_groups, leaks, near_duplicates, splitting
from boatyard.params.schema import CountsSplit, FoldersSplit, StratifiedSplit


def main() -> None:
    settings = params.load("split")
    split = settings.split
    photos = catalog.read_catalog(paths.CATALOG)
    distance = split.near_duplicates if isinstance(split, StratifiedSplit) else near_duplicates.DISTANCE
    hashes = [photo.phash for photo in photos]
    numbers = near_duplicates.group(hashes, distance).tolist()
    match split:
        case StratifiedSplit():
            rows = splitting.stratified(photos, numbers, split, settings.seed)
        case CountsSplit():
            rows = splitting.by_counts(photos, split.train, split.validation)
        case FoldersSplit():
            rows = splitting.as_given(photos)
    splits.write_splits(paths.SPLITS, rows)
    # check_labels must not let a copy vouch for a photo, however close the split wants photos to be.
    copies = (
        numbers
        if distance >= near_duplicates.DISTANCE
        else near_duplicates.group(hashes, near_duplicates.DISTANCE).tolist()
    )
    duplicate_groups.write_alike(
        paths.NEAR_DUPLICATES, duplicate_groups.alike([photo.path for photo in photos], copies)
    )
    found = leaks.find(photos, rows)
    leaks.write_leaks(paths.LEAKS, found)

    counts, leaked = Counter(row.split for row in rows), Counter(leak.split for leak in found)
    together = [size for size in Counter(numbers).values() if size > 1]
    metrics = {name: counts[name] for name in splits.SPLITS}
    metrics |= {"near_duplicate_groups": len(together), "near_duplicate_photos": sum(together)}
    metrics |= {f"leaked_{name}": leaked[name] for name in ("validation", "test")}
    files.write_json(paths.SPLIT_METRICS, metrics)
    print(" · ".join(f"{counts[name]:,} {name}" for name in splits.SPLITS))
    if together:
        print(f"{sum(together):,} photos in {len(together):,} groups of near duplicates")
    if found:
        fix = "split.near_duplicates" if isinstance(split, StratifiedSplit) else "split.method: stratified"
        print(
            f"LEAK: {leaked['test']:,} test and {leaked['validation']:,} validation photos nearly show one of an "
            f"earlier split (see {paths.LEAKS}); {fix} keeps such photos on one side"
        )


if __name__ == "__main__":
    run_stage(main)
