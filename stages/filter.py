"""Decode every photo, and reject the unreadable, the ambiguous and the rare with a reason."""

from boatyard.core.stage import run_stage

from collections import Counter

from tqdm import tqdm

from boatyard import params
from boatyard.core import files, machine, paths, tables
from boatyard.curation import catalog, inspections
from boatyard.curation.catalog import ClassCount, ImageSize, Photo, Rejected


def main() -> None:
    settings = params.load("filter").filter
    names = catalog.list_photos(paths.RAW)
    with inspections.cached(paths.INSPECTIONS, inspections.cache_key()) as cache:
        inspected = inspections.inspect(paths.RAW, names, machine.workers(), cache)
        found = list(tqdm(inspected, "decoding", len(names), unit=" photos", disable=None))
    photos, rejected = catalog.select(found, settings.min_images, settings.keep, settings.drop)
    tables.write_rows(paths.CATALOG, Photo, photos)
    tables.write_rows(paths.REJECTED, Rejected, rejected)

    images, kept = Counter(entry.label for entry in found), Counter(photo.label for photo in photos)
    counts = [ClassCount(label, images[label], kept[label]) for label in sorted(images)]
    tables.write_rows(paths.CLASS_COUNTS, ClassCount, counts)
    sizes = sorted(Counter((photo.width, photo.height) for photo in photos).items())
    tables.write_rows(paths.IMAGE_SIZES, ImageSize, [ImageSize(*size, count) for size, count in sizes])
    reasons = catalog.reason_counts(rejected)
    leaks = catalog.count_leaks(found)
    metrics = {"images": len(found), "kept": len(photos), "classes": len(kept), "rejected": reasons, "leaks": leaks}
    files.write_json(paths.FILTER_METRICS, metrics)

    print(f"{len(photos):,} of {len(found):,} photos are kept, in {len(kept)} classes")
    for reason, count in reasons.items():
        if count:
            print(f"  rejected: {count:,} {reason.replace('_', ' ')} (see {paths.REJECTED})")
    if leaks:
        print(f"  a leak: {leaks:,} photos are in two published splits (see {paths.REJECTED})")


if __name__ == "__main__":
    run_stage(main)
