"""Archives unpacked safely: plain files only, none outside of the folder, no more than an honest archive holds."""

import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Self

from boatyard.core.errors import UserError
from boatyard.sources.base import Progress
from boatyard.sources.walk import MOST_LEVELS

MOST_FILES = 3_000_000
# Photos hardly shrink in an archive. An archive bomb's zeros do, up to a thousandfold under Deflate.
MOST_GROWTH = 200
ALLOWANCE = 100 << 20  # bytes, for a small archive of drawings or tables
MOST_HEADER = 1 << 20  # bytes of a name or of attributes in a tar, which tarfile reads at once

CHUNK = 1 << 20
ZIP_ENCRYPTED, ZIP_UTF8 = 0x1, 0x800  # flag bits
ZIP_MADE_ON_DOS = 0
BEFORE_A_MEMBER = {
    tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE,
}  # fmt: skip


@dataclass(frozen=True)
class _Member:
    name: str
    problem: str  # why it is not a plain file that can be read; "" if it is
    open: Callable[[], IO[bytes]]


class _Refused(Exception):
    """What an archive must not hold. No `tarfile.ReadError`: after that, tarfile tries the next compression."""


class _Header(tarfile.TarInfo):
    """A tar member's header, refused if a name or attributes follow that would fill the memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        header = super().frombuf(buf, encoding, errors)
        if header.type in BEFORE_A_MEMBER and header.size > MOST_HEADER:
            raise _Refused(f"a header of {header.size:,} bytes")
        return header


# The last line is what Python's readers raise for bytes that they did not expect.
DAMAGED = (
    _Refused, tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError,
    ValueError, IndexError, OverflowError, RecursionError, MemoryError, struct.error,
)  # fmt: skip


def unpack(archive: Path, shown: str, into: Path, progress: Progress) -> None:
    """Unpack a zip or a tar archive (plain, gzip, bzip2 or xz) into the folder `into`.

    A file that is there already, from this archive or another, must have the same content.

    Raises:
        UserError: `archive` is neither, is damaged or encrypted, holds a link or a device, a path out of the folder,
            two different files at one path, or far more than its size allows; the message names the member.
    """
    budget = MOST_GROWTH * archive.stat().st_size + ALLOWANCE
    place = ""
    try:
        with progress(f"unpacking {shown}", None, "file") as bar:
            for number, member in enumerate(_members(archive, shown)):
                if number >= MOST_FILES:
                    raise UserError(f"{shown} holds more than {MOST_FILES:,} files: too many to unpack")
                target = into / _safe(member, shown)
                place = f", near the member {member.name[-80:]!r}"
                budget -= _write(member, target, budget, shown)
                bar.update(1)
    except DAMAGED as error:
        reason = f"{shown} is damaged or packed in a way that can't be read ({str(error)[:200]}{place})"
        raise UserError(f"{reason}: fetch it or pack it again") from error
    except OSError as error:
        reason = f"{shown} can't be unpacked ({error.strerror or error}{place})"
        raise UserError(f"{reason}: free space, or pack it again") from error


def _members(archive: Path, shown: str) -> Iterator[_Member]:
    # Tar first: a tar whose last file is a zip also ends like one.
    try:
        return _tar_members(tarfile.open(archive, tarinfo=_Header))
    except tarfile.ReadError:
        pass
    if zipfile.is_zipfile(archive):
        return _zip_members(archive)
    raise UserError(f"{shown} is no zip and no tar archive (plain, gz, bz2 or xz): pack it as one of these")


def _tar_members(archive: tarfile.TarFile) -> Iterator[_Member]:
    with archive as tar:
        while info := tar.next():
            # tarfile keeps a record of every member otherwise: a gigabyte for a million photos
            tar.members = []  # type: ignore[attr-defined]
            problem = ""
            if info.issym() or info.islnk():
                problem = "is a link; pack the files themselves (tar --dereference --hard-dereference)"
            elif not info.isfile() and not info.isdir():
                problem = "is neither a file nor a folder"
            if problem or info.isfile():
                yield _Member(info.name, problem, partial(_tar_stream, tar, info))


def _tar_stream(tar: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    stream = tar.extractfile(info)
    if stream is None:
        raise tarfile.ReadError(f"{info.name} has no content")
    return stream


def _zip_members(archive: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as packed:
        for info in packed.infolist():
            problem = ""
            if stat.S_ISLNK(info.external_attr >> 16):
                problem = "is a link; pack the files themselves"
            elif info.flag_bits & ZIP_ENCRYPTED:
                problem = "is encrypted; pack it without a password"
            if problem or not info.filename.endswith("/"):  # is_dir() fails at a name of no bytes
                yield _Member(_zip_name(info), problem, partial(packed.open, info))


def _zip_name(info: zipfile.ZipInfo) -> str:
    name = info.filename
    if not info.flag_bits & ZIP_UTF8:
        # Read as the DOS code page, but most packers that do not set the flag write UTF-8 all the same.
        try:
            name = name.encode("cp437").decode("utf-8")
        except UnicodeError:
            name = info.filename
    return name.replace("\\", "/") if info.create_system == ZIP_MADE_ON_DOS else name


def _safe(member: _Member, shown: str) -> PurePosixPath:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise UserError(f"{shown}: the member {member.name!r} leads out of the folder: nothing of it is taken")
    if member.problem:
        raise UserError(f"{shown}: the member {member.name!r} {member.problem}")
    if "\0" in member.name:
        raise UserError(f"{shown}: the member {member.name!r} has a name that no file can have: pack it under another")
    if len(path.parts) > MOST_LEVELS:
        raise UserError(
            f"{shown}: the member {member.name[:40]!r}… lies in more than {MOST_LEVELS} folders: flatten them"
        )
    return path


def _write(member: _Member, target: Path, budget: int, shown: str) -> int:
    """Write a member's content, and return its length in bytes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with closing(member.open()) as reading, target.open("r+b" if target.exists() else "x+b") as writing:
        fresh = "x" in writing.mode
        while chunk := reading.read(CHUNK):
            written += len(chunk)
            if written > budget:
                raise UserError(
                    f"{shown} unpacks to more than {MOST_GROWTH} times its size: an archive bomb, not photos"
                )
            if fresh:
                writing.write(chunk)
            elif writing.read(len(chunk)) != chunk:
                raise _twice(member, shown)
        if not fresh and writing.read(1):
            raise _twice(member, shown)
    return written


def _twice(member: _Member, shown: str) -> UserError:
    return UserError(f"{shown}: two different files at one path, {member.name!r}: pack it without the second")
