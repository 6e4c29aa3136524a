"""Which photos stay: decode every one, leave out the unusable, the ambiguous and the rare, and say why."""

from boatyard.core.stage import run_stage

from collections import Counter

from tqdm import tqdm

from boatyard import params
from boatyard.core import files, machine, paths, tables
from boatyard.curation import catalog, inspections


def main() -> None:
    settings = params.load("filter").filter
    names = catalog.list_photos(paths.RAW)
    with inspections.cached(paths.INSPECTIONS, inspections.cache_key()) as known:
        decoded = inspections.inspect(paths.RAW, names, machine.workers(), known)
        found = list(tqdm(decoded, "decoding", len(names), unit=" photos", disable=None))
    staying, rejected = catalog.sift(found, settings.min_images, settings.keep, settings.drop)

    catalog.write_catalog(paths.CATALOG, staying)
    catalog.write_rejected(paths.REJECTED, rejected)
    images, kept = Counter(entry.label for entry in found), Counter(photo.label for photo in staying)
    counts = [(label, images[label], kept[label]) for label in sorted(images)]
    tables.write_csv(paths.CLASS_COUNTS, ["label", "images", "kept"], counts)
    sizes = sorted(Counter((photo.width, photo.height) for photo in staying).items())
    tables.write_csv(paths.IMAGE_SIZES, ["width", "height", "images"], [(*size, count) for size, count in sizes])
    reasons = catalog.reason_counts(rejected)
    leaks = catalog.leaks(found)
    metrics = {"images": len(found), "kept": len(staying), "classes": len(kept), "rejected": reasons, "leaks": leaks}
    files.write_json(paths.FILTER_METRICS, metrics)

    print(f"{len(staying):,} of {len(found):,} photos stay, in {len(kept)} classes")
    for reason, count in reasons.items():
        if count:
            print(f"  left out: {count:,} {reason.replace('_', ' ')} (see {paths.REJECTED})")
    if leaks:
        print(f"  a leak: photos in two of the data set's own splits: {leaks:,} (see {paths.REJECTED})")


if __name__ == "__main__":
    run_stage(main)
