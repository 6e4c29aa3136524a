"""Archives that are hostile or damaged and how download handles them: the rows of docs/robustness.md."""

import gzip
import io
import random
import stat
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from sources_drawing import photo, tarred, zipped

# The content of a sound archive, and a photo to add to it.
SOUND = {f"{label}/{number}.png": photo(10 * place + number) for place, label in enumerate("ab") for number in range(4)}
OTHER = photo(999)


@dataclass(frozen=True)
class Case:
    """A kind of archive, always named photos.zip.

    Attributes:
        what: its name on the page.
        make: archives of that kind.
        message: the one line of download if it stops; '…' is any text.
        result: on the page, if download does not stop.
        raw: what data/raw contains in addition to the sound photos.
    """

    what: str
    make: Callable[[], list[bytes]]
    message: str = ""
    result: str = ""
    raw: Mapping[str, bytes] = field(default_factory=dict)


def tar_of(*members: tuple[tarfile.TarInfo, bytes], compression: str = "") -> bytes:
    """A tar archive of the sound photos and these members."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode=f"w:{compression}") as archive:
        for name, data in SOUND.items():
            archive.addfile(sized(tarfile.TarInfo(name), data), io.BytesIO(data))
        for member, data in members:
            archive.addfile(sized(member, data), io.BytesIO(data))
    return content.getvalue()


def sized(member: tarfile.TarInfo, data: bytes) -> tarfile.TarInfo:
    member.size = len(data)
    return member


def tar_member(name: str, kind: bytes = tarfile.REGTYPE, **attributes: object) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.type = kind
    for attribute, value in attributes.items():
        setattr(member, attribute, value)
    return member, OTHER if kind == tarfile.REGTYPE else b""


def zip_of(*members: tuple[zipfile.ZipInfo, bytes]) -> bytes:
    """A zip archive of the sound photos and these members."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in SOUND.items():
            archive.writestr(name, data)
        for member, data in members:
            archive.writestr(member, data, zipfile.ZIP_DEFLATED)
    return content.getvalue()


def zip_member(name: str, **attributes: int) -> tuple[zipfile.ZipInfo, bytes]:
    member = zipfile.ZipInfo(name)
    for attribute, value in attributes.items():
        setattr(member, attribute, value)
    return member, OTHER


def both(name: str) -> list[bytes]:
    """A zip and a tar with a member of this name."""
    return [zip_of(zip_member(name)), tar_of(tar_member(name))]


def encrypted() -> bytes:
    content = bytearray(zipped(SOUND))
    content[6] |= 1  # the flag, in the first member's own header and in the central directory
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def truncated() -> Iterator[bytes]:
    large = SOUND | {"a/large.png": random.Random(0).randbytes(200_000)}
    for content in (zipped(large), *(tarred(large, kind) for kind in ("", "gz", "bz2", "xz"))):
        yield from (content[: len(content) * tenth // 10] for tenth in (2, 9))


def changed_byte() -> bytes:
    content = bytearray(zipped({"a/0.png": bytes(range(256))} | SOUND))
    content[100] ^= 0xFF
    return bytes(content)


def zeros() -> bytes:
    """A zip of 200 MB of zeros."""
    return zip_of((zipfile.ZipInfo("a/zeros.png"), bytes(200_000_000)))


def sparse() -> bytes:
    """A tar with a sparse file of 1 TB without data."""
    member, _ = tar_member("a/holes.png")
    member.pax_headers = {
        "GNU.sparse.major": "0",
        "GNU.sparse.minor": "1",
        "GNU.sparse.size": str(1 << 40),
        "GNU.sparse.map": f"{1 << 40},0",
    }
    return tar_of((member, b""))


def malformed_numbers() -> list[bytes]:
    """Tars with malformed maps of sparse files; found by fuzzing, like the next one."""
    contents = []
    for numbers in ("4x,0", "1,2,3", ""):
        member, _ = tar_member("a/holes.png")
        member.pax_headers = {"GNU.sparse.size": "10", "GNU.sparse.map": numbers, "GNU.sparse.realsize": "1o"}
        contents.append(tar_of((member, b"")))
    return contents


def without_a_name() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(zipfile.ZipInfo("x"), OTHER)
    changed = bytearray(content.getvalue())
    start = changed.index(b"PK\x01\x02")
    del (
        changed[start + 46],
        changed[30],
    )  # the name, in the directory and in the member's header; its lengths
    changed[start + 27 : start + 29] = changed[26:28] = b"\0\0"
    end = changed.index(b"PK\x05\x06")
    changed[end + 12 : end + 20] = struct.pack("<II", end - start + 1, start - 1)
    return bytes(changed)


def endless_header(kind: bytes) -> bytes:
    """A tar.gz that announces a name or attributes of 2 GB."""
    member = tarfile.TarInfo("a/1.png")
    member.type, member.size = kind, 2 << 30
    return gzip.compress(member.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20))


def header_upon_header() -> bytes:
    member = tarfile.TarInfo("a/1.png")
    member.type, member.size = tarfile.GNUTYPE_LONGNAME, 512
    return (member.tobuf(tarfile.GNU_FORMAT) + b"x" * 512) * 2000


def not_utf8_zip() -> bytes:
    return zip_of(zip_member("a/caf\u00e9.png")).replace("caf\u00e9".encode(), b"caf\xff\xff")


def duplicate(first: bytes, second: bytes) -> list[bytes]:
    zips, tars = io.BytesIO(zip_of()), io.BytesIO(tar_of())
    with zipfile.ZipFile(zips, "a") as archive, tarfile.open(fileobj=tars, mode="a") as tar, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile's, of the second name
        for data in (first, second):
            archive.writestr(zipfile.ZipInfo("a/twice.png"), data)
            tar.addfile(sized(tarfile.TarInfo("a/twice.png"), data), io.BytesIO(data))
    return [zips.getvalue(), tars.getvalue()]


INNER = zipped(SOUND)
OUT = "photos.zip: the member '{}' is outside of the folder: nothing was unpacked"
LINK = "photos.zip: the member 'a/link.png' is a link; pack the files themselves…"
NEITHER = "photos.zip: the member 'a/tty.png' is not a file or a folder"
DAMAGED = "photos.zip is damaged or uses an unsupported format (…): download it or pack it again"
NOT_AN_ARCHIVE = "photos.zip is not a zip archive or a tar archive (plain, gz, bz2 or xz): pack it as one of these"
BOMB = "photos.zip unpacks to more than 200 times its size: an archive bomb, not photos"

CASES = [
    Case("`..` in a member's name", lambda: both("a/../../evil.png"), OUT.format("a/../../evil.png")),
    Case("an absolute path", lambda: both("/etc/evil.png"), OUT.format("/etc/evil.png")),
    Case(
        "`..` with Windows' backslashes",
        lambda: [zip_of(zip_member("..\\evil.png", create_system=0))],
        OUT.format("../evil.png"),
    ),
    Case(
        "a link, symbolic or hard, to anything",
        lambda: [
            zip_of(zip_member("a/link.png", external_attr=(stat.S_IFLNK | 0o777) << 16)),
            *(
                tar_of(tar_member("a/link.png", kind, linkname=target))
                for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE)
                for target in ("/etc/passwd", "0.png")
            ),
        ],
        LINK,
    ),
    Case(
        "a link to a folder, and a member below it",
        lambda: [tar_of(tar_member("a/link.png", tarfile.SYMTYPE, linkname="/etc"), tar_member("a/link.png/evil.png"))],
        LINK,
    ),
    Case(
        "a device, a pipe",
        lambda: [
            tar_of(tar_member("a/tty.png", kind, devmajor=5))
            for kind in (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)
        ],
        NEITHER,
    ),
    Case("200 MB of zeros in a zip of 0.2 MB", lambda: [zeros()], BOMB),
    Case("a sparse file of 1 TB in a tar of 10 KB", lambda: [sparse()], BOMB),
    Case(
        "an archive in the archive",
        lambda: [zipped(SOUND | {"a/inner.zip": INNER})],
        result="not unpacked: a file that is not a photo",
        raw={"a/inner.zip": INNER},
    ),
    Case(
        "a name or attributes of 2 GB, which tar readers load into memory",
        lambda: [endless_header(kind) for kind in (tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE)],
        "photos.zip is damaged or uses an unsupported format (a header of 2,147,483,648 bytes): …",
    ),
    Case("a tar with numbers that are not numbers", malformed_numbers, DAMAGED),
    Case("a zip with an empty name", lambda: [without_a_name()], OUT.format("")),
    Case("thousands of headers without a member", lambda: [header_upon_header()], DAMAGED),
    Case(
        "two different files with one name",
        lambda: duplicate(OTHER, photo(998)),
        "photos.zip: two different files have the path 'a/twice.png': remove one of them",
    ),
    Case(
        "the same file twice",
        lambda: duplicate(OTHER, OTHER),
        result="one file",
        raw={"a/twice.png": OTHER},
    ),
    Case(
        "a file where a folder is",
        lambda: both("a/0.png/evil.png"),
        "photos.zip can't be unpacked (…): free disk …",
    ),
    Case("truncated", lambda: list(truncated()), "photos.zip is …"),
    Case("a changed byte", lambda: [changed_byte()], DAMAGED),
    Case(
        "encrypted",
        lambda: [encrypted()],
        "photos.zip: the member 'a/0.png' is encrypted; pack it without a password",
    ),
    Case(
        "another kind: 7z, rar, a single compressed file, a photo, a web page, nothing",
        lambda: [
            b"7z\xbc\xaf\x27\x1c" + bytes(600),
            b"Rar!\x1a\7\1\0" + bytes(600),
            gzip.compress(OTHER),
            OTHER,
            b"<!DOCTYPE html><title>Log in</title>",
            b"",
        ],
        NOT_AN_ARCHIVE,
    ),
    Case("a zip's name that is flagged as UTF-8 and is not", lambda: [not_utf8_zip()], DAMAGED),
    Case(
        "a tar's name that is not UTF-8",
        lambda: [tar_of(tar_member("a/caf\udce9.png"))],
        "photos.zip: the file name a/caf\\udce9.png is not UTF-8: rename the file",
    ),
    Case(
        "a name with a zero byte",
        lambda: [tar_of(tar_member("", pax_headers={"path": "a/1\0.png"}))],
        "photos.zip: the member 'a/1\\x00.png' has a name that no file can have: rename it",
    ),
    Case(
        "a name of more than 255 bytes",
        lambda: both("a/" + "x" * 256),
        "photos.zip can't be unpacked (File name too long, near the member '…x'): free disk space, or pack it again",
    ),
    Case(
        "folders nested more than 100 deep",
        lambda: both("a/" + "d/" * 1000 + "1.png"),
        "photos.zip: the member 'a/d/d/d/…'… is nested more than 100 folders deep: flatten them",
    ),
    Case(
        "names with spaces, quotes, newlines, letters beyond ASCII",
        lambda: both('a/it\'s "one"\n größe 船.png'),
        result="kept under its name",
        raw={'a/it\'s "one"\n größe 船.png': OTHER},
    ),
    Case(
        "set-user-id and execute permissions",
        lambda: [tar_of(tar_member("a/1.sh", mode=0o6777)), zip_of(zip_member("a/1.sh", external_attr=0o106777 << 16))],
        result="kept, without these permissions",
        raw={"a/1.sh": OTHER},
    ),
    Case(
        "hidden files, `__MACOSX`",
        lambda: [zipped(SOUND | {"a/._0.png": OTHER, "__MACOSX/a/0.png": OTHER, ".git/config": b"x"})],
        result="ignored: neither copied nor counted",
    ),
]
