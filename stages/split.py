"""Divide the photos into train, validation and test."""

from boatyard.core.stage import run_stage

from collections import Counter

from boatyard import params
from boatyard.core import files, paths, splits, tables
from boatyard.curation import duplicate_groups, leaks, near_duplicates, splitting
from boatyard.curation.catalog import Photo
from boatyard.params.schema import StratifiedSplit


def main() -> None:
    settings = params.load("split")
    split = settings.split
    photos = tables.read_rows(paths.CATALOG, Photo)
    hashes = [photo.phash for photo in photos]
    distance = split.near_duplicates if isinstance(split, StratifiedSplit) else near_duplicates.DISTANCE
    groups = near_duplicates.group(hashes, distance).tolist()
    rows = splitting.assign(photos, groups, split, settings.seed)
    tables.write_rows(paths.SPLITS, splits.Sample, rows)

    # check_labels must not use a copy as evidence for a photo's label, even if `distance` is small.
    copies = groups
    if distance < near_duplicates.DISTANCE:
        copies = near_duplicates.group(hashes, near_duplicates.DISTANCE).tolist()
    near = duplicate_groups.table([row.path for row in photos], copies)
    tables.write_rows(paths.NEAR_DUPLICATES, duplicate_groups.NearDuplicate, near)
    found = leaks.find(photos, rows)
    tables.write_rows(paths.LEAKS, leaks.Leak, found)

    counts, leaked = Counter(row.split for row in rows), Counter(leak.split for leak in found)
    sizes = [size for size in Counter(groups).values() if size > 1]
    metrics = {name: counts[name] for name in splits.SPLITS}
    metrics |= {"near_duplicate_groups": len(sizes), "near_duplicate_photos": sum(sizes)}
    metrics |= {f"leaked_{name}": leaked[name] for name in ("validation", "test")}
    files.write_json(paths.SPLIT_METRICS, metrics)

    print(" · ".join(f"{counts[name]:,} {name}" for name in splits.SPLITS))
    if sizes:
        print(f"{sum(sizes):,} photos in {len(sizes):,} groups of near duplicates")
    if found:
        fix = "split.near_duplicates" if isinstance(split, StratifiedSplit) else "split.method: stratified"
        print(
            f"LEAK: {leaked['test']:,} test and {leaked['validation']:,} validation photos are near duplicates of "
            f"photos in an earlier split (see {paths.LEAKS}); {fix} keeps such photos in the same split"
        )


if __name__ == "__main__":
    run_stage(main)
