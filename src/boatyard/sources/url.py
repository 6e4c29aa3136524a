"""Kind `url`: zip and tar archives at an address: http(s), file, or whatever fsspec opens (s3, gs, …)."""

import hashlib
from contextlib import suppress
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from boatyard.core.errors import UserError, cannot_write
from boatyard.core.files import sha256_of
from boatyard.params.dataset import Archive, UrlDataset
from boatyard.sources import archives, http
from boatyard.sources.base import Progress, SourceFiles
from boatyard.sources.download_cache import check, kept

# What DVC calls the extras that bring a protocol's package.
DVC_EXTRAS = {"s3": "s3", "gs": "gs", "gcs": "gs", "abfs": "azure", "az": "azure", "oss": "oss", "webhdfs": "webhdfs"}


def fetch(dataset: UrlDataset, scratch: Path, downloads: Path, progress: Progress) -> SourceFiles:
    """Fetch the archives that are not kept already, check their sha256, and unpack them all into `scratch`."""
    names = [_name(archive.url) for archive in dataset.archives]
    for number, (archive, name) in enumerate(zip(dataset.archives, names, strict=True)):
        path = _archive(archive, f"dataset.archives[{number}]", downloads, progress)
        archives.unpack(path, name, scratch, progress)
    sums = [archive.sha256 for archive in dataset.archives]
    return SourceFiles(
        folder=scratch,
        shown=", ".join(PurePosixPath(name).name for name in names),
        name=", ".join(names),
        version="",
        sha256=sums[0] if len(sums) == 1 else hashlib.sha256("\n".join(sums).encode()).hexdigest(),
        movable=True,
    )


def _archive(archive: Archive, key: str, downloads: Path, progress: Progress) -> Path:
    """Where the archive lies: a file of this machine stays where it is, any other is fetched and kept."""
    name = _name(archive.url)
    if _scheme(archive.url) == "file":
        path = _local(archive.url)
        if not path.is_file():
            raise UserError(f"{key}.url: there is no file {path}: mend the address")
        check(sha256_of(path), archive.sha256, name, f"{key}.sha256")
        return path

    def download(folder: Path) -> Path:
        target = folder / "archive"
        if _scheme(archive.url) not in {"http", "https"}:
            _copy(archive.url, target, progress)
            return target
        resumed = http.partial(target).exists()
        http.download(archive.url, target, progress)
        if resumed and sha256_of(target) != archive.sha256:
            target.unlink()  # the file at the address changed between the two runs
            http.download(archive.url, target, progress)
        return target

    return kept(downloads, archive.sha256, name, f"{key}.sha256", download)


def _copy(url: str, target: Path, progress: Progress) -> None:
    """Read `url` through fsspec, from its beginning: not all of its file systems can go on in the middle."""
    import fsspec  # half a second, for these addresses alone

    name = _name(url)
    protocol = _scheme(url)
    try:
        with (
            progress(f"copying {name}", None, "B") as bar,
            fsspec.open(url, "rb") as reading,
        ):
            _write(target, b"", "wb")
            while chunk := reading.read(1 << 20):
                _write(target, chunk, "ab")
                bar.update(len(chunk))
    except UserError:
        raise
    except ImportError as error:
        extra = DVC_EXTRAS.get(protocol)
        fix = f"pip install 'dvc[{extra}]'" if extra else "install the package that the message names"
        raise UserError(f"{name}: {protocol}:// addresses need another package: {fix} ({error})") from error
    except FileNotFoundError as error:
        raise UserError(f"{name}: there is no such file: mend the address") from error
    except Exception as error:  # each of fsspec's file systems has its own exceptions
        # What it says may repeat the address, with its secrets.
        why = f"{type(error).__name__}: {error}" if name == url else type(error).__name__
        raise UserError(f"{name} can't be read ({why}): mend the address or the credentials") from error


def _write(target: Path, content: bytes, mode: str) -> None:
    """Opened for each piece, so that a full disk is met here and not told as the address's fault."""
    try:
        with target.open(mode) as file:
            file.write(content)
    except OSError as error:
        raise cannot_write(target, error) from error


def _name(url: str) -> str:
    """What to call an archive in messages and metrics: no secrets, and no path of this machine."""
    return _local(url).name if _scheme(url) == "file" else http.public(url)


def _scheme(url: str) -> str:
    return url.partition("://")[0]


def _local(url: str) -> Path:
    """A file:// address's path, which people write as it is or with its odd characters encoded."""
    path = Path(url.removeprefix("file://"))
    with suppress(OSError):  # too long a name, until its characters are decoded
        if path.exists():
            return path
    return Path(unquote(str(path)))
