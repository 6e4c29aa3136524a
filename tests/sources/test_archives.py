import io
import shutil
import tarfile
import zipfile
from pathlib import Path

import hostile_archives
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import check_told, damaged, examples
from sources_drawing import photo, silent, tarred, tree, zipped

from boatyard.core.errors import UserError
from boatyard.sources import archives

CONTENTS = {"set/cat/a.png": photo(1), "set/dog/b.png": photo(2), "README": b"read me"}


def unpack(tmp_path: Path, content: bytes) -> dict[str, bytes]:
    path = tmp_path / "archive"
    path.write_bytes(content)
    (tmp_path / "into").mkdir(exist_ok=True)
    archives.unpack(path, "boats", tmp_path / "into", silent)
    return tree(tmp_path / "into")


def zip_member(name: str, **attributes: int) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        info = zipfile.ZipInfo(name)
        for attribute, value in attributes.items():
            setattr(info, attribute, value)
        archive.writestr(info, b"x")
    return content.getvalue()


@pytest.mark.parametrize("compression", ["", "gz", "bz2", "xz"])
def test_tar(tmp_path: Path, compression: str) -> None:
    assert unpack(tmp_path, tarred(CONTENTS, compression)) == CONTENTS


def test_zip(tmp_path: Path) -> None:
    assert unpack(tmp_path, zipped(CONTENTS)) == CONTENTS


def test_folders_and_dots_in_names(tmp_path: Path) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name, kind in (("./set", tarfile.DIRTYPE), ("../out", tarfile.DIRTYPE), ("./set/./a.png", tarfile.REGTYPE)):
            member = tarfile.TarInfo(name)
            member.type = kind
            archive.addfile(member)
    assert unpack(tmp_path, content.getvalue()) == {"set/a.png": b""}
    assert not (tmp_path / "out").exists()


def test_a_tar_whose_last_file_is_a_zip(tmp_path: Path) -> None:
    contents = {"a.png": photo(1), "inner.zip": zipped({"b.png": photo(2)})}
    assert unpack(tmp_path, tarred(contents, "")) == contents


def test_utf8_names_without_the_flag_that_says_so(tmp_path: Path) -> None:
    content = zipped({"caf??/a.png": b"x"}).replace(b"caf??", "café".encode())
    assert unpack(tmp_path, content) == {"café/a.png": b"x"}


def test_names_of_a_zip_made_on_windows(tmp_path: Path) -> None:
    assert unpack(tmp_path, zip_member("cat\\a.png", create_system=0)) == {"cat/a.png": b"x"}


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_an_archive_bomb_is_stopped_by_its_unpacked_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: object
) -> None:
    monkeypatch.setattr(archives, "ALLOWANCE", 1 << 20)
    monkeypatch.setattr(archives, "CHUNK", 1 << 16)
    content = pack({f"{number}.bin": bytes(1 << 20) for number in range(8)})  # type: ignore[operator]
    assert len(content) < 20_000
    with pytest.raises(UserError, match=r"^boats unpacks to more than 200 times its size: an archive bomb"):
        unpack(tmp_path, content)
    written = sum(path.stat().st_size for path in (tmp_path / "into").iterdir())
    assert written <= 200 * len(content) + (1 << 20)


def test_too_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_FILES", 2)
    with pytest.raises(UserError, match=r"^boats contains more than 2 files"):
        unpack(tmp_path, zipped(CONTENTS))


# Any bytes: files in their folder, or an error of one line.


def small_archives() -> list[bytes]:
    contents = {**CONTENTS, "größe/ü.png": photo(3), f"{'long/' * 30}a.png": photo(4)}
    tars = [tar_of(contents, kind) for kind in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)]
    zips = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w", method) as archive:
            archive.comment = b"a comment"
            for name, data in contents.items():
                with archive.open(zipfile.ZipInfo(name), "w", force_zip64=True) as member:
                    member.write(data)
        zips.append(content.getvalue())
    plain = [tarred(CONTENTS, kind) for kind in ("", "gz", "bz2", "xz")]
    return [*tars, *plain, *zips, hostile_archives.sparse(), *hostile_archives.both("../evil.png")]


def tar_of(contents: dict[str, bytes], kind: int) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=kind) as archive:
        for name, data in contents.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(data), 1.5
            archive.addfile(member, io.BytesIO(data))
    return content.getvalue()


def sealed(content: bytes) -> bytes:
    """With correct checksums in a tar's headers, so that damage is not detected by them."""
    result = bytearray(content)
    for place in range(0, len(result) - 511, 512):
        if result[place + 257 : place + 262] == b"ustar":
            result[place + 148 : place + 156] = b" " * 8
            result[place + 148 : place + 156] = b"%06o\0 " % sum(result[place : place + 512])
    return bytes(result)


@examples(300)
@given(damaged(small_archives()), st.booleans())
def test_no_bytes_escape_the_folder_or_raise_more_than_one_line(tmp_path: Path, content: bytes, seal: bool) -> None:
    folder = tmp_path / "whole"
    folder.mkdir()
    try:
        unpack(folder, sealed(content) if seal else content)
    except UserError as error:
        check_told(error, "boats")
    assert sorted(path.name for path in folder.iterdir()) == ["archive", "into"]
    assert [path.name for path in tmp_path.iterdir()] == ["whole"]
    assert not any(path.is_symlink() or not (path.is_file() or path.is_dir()) for path in folder.rglob("*"))
    shutil.rmtree(folder)
