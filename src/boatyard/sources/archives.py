"""Safe unpacking of archives: plain files only, none outside of the folder, and no more bytes than photos unpack to."""

import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Self, cast

from boatyard.core.errors import UserError
from boatyard.sources.interface import Progress
from boatyard.sources.walk import MAX_DEPTH

MAX_FILES = 3_000_000
# Photos hardly shrink in an archive. The zeros of an archive bomb do, up to a thousandfold under Deflate.
MAX_RATIO = 200
ALLOWANCE = 100 << 20  # bytes, for a small archive of drawings or tables
MAX_HEADER = 1 << 20  # bytes of a name or of attributes in a tar, which tarfile reads into memory

CHUNK = 1 << 20
ZIP_ENCRYPTED, ZIP_UTF8 = 0x1, 0x800  # flag bits
ZIP_MADE_ON_DOS = 0
EXTENDED_HEADERS = {
    tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE,
}  # fmt: skip


@dataclass(frozen=True)
class _Member:
    name: str
    problem: str  # why it can't be unpacked; empty if it can
    open: Callable[[], IO[bytes]]


class _Refused(Exception):
    """Not a `tarfile.ReadError`, after which tarfile would try the next compression."""


class _Header(tarfile.TarInfo):
    """A tar member's header, refused if it announces a name or attributes that would fill the memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        header = super().frombuf(buf, encoding, errors)
        if header.type in EXTENDED_HEADERS and header.size > MAX_HEADER:
            raise _Refused(f"a header of {header.size:,} bytes")
        return header


# The last line is what Python's readers raise for unexpected bytes.
DAMAGED = (
    _Refused, tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError,
    ValueError, IndexError, OverflowError, RecursionError, MemoryError, struct.error,
)  # fmt: skip


# Not tarfile's extraction filter "data", nor shutil.unpack_archive with it: of the tars in tests/hostile_archives.py it
# unpacks an absolute path (under another name), a link to another member, two different files with one path, and 1 TB
# of holes; for zip archives there is no filter.
def unpack(archive: Path, title: str, into: Path, progress: Progress) -> None:
    """Unpack a zip or a tar archive (plain, gzip, bzip2 or xz) into the folder `into`; messages call it `title`.

    A file that exists already, from this archive or another, must have the same content.

    Raises:
        UserError: `archive` is neither, is damaged or encrypted, contains a link, a device, a path outside of the
            folder or two different files with one path, or unpacks to far too much; the message names the member.
    """
    budget = MAX_RATIO * archive.stat().st_size + ALLOWANCE
    place = ""
    try:
        with progress(f"unpacking {title}", None, "file") as bar:
            for number, member in enumerate(_members(archive, title)):
                if number >= MAX_FILES:
                    raise UserError(f"{title} contains more than {MAX_FILES:,} files: split it")
                target = into / _safe(member, title)
                place = f", near the member {member.name[-80:]!r}"
                budget -= _write(member, target, budget, title)
                bar.update(1)
    except DAMAGED as error:
        reason = f"{title} is damaged or uses an unsupported format ({str(error)[:200]}{place})"
        raise UserError(f"{reason}: download it or pack it again") from error
    except OSError as error:
        reason = f"{title} can't be unpacked ({error.strerror or error}{place})"
        raise UserError(f"{reason}: free disk space, or pack it again") from error


def _members(archive: Path, title: str) -> Iterator[_Member]:
    # Tar first: a tar whose last file is a zip also ends like one.
    try:
        return _tar_members(tarfile.open(archive, tarinfo=_Header))
    except tarfile.ReadError:
        pass
    if zipfile.is_zipfile(archive):
        return _zip_members(archive)
    raise UserError(f"{title} is not a zip archive or a tar archive (plain, gz, bz2 or xz): pack it as one of these")


def _tar_members(archive: tarfile.TarFile) -> Iterator[_Member]:
    with archive as tar:
        while info := tar.next():
            # Otherwise tarfile keeps a record of every member: a gigabyte for a million photos.
            tar.members = []  # type: ignore[attr-defined]
            problem = ""
            if info.issym() or info.islnk():
                problem = "is a link; pack the files themselves (tar --dereference --hard-dereference)"
            elif not info.isfile() and not info.isdir():
                problem = "is not a file or a folder"
            if problem or info.isfile():
                # extractfile returns None only for what is not a file.
                yield _Member(info.name, problem, cast(Callable[[], IO[bytes]], partial(tar.extractfile, info)))


def _zip_members(archive: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as packed:
        for info in packed.infolist():
            problem = ""
            if stat.S_ISLNK(info.external_attr >> 16):
                problem = "is a link; pack the files themselves"
            elif info.flag_bits & ZIP_ENCRYPTED:
                problem = "is encrypted; pack it without a password"
            if problem or not info.filename.endswith("/"):  # is_dir() fails for an empty name
                yield _Member(_zip_name(info), problem, partial(packed.open, info))


def _zip_name(info: zipfile.ZipInfo) -> str:
    name = info.filename
    if not info.flag_bits & ZIP_UTF8:
        # zipfile decodes such names as code page 437, but most packers that do not set the flag write UTF-8.
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/") if info.create_system == ZIP_MADE_ON_DOS else name


def _safe(member: _Member, title: str) -> PurePosixPath:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise UserError(f"{title}: the member {member.name!r} is outside of the folder: nothing was unpacked")
    if member.problem:
        raise UserError(f"{title}: the member {member.name!r} {member.problem}")
    if "\0" in member.name:
        raise UserError(f"{title}: the member {member.name!r} has a name that no file can have: rename it")
    if len(path.parts) > MAX_DEPTH:
        raise UserError(
            f"{title}: the member {member.name[:40]!r}… is nested more than {MAX_DEPTH} folders deep: flatten them"
        )
    return path


def _write(member: _Member, target: Path, budget: int, title: str) -> int:
    """Write a member's content and return its length in bytes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with closing(member.open()) as reading, target.open("r+b" if target.exists() else "x+b") as writing:
        fresh = "x" in writing.mode
        while chunk := reading.read(CHUNK):
            written += len(chunk)
            if written > budget:
                raise UserError(f"{title} unpacks to more than {MAX_RATIO} times its size: an archive bomb, not photos")
            if fresh:
                writing.write(chunk)
            elif writing.read(len(chunk)) != chunk:
                raise _conflict(member, title)
        if not fresh and writing.read(1):
            raise _conflict(member, title)
    return written


def _conflict(member: _Member, title: str) -> UserError:
    return UserError(f"{title}: two different files have the path {member.name!r}: remove one of them")
