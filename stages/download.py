"""Fetch the data set's photos into data/raw, one folder per class, byte for byte."""

from boatyard.core.stage import run_stage

from dataclasses import asdict
from typing import Any

from tqdm import tqdm

from boatyard import params, sources
from boatyard.core import errors, files, paths


def main() -> None:
    settings = params.load("download")
    fetched = sources.fetch(settings.dataset, paths.RAW, paths.DOWNLOADS, paths.INCOMING, bar)
    metrics = {name: value for name, value in asdict(fetched).items() if name != "notes"}
    files.write_json(paths.DOWNLOAD_METRICS, metrics)
    for note in fetched.notes:
        print(errors.one_line(note))
    source = f"{fetched.source} {fetched.version}".strip()
    print(f"{fetched.images:,} photos in {fetched.classes} classes from {source} · licence {fetched.licence}")


def bar(description: str, total: int | None, unit: str) -> "tqdm[Any]":
    return tqdm(desc=description, total=total, unit=unit, unit_scale=True, disable=None, leave=False)


if __name__ == "__main__":
    run_stage(main)
