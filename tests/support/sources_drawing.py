"""Small photos, wheels, archives and folders for the tests of the sources."""

import hashlib
import io
import tarfile
import zipfile
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

from PIL import Image


class Silence:
    def update(self, n: int, /) -> None:
        pass


def silent(description: str, total: int | None, unit: str) -> nullcontext[Silence]:
    """A progress bar that shows nothing."""
    return nullcontext(Silence())


def photo(number: int, form: str = "PNG", size: tuple[int, int] = (8, 6)) -> bytes:
    """A small photo of one colour, different for each number."""
    content = io.BytesIO()
    Image.new("RGB", size, (number % 256, number // 256, 40)).save(content, form)
    return content.getvalue()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def write(folder: Path, contents: Mapping[str, bytes]) -> Path:
    """Write files, given by their path below `folder`."""
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below `folder`: its relative path and its content."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() or path.is_symlink()
    }


def wheel(folder: Path, package: str, version: str, contents: Mapping[str, bytes]) -> Path:
    """A wheel that pip accepts, with these files."""
    name = package.replace("-", "_")
    info = f"{name}-{version}.dist-info"
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in contents.items():
            archive.writestr(member, content)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return path


def zipped(contents: Mapping[str, bytes]) -> bytes:
    """A zip archive."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, member in contents.items():
            archive.writestr(name, member)
    return content.getvalue()


def tarred(contents: Mapping[str, bytes], compression: str = "gz") -> bytes:
    """A tar archive, compressed with "gz", "bz2", "xz" or not at all ("")."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode=f"w:{compression}") as archive:
        for name, member in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(member)
            archive.addfile(info, io.BytesIO(member))
    return content.getvalue()
