"""Source `torchvision`: its image-classification data sets by class name, with their original files if they have any.

torchvision has no common way to get a sample's file, so this module lists what each class has: a list of paths and
targets under one of a few names (`_photo_paths`), or arrays, which are written as PNG files without loss.
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

from boatyard.core.errors import UserError, cannot_write
from boatyard.params.dataset import TorchvisionDataset
from boatyard.sources import http
from boatyard.sources.download_cache import make_folder, not_a_directory
from boatyard.sources.interface import LabelledPhoto, Listing, Progress, SourceFiles, Workspace
from boatyard.sources.layouts import SPLIT_NAMES
from boatyard.sources.naming import folded, rename
from boatyard.sources.walk import list_files


@dataclass(frozen=True)
class _Published:
    """How a torchvision class divides its photos, and whether they are arrays rather than files."""

    argument: str = ""  # of the class, that selects a part; empty if there is only one
    parts: tuple[str | int, ...] = ()  # the values of `argument` that together make up the data set
    arrays: bool = False


_HALVES = ("split", ("train", "test"))
_THIRDS = ("split", ("train", "val", "test"))
PUBLISHED = (
    dict.fromkeys(["Caltech101", "Caltech256", "EuroSAT", "INaturalist", "LFWPeople", "SUN397"], _Published())
    | dict.fromkeys(["Food101", "GTSRB", "StanfordCars"], _Published(*_HALVES))
    | dict.fromkeys(["DTD", "FGVCAircraft", "Flowers102", "RenderedSST2"], _Published(*_THIRDS))
    | dict.fromkeys(["ImageNet", "Imagenette"], _Published("split", ("train", "val")))
    | dict.fromkeys(
        ["CIFAR10", "CIFAR100", "EMNIST", "FashionMNIST", "KMNIST", "MNIST", "QMNIST", "USPS"],
        _Published("train", (True, False), arrays=True),
    )
    | dict.fromkeys(["FER2013", "STL10", "SVHN"], _Published(*_HALVES, arrays=True))
    | {
        "CLEVRClassification": _Published("split", ("train", "val")),  # its test photos have no labels
        "Country211": _Published("split", ("train", "valid", "test")),
        "Omniglot": _Published("background", (True, False)),
        "OxfordIIITPet": _Published("split", ("trainval", "test")),
        "PCAM": _Published(*_THIRDS, arrays=True),
        "Places365": _Published("split", ("train-standard", "val")),  # its test photos have no labels
        "SEMEION": _Published(arrays=True),
    }
)

# Arguments that are not options: where the files are and how to read them.
NO_OPTIONS = {
    *("self", "args", "kwargs", "root", "download", "loader", "target_type"),
    *("transform", "target_transform", "transforms"),
}

ARCHIVES = {".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".partial"}

MANUALLY = "put its files under data/incoming, in the folders that torchvision expects, and set dataset.download: false"


def fetch(dataset: TorchvisionDataset, workspace: Workspace) -> Listing:
    """Download the data set, or find it in the folder of incoming files, and list its photos."""
    published = _published(dataset)
    folder = _download(dataset, published, workspace) if dataset.download else workspace.incoming
    title = f"torchvision's {dataset.name}"
    found: list[tuple[PurePosixPath, str, str]] = []
    for part, samples in _parts(dataset, published, folder, download=False):
        split = _split(dataset, part)
        names = _class_names(samples)
        photos = _write_png_files(samples, part, workspace) if published.arrays else _photo_paths(samples, folder)
        found += [(path, names.get(target, str(target)), split) for path, target in photos]
    if not found:
        raise UserError(f"{title} has no photos with a class in {folder}: {MANUALLY}")
    if not published.arrays:
        _check_all_exist([path for path, _, _ in found], folder, title)
    common = PurePosixPath(os.path.commonpath([path.parent for path, _, _ in found]))
    listed = [LabelledPhoto(path, label, title, path.relative_to(common), split) for path, label, split in found]
    listed = rename(listed, dataset.layout.rename, title)
    note = f"the {len(listed):,} photos of {title} are arrays: written as PNG files, without loss"
    root = workspace.scratch if published.arrays else folder
    files = SourceFiles(root, title, f"torchvision {dataset.name}", version="", sha256="", movable=published.arrays)
    return Listing(files, root, listed, (note,) if published.arrays else ())


def _published(dataset: TorchvisionDataset) -> _Published:
    if dataset.name in PUBLISHED:
        return PUBLISHED[dataset.name]
    close = difflib.get_close_matches(dataset.name, PUBLISHED, n=1, cutoff=0.5)
    fix = f"did you mean {close[0]}?" if close else f"it has {', '.join(sorted(PUBLISHED, key=str.lower))}"
    raise UserError(f"dataset.name: torchvision has no image-classification data set {dataset.name!r}; {fix}")


def _download(dataset: TorchvisionDataset, published: _Published, workspace: Workspace) -> Path:
    """The folder with the data set, downloaded if it does not exist; it gets its name only when it is complete.

    torchvision mistakes a partly unpacked folder for a complete one, so only archives are kept after an interruption:
    torchvision checks their md5, and `http.download` resumes partial ones. After an error of the network or the disk
    they are kept too; after any other error they are removed, as an archive that can't be unpacked must not stop the
    next run as well.
    """
    options = hashlib.sha256(json.dumps(dataset.options, sort_keys=True).encode()).hexdigest()[:8]
    folder = workspace.downloads / f"torchvision-{dataset.name}-{options}"
    if folder.is_dir():
        return folder
    if os.path.lexists(folder):
        raise not_a_directory(folder)
    part = folder.with_name(f"{folder.name}.part")
    make_folder(part)
    _remove_all_but_archives(part)
    with _resumable_downloads(workspace.progress) as failures:
        try:
            for _ in _parts(dataset, published, part, download=True):
                pass
        except UserError as error:
            if failures:
                raise UserError(f"torchvision's {dataset.name}: {failures[-1]}; or {MANUALLY}") from error
            if _is_io_failure(error.__cause__):
                _remove_all_but_archives(part)  # partly unpacked files may be what fills the disk
            else:
                shutil.rmtree(part)
            raise
    return part.rename(folder)


def _parts(
    dataset: TorchvisionDataset, published: _Published, root: Path, download: bool
) -> Iterator[tuple[str | int, Any]]:
    """Each part of the data set (train, test, …) as torchvision's object."""
    import torchvision  # takes two seconds, and only this source needs it

    kind = getattr(torchvision.datasets, dataset.name)
    known = {name for base in kind.__mro__ for name in inspect.signature(base.__init__).parameters}
    options = sorted(known - NO_OPTIONS)
    if unknown := [option for option in dataset.options if option not in options]:
        raise UserError(
            f"dataset.options: torchvision's {dataset.name} has no option {unknown[0]!r}; "
            f"it has {', '.join(options) or 'none'}"
        )
    if download and "download" not in known:
        raise UserError(f"torchvision can't download {dataset.name}: get it from its web page, {MANUALLY}")
    chosen = dataset.options.get(published.argument)
    for part in published.parts or ("",) if chosen is None else (chosen,):
        arguments = dataset.options | ({published.argument: part} if published.argument else {})
        if "download" in known:
            arguments["download"] = download
        try:
            samples = kind(root, **arguments)
        except UserError:
            raise
        except Exception as error:  # whatever torchvision raises while it reads the files
            if download and isinstance(error, OSError) and error.errno and _is_io_failure(error):
                raise cannot_write(error.filename or root, error) from error
            fix = MANUALLY if download and _is_io_failure(error) else f"correct dataset.options, or {MANUALLY}"
            raise UserError(f"torchvision's {dataset.name}: {error}; {fix}") from error
        yield part, samples


def _is_io_failure(error: BaseException | None) -> bool:
    """Whether the disk or the network is at fault, rather than an archive."""
    return isinstance(error, OSError) and not isinstance(error, BadGzipFile | FileNotFoundError)


@contextmanager
def _resumable_downloads(progress: Progress) -> Iterator[list[str]]:
    """Make torchvision download files with `http.download`, and yield why the latest file failed, one line per mirror.

    This replaces two private functions of torchvision, which wait forever, do not resume and follow redirects out of
    https. There is no other way in. Caltech101, Caltech256, EuroSAT and GTSRB have their addresses only inside their
    `download` methods, so the archives can't be fetched beforehand. An opener for urllib does not know the file that
    torchvision copies to, so every archive would be stored twice.
    """
    from torchvision.datasets import utils

    failures: list[str] = []

    def retrieve(url: str, filename: str | Path, chunk_size: int = 0) -> None:
        try:
            http.download(url, Path(filename), progress)
        except http.DownloadError as error:  # an error of the disk stops torchvision at once
            failures.append(str(error))
            raise RuntimeError(str(error)) from error  # after which torchvision tries the next mirror
        failures.clear()

    originals = utils._urlretrieve, utils._get_redirect_url
    utils._urlretrieve = retrieve
    utils._get_redirect_url = lambda url, max_hops: url  # `http.download` follows redirects
    try:
        yield failures
    finally:
        utils._urlretrieve, utils._get_redirect_url = originals


def _remove_all_but_archives(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):  # the content of a folder before the folder
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                path.rmdir()
        elif path.suffix not in ARCHIVES:
            path.unlink()


def _split(dataset: TorchvisionDataset, part: str | int) -> str:
    """The split of a part's photos, if the published splits are kept."""
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


def _class_names(samples: Any) -> dict[int, str]:
    """Each target's class name, valid as a folder's; empty if torchvision has numbers only."""
    numbered = getattr(samples, "class_to_idx", {})
    attributes = ("all_categories", "categories", "_characters", "classes")
    listed: Iterator[Sequence[str | Sequence[str]]] = (getattr(samples, name, ()) for name in attributes)
    names = next(filter(None, listed), sorted(numbered, key=numbered.__getitem__))
    readable = [_readable(name) for name in names]
    counts = Counter(folded(name) for name in readable)
    return {number: f"{name} ({number})" if counts[folded(name)] > 1 else name for number, name in enumerate(readable)}


def _readable(name: str | Sequence[str]) -> str:
    first = name if isinstance(name, str) else name[0]  # synonyms
    if first.startswith("/") and first[2:3] == "/":  # Places365: /a/airport_terminal
        first = first[3:]
    return first.replace("/", "-")


def _photo_paths(samples: Any, folder: Path) -> list[tuple[PurePosixPath, int]]:
    """The path relative to `folder` and the target of each photo that has a target."""
    root = Path(samples.root)
    found: list[tuple[str | Path, int | None]]
    match type(samples).__name__:
        case "Caltech101" | "Caltech256" as kind:
            top = root / f"{kind.removeprefix('Caltech')}_ObjectCategories"
            numbered = enumerate(samples.categories)
            found = [(path, target) for target, name in numbered for path in (top / name).glob("*.jpg")]
        case "INaturalist":
            found = [(root / samples.all_categories[target] / name, target) for target, name in samples.index]
        case "Omniglot":
            top = Path(samples.target_folder)
            names = samples._characters
            found = [(top / names[target] / name, target) for name, target in samples._flat_character_images]
        case "OxfordIIITPet":
            found = list(zip(samples._images, samples._labels, strict=True))
        case "LFWPeople":
            found = list(zip(samples.data, samples.targets, strict=True))
        case "Places365":
            found = samples.imgs
        case _ if hasattr(samples, "_image_files"):
            found = list(zip(samples._image_files, samples._labels, strict=True))
        case _:
            found = samples.samples if hasattr(samples, "samples") else samples._samples
    relative = [(Path(os.path.relpath(path, folder)), target) for path, target in found]
    return [(PurePosixPath(path.as_posix()), int(target)) for path, target in relative if target is not None]


def _write_png_files(samples: Any, part: str | int, workspace: Workspace) -> list[tuple[PurePosixPath, int]]:
    """Write a part's arrays as PNG files; the path relative to the scratch folder and the target of each."""
    written = []
    with workspace.progress("writing photos", len(samples), "photo") as bar:
        for number in range(len(samples)):
            photo, target = samples[number]
            if target is not None and target >= 0:
                path = PurePosixPath(f"{_part_name(part) or 'photo'}_{number:06d}.png")
                photo.save(workspace.scratch / path)
                written.append((path, int(target)))
            bar.update(1)
    return written


def _check_all_exist(paths: Sequence[PurePosixPath], folder: Path, title: str) -> None:
    missing = sorted(set(paths) - set(list_files(folder, title)))
    if missing:
        raise UserError(f"{title} lists photos that are not in {folder}: {len(missing):,} (the first: {missing[0]})")
