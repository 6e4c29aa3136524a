"""Source `url`: zip and tar archives at an address: http(s), file, or whatever fsspec opens (s3, gs, …)."""

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from boatyard.core.errors import UserError
from boatyard.core.files import replacing, sha256_of
from boatyard.params.dataset import Archive, UrlDataset
from boatyard.sources import archives, http, layouts
from boatyard.sources.download_cache import cached, check_sha256
from boatyard.sources.interface import Listing, Progress, SourceFiles, Workspace

# DVC's names for the extras that install each protocol's package.
DVC_EXTRAS = {"s3": "s3", "gs": "gs", "gcs": "gs", "abfs": "azure", "az": "azure", "oss": "oss", "webhdfs": "webhdfs"}


def fetch(dataset: UrlDataset, workspace: Workspace) -> Listing:
    """Fetch the archives that are not cached, check their sha256, and unpack them all into one folder."""
    names = [_name(archive.url) for archive in dataset.archives]
    for number, (archive, name) in enumerate(zip(dataset.archives, names, strict=True)):
        path = _fetch_archive(archive, f"dataset.archives[{number}]", workspace)
        archives.unpack(path, name, workspace.scratch, workspace.progress)
    sums = [archive.sha256 for archive in dataset.archives]
    files = SourceFiles(
        workspace.scratch,
        title=", ".join(PurePosixPath(name).name for name in names),
        name=", ".join(names),
        version="",
        sha256=sums[0] if len(sums) == 1 else hashlib.sha256("\n".join(sums).encode()).hexdigest(),
        movable=True,
    )
    return layouts.read(dataset.layout, files)


def _fetch_archive(archive: Archive, key: str, workspace: Workspace) -> Path:
    """The path of the archive: a local file is used in place, any other is downloaded into the cache."""
    name = _name(archive.url)
    if _scheme(archive.url) == "file":
        path = _local(archive.url)
        if not path.is_file():
            raise UserError(f"{key}.url: there is no file {path}: correct the address")
        check_sha256(sha256_of(path), archive.sha256, name, f"{key}.sha256")
        return path

    def download(folder: Path) -> Path:
        target = folder / "archive"
        if _scheme(archive.url) not in {"http", "https"}:
            _copy_fsspec(archive.url, target, workspace.progress)
            return target
        resumed = http.partial(target).exists()
        http.download(archive.url, target, workspace.progress)
        if resumed and sha256_of(target) != archive.sha256:
            target.unlink()  # the file at the address changed between the two runs
            http.download(archive.url, target, workspace.progress)
        return target

    return cached(workspace.downloads, archive.sha256, name, f"{key}.sha256", download)


def _copy_fsspec(url: str, target: Path, progress: Progress) -> None:
    """Copy a file that fsspec opens, from its beginning: not all file systems can resume."""
    with replacing(target) as path, path.open("wb") as writing, progress(f"copying {_name(url)}", None, "B") as bar:
        for chunk in _fsspec_chunks(url):
            writing.write(chunk)
            bar.update(len(chunk))


def _fsspec_chunks(url: str) -> Iterator[bytes]:
    """A file's content. All its errors are a `UserError`, so that an `OSError` of the caller's is the disk's."""
    import fsspec  # takes half a second, and only these addresses need it

    name = _name(url)
    protocol = _scheme(url)
    try:
        with fsspec.open(url, "rb") as reading:
            while chunk := reading.read(1 << 20):
                yield chunk
    except ImportError as error:
        extra = DVC_EXTRAS.get(protocol)
        fix = f"pip install 'dvc[{extra}]'" if extra else "install the package that the message names"
        raise UserError(f"{name}: {protocol}:// addresses need another package: {fix} ({error})") from error
    except FileNotFoundError as error:
        raise UserError(f"{name}: there is no such file: correct the address") from error
    except Exception as error:  # each fsspec file system has its own exceptions
        # The message may repeat the address with its secrets.
        why = f"{type(error).__name__}: {error}" if name == url else type(error).__name__
        raise UserError(f"{name} can't be read ({why}): correct the address or the credentials") from error


def _name(url: str) -> str:
    """The archive's name in messages and metrics: no secrets, and no path of this machine."""
    return _local(url).name if _scheme(url) == "file" else http.public(url)


def _scheme(url: str) -> str:
    return url.partition("://")[0]


def _local(url: str) -> Path:
    """The path of a file:// address, which people write either as it is or percent-encoded."""
    path = Path(url.removeprefix("file://"))
    with suppress(OSError):  # the name may be too long until it is decoded
        if path.exists():
            return path
    return Path(unquote(str(path)))
