"""Kind `torchvision`: its image-classification data sets by the name of their class, original files where it has them.

torchvision offers no common way to ask for a sample's file, so what each class keeps is written down here: a list of
paths and classes under one of a few names (`_listed`), or arrays, which become PNG files, without loss.
"""

import difflib
import hashlib
import inspect
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from gzip import BadGzipFile
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.error import URLError

from boatyard.core.errors import UserError, cannot_write
from boatyard.params.dataset import TorchvisionDataset
from boatyard.sources import http
from boatyard.sources.base import Progress, SourceFiles
from boatyard.sources.download_cache import make_folder, no_folder
from boatyard.sources.layouts import SPLIT_NAMES, Listing
from boatyard.sources.naming import Labelled, alike
from boatyard.sources.walk import files


@dataclass(frozen=True)
class _Published:
    """How a class of torchvision's divides its photos, and whether it holds files or arrays."""

    argument: str = ""  # of the class, that chooses a part; "" if it has but one
    parts: tuple[str | int, ...] = ()  # its values that together are the data set
    arrays: bool = False


_TRAIN = ("train", (True, False))
_HALVES = ("split", ("train", "test"))
_THIRDS = ("split", ("train", "val", "test"))

PUBLISHED = {
    "Caltech101": _Published(),
    "Caltech256": _Published(),
    "CIFAR10": _Published(*_TRAIN, arrays=True),
    "CIFAR100": _Published(*_TRAIN, arrays=True),
    "CLEVRClassification": _Published("split", ("train", "val")),  # its test photos have no labels
    "Country211": _Published("split", ("train", "valid", "test")),
    "DTD": _Published(*_THIRDS),
    "EMNIST": _Published(*_TRAIN, arrays=True),
    "EuroSAT": _Published(),
    "FashionMNIST": _Published(*_TRAIN, arrays=True),
    "FER2013": _Published(*_HALVES, arrays=True),
    "FGVCAircraft": _Published(*_THIRDS),
    "Flowers102": _Published(*_THIRDS),
    "Food101": _Published(*_HALVES),
    "GTSRB": _Published(*_HALVES),
    "ImageNet": _Published("split", ("train", "val")),
    "Imagenette": _Published("split", ("train", "val")),
    "INaturalist": _Published(),
    "KMNIST": _Published(*_TRAIN, arrays=True),
    "LFWPeople": _Published(),
    "MNIST": _Published(*_TRAIN, arrays=True),
    "Omniglot": _Published("background", (True, False)),
    "OxfordIIITPet": _Published("split", ("trainval", "test")),
    "PCAM": _Published(*_THIRDS, arrays=True),
    "Places365": _Published("split", ("train-standard", "val")),  # its test photos have no labels
    "QMNIST": _Published(*_TRAIN, arrays=True),
    "RenderedSST2": _Published(*_THIRDS),
    "SEMEION": _Published(arrays=True),
    "StanfordCars": _Published(*_HALVES),
    "STL10": _Published(*_HALVES, arrays=True),
    "SUN397": _Published(),
    "SVHN": _Published(*_HALVES, arrays=True),
    "USPS": _Published(*_TRAIN, arrays=True),
}

# Arguments that say where the files are and how to read them.
OURS = {"self", "root", "transform", "target_transform", "transforms", "download", "loader", "target_type", "kwargs"}

ARCHIVES = {".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".partial"}

BY_HAND = (
    "or put its files under data/incoming, in the folders that torchvision expects, and set dataset.download: false"
)


def fetch(
    dataset: TorchvisionDataset, scratch: Path, downloads: Path, incoming: Path, progress: Progress
) -> tuple[SourceFiles, Listing]:
    """Fetch the data set, or find it under `incoming`, and list its photos."""
    published = _published(dataset)
    folder = _downloaded(dataset, published, downloads, progress) if dataset.download else incoming
    shown = f"torchvision's {dataset.name}"
    found: list[tuple[PurePosixPath, str, str]] = []
    for part, samples in _parts(dataset, published, folder, download=False):
        split = _split(dataset, part)
        names = _names(samples)
        listed = _written(samples, scratch, part, progress) if published.arrays else _listed(samples, folder)
        found += [(path, names.get(target, str(target)), split) for path, target in listed]
    if not found:
        raise UserError(f"{shown} has no photos with a class in {folder}: {BY_HAND}")
    if not published.arrays:
        _check_all_there([path for path, _, _ in found], folder, shown)
    common = PurePosixPath(os.path.commonpath([path.parent for path, _, _ in found]))
    photos = [Labelled(path, label, shown, path.relative_to(common), split) for path, label, split in found]
    note = f"{shown} holds {len(photos):,} photos as arrays: written as PNG files, without loss"
    root = scratch if published.arrays else folder
    origin = SourceFiles(root, shown, f"torchvision {dataset.name}", version="", sha256="", movable=published.arrays)
    return origin, Listing(root, photos, (note,) if published.arrays else ())


def _published(dataset: TorchvisionDataset) -> _Published:
    if dataset.name in PUBLISHED:
        return PUBLISHED[dataset.name]
    close = difflib.get_close_matches(dataset.name, PUBLISHED, n=1, cutoff=0.5)
    fix = f"did you mean {close[0]}?" if close else f"it has {', '.join(PUBLISHED)}"
    raise UserError(f"dataset.name: torchvision has no image-classification data set {dataset.name!r}; {fix}")


def _downloaded(dataset: TorchvisionDataset, published: _Published, downloads: Path, progress: Progress) -> Path:
    """The folder that holds the data set, fetched unless it is there; it has its name only once it is whole.

    torchvision takes a folder that it was killed while unpacking for a whole one, so only archives are kept from a
    stopped run: it checks the md5 of those, and `web` goes on where it stopped. They are kept whatever the network or
    the disk does; at any other error they are not, as one that can't be unpacked must not stop the next run too.
    """
    options = hashlib.sha256(json.dumps(dataset.options, sort_keys=True).encode()).hexdigest()[:8]
    folder = downloads / f"torchvision-{dataset.name}-{options}"
    if folder.is_dir():
        return folder
    if os.path.lexists(folder):
        raise no_folder(folder)
    part = folder.with_name(f"{folder.name}.part")
    make_folder(part)
    _keep_archives_alone(part)
    with _our_downloads(progress) as unfetched:
        try:
            for _ in _parts(dataset, published, part, download=True):
                pass
        except UserError as error:
            if unfetched:
                raise UserError(f"torchvision's {dataset.name}: {unfetched[-1]}; {BY_HAND}") from error
            if _of_the_machine(error.__cause__):
                _keep_archives_alone(part)  # what is half unpacked may be what fills the disk
            else:
                shutil.rmtree(part)
            raise
    return part.rename(folder)


def _parts(
    dataset: TorchvisionDataset, published: _Published, root: Path, download: bool
) -> Iterator[tuple[str | int, Any]]:
    """Each part of the data set as torchvision's object: train, test, …"""
    import torchvision  # two seconds, for this kind alone

    kind = getattr(torchvision.datasets, dataset.name)
    known = {name for base in kind.__mro__ for name in inspect.signature(base.__init__).parameters}
    for option in dataset.options:
        if option not in known - OURS:
            raise UserError(
                f"dataset.options: torchvision's {dataset.name} has no option {option!r}; "
                f"it has {', '.join(sorted(known - OURS - {'args'})) or 'none'}"
            )
    if download and "download" not in known:
        raise UserError(f"torchvision can't download {dataset.name}: fetch it from its page, {BY_HAND[3:]}")
    chosen = dataset.options.get(published.argument)
    for part in published.parts or ("",) if chosen is None else (chosen,):
        arguments = dataset.options | ({published.argument: part} if published.argument else {})
        if "download" in known:
            arguments["download"] = download
        try:
            samples = kind(root, **arguments)
        except UserError:
            raise
        except Exception as error:  # torchvision raises whatever its reading of the files raises
            if download and isinstance(error, OSError) and error.errno and _of_the_machine(error):
                raise cannot_write(error.filename or root, error) from error
            fix = "" if download and _of_the_machine(error) else "mend dataset.options, "
            raise UserError(f"torchvision's {dataset.name}: {error}; {fix}{BY_HAND}") from error
        yield part, samples


def _of_the_machine(error: BaseException | None) -> bool:
    """Whether an error is the disk's or the network's, and so no fault of an archive's."""
    return isinstance(error, OSError) and not isinstance(error, BadGzipFile | FileNotFoundError)


class _NotFetched(RuntimeError):
    """A `UserError` on its way through torchvision, which tries its next mirror at a RuntimeError."""


@contextmanager
def _our_downloads(progress: Progress) -> Iterator[list[str]]:
    """Let torchvision fetch files by `web.download`: resumed, checked for their length, with a clear error.

    Yield why the file that it asked for last was not fetched, a line for each mirror; empty if it was.
    """
    from torchvision.datasets import utils

    unfetched: list[str] = []

    def retrieve(url: str, filename: str | Path, chunk_size: int = 0) -> None:
        try:
            http.download(url, Path(filename), progress)
        except UserError as error:
            if isinstance(error.__cause__, OSError) and not isinstance(error.__cause__, URLError):
                raise  # the disk's, which no mirror mends
            unfetched.append(str(error))
            raise _NotFetched(str(error)) from error
        unfetched.clear()

    def as_it_is(url: str, max_hops: int = 3) -> str:
        """The address without a look at where it leads: that look waits for ever, and follows out of https."""
        return url

    originals = utils._urlretrieve, utils._get_redirect_url
    utils._urlretrieve, utils._get_redirect_url = retrieve, as_it_is
    try:
        yield unfetched
    finally:
        utils._urlretrieve, utils._get_redirect_url = originals


def _keep_archives_alone(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):  # a folder comes after what is in it
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                path.rmdir()
        elif path.suffix not in ARCHIVES:
            path.unlink()


def _split(dataset: TorchvisionDataset, part: str | int) -> str:
    """What a part's photos are for, if the data set shall stay split."""
    if dataset.layout.kind == "folders":
        return ""
    name = _part_name(part)
    split = SPLIT_NAMES.get(name.partition("-")[0].removesuffix("val") or name)
    if not split or PUBLISHED[dataset.name].argument == "background":
        raise UserError(
            f"dataset.layout.kind: torchvision's {dataset.name} is not published in splits; set it to folders"
        )
    return split


def _part_name(part: str | int) -> str:
    return {True: "train", False: "test"}[part] if isinstance(part, bool) else str(part)


def _names(samples: Any) -> dict[int, str]:
    """Each class's name, as a folder's; empty where torchvision has numbers alone."""
    numbered = getattr(samples, "class_to_idx", {})
    names: Sequence[str | Sequence[str]] = []
    for attribute in ("all_categories", "categories", "_characters", "classes"):
        names = names or getattr(samples, attribute, [])
    names = names or sorted(numbered, key=numbered.__getitem__)
    readable = [_readable(name) for name in names]
    times = Counter(alike(name) for name in readable)
    return {number: f"{name} ({number})" if times[alike(name)] > 1 else name for number, name in enumerate(readable)}


def _readable(name: str | Sequence[str]) -> str:
    first = name if isinstance(name, str) else name[0]  # synonyms
    if first.startswith("/") and first[2:3] == "/":  # Places365: /a/airport_terminal
        first = first[3:]
    return first.replace("/", "-")


def _listed(samples: Any, folder: Path) -> list[tuple[PurePosixPath, int]]:
    """The path below `folder` and the class of each photo that has a class."""
    root = Path(samples.root)
    listed: list[tuple[str | Path, int | None]]
    match type(samples).__name__:
        case "Caltech101" | "Caltech256" as name:
            top = root / f"{name.removeprefix('Caltech')}_ObjectCategories"
            listed = [
                (path, target)
                for target, category in enumerate(samples.categories)
                for path in (top / category).glob("*.jpg")
            ]
        case "INaturalist":
            listed = [(root / samples.all_categories[target] / name, target) for target, name in samples.index]
        case "Omniglot":
            top = Path(samples.target_folder)
            listed = [
                (top / samples._characters[target] / name, target) for name, target in samples._flat_character_images
            ]
        case "OxfordIIITPet":
            listed = list(zip(samples._images, samples._labels, strict=True))
        case "LFWPeople":
            listed = list(zip(samples.data, samples.targets, strict=True))
        case "Places365":
            listed = samples.imgs
        case _ if hasattr(samples, "_image_files"):
            listed = list(zip(samples._image_files, samples._labels, strict=True))
        case _:
            listed = samples.samples if hasattr(samples, "samples") else samples._samples
    return [(_below(path, folder), int(target)) for path, target in listed if target is not None]


def _below(path: str | Path, folder: Path) -> PurePosixPath:
    return PurePosixPath(Path(os.path.relpath(path, folder)).as_posix())


def _written(samples: Any, scratch: Path, part: str | int, progress: Progress) -> list[tuple[PurePosixPath, int]]:
    """Write a part's arrays as PNG files; the path below `scratch` and the class of each."""
    listed = []
    with progress("writing photos", len(samples), "photo") as bar:
        for number in range(len(samples)):
            photo, target = samples[number]
            if target is not None and target >= 0:
                path = PurePosixPath(f"{_part_name(part) or 'photo'}_{number:06d}.png")
                photo.save(scratch / path)
                listed.append((path, int(target)))
            bar.update(1)
    return listed


def _check_all_there(paths: Sequence[PurePosixPath], folder: Path, shown: str) -> None:
    missing = sorted(set(paths) - set(files(folder, shown)))
    if missing:
        raise UserError(
            f"{shown}: photos that it lists and that are not in {folder}: {len(missing):,} (the first: {missing[0]})"
        )
