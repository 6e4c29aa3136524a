import io
import random
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest
from sources_drawing import photo, silent, tarred, tree, zipped

from boatyard.data.sources import archives
from boatyard.errors import UserError

CONTENTS = {"set/cat/a.png": photo(1), "set/dog/b.png": photo(2), "README": b"read me"}


def unpack(tmp_path: Path, content: bytes) -> dict[str, bytes]:
    path = tmp_path / "archive"
    path.write_bytes(content)
    (tmp_path / "into").mkdir(exist_ok=True)
    archives.unpack(path, "boats", tmp_path / "into", silent)
    return tree(tmp_path / "into")


def tar_of(*members: tarfile.TarInfo) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(b"x" * member.size))
    return content.getvalue()


def tar_member(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


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
    folder = tar_member("./set", tarfile.DIRTYPE)
    file = tarfile.TarInfo("./set/./a.png")
    file.size = 3
    assert unpack(tmp_path, tar_of(folder, file)) == {"set/a.png": b"xxx"}


def test_a_tar_whose_last_file_is_a_zip(tmp_path: Path) -> None:
    contents = {"a.png": photo(1), "inner.zip": zipped({"b.png": photo(2)})}
    assert unpack(tmp_path, tarred(contents, "")) == contents


def test_utf8_names_without_the_flag_that_says_so(tmp_path: Path) -> None:
    content = zipped({"caf??/a.png": b"x"}).replace(b"caf??", "café".encode())
    assert unpack(tmp_path, content) == {"café/a.png": b"x"}


def test_names_of_a_zip_made_on_windows(tmp_path: Path) -> None:
    assert unpack(tmp_path, zip_member("cat\\a.png", create_system=0)) == {"cat/a.png": b"x"}


@pytest.mark.parametrize("name", ["../evil.png", "set/../../evil.png", "/tmp/evil.png", ".."])
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_no_path_leaves_the_folder(tmp_path: Path, name: str, pack: object) -> None:
    with pytest.raises(UserError, match="leads out of the folder: nothing of it is taken"):
        unpack(tmp_path, pack({name: b"x"}))  # type: ignore[operator]
    assert tree(tmp_path / "into") == {}
    assert not (tmp_path / "evil.png").exists()


def test_no_windows_path_leaves_the_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="leads out of the folder"):
        unpack(tmp_path, zip_member("..\\evil.png", create_system=0))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (tar_of(tar_member("cat", tarfile.SYMTYPE, "/etc")), "the member 'cat' is a link"),
        (tar_of(tar_member("a.png", tarfile.LNKTYPE, "/etc/passwd")), "the member 'a.png' is a link"),
        (tar_of(tar_member("tty", tarfile.CHRTYPE)), "the member 'tty' is neither a file nor a folder"),
        (tar_of(tar_member("pipe", tarfile.FIFOTYPE)), "the member 'pipe' is neither a file nor a folder"),
        (zip_member("cat", external_attr=(stat.S_IFLNK | 0o777) << 16), "the member 'cat' is a link"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(600), "is no zip and no tar archive"),
        (photo(1), "is no zip and no tar archive"),
        (b"", "is no zip and no tar archive"),
    ],
)
def test_what_is_not_unpacked(tmp_path: Path, content: bytes, problem: str) -> None:
    with pytest.raises(UserError) as caught:
        unpack(tmp_path, content)
    assert problem in str(caught.value)
    assert str(caught.value).startswith("boats")
    assert tree(tmp_path / "into") == {}


def test_an_encrypted_zip(tmp_path: Path) -> None:
    content = bytearray(zipped({"a.png": b"x"}))
    content[6] |= 1  # the flag, in the member's own header and in the directory at the end
    content[content.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(UserError, match=r"the member 'a\.png' is encrypted; pack it without a password"):
        unpack(tmp_path, bytes(content))


@pytest.mark.parametrize("compression", ["gz", "bz2", "xz"])
def test_a_tar_cut_short(tmp_path: Path, compression: str) -> None:
    content = tarred({"a.bin": random.Random(0).randbytes(2_000_000)}, compression)
    with pytest.raises(UserError, match=r"^boats is damaged"):
        unpack(tmp_path, content[: len(content) * 2 // 3])


def test_a_zip_with_a_changed_byte(tmp_path: Path) -> None:
    content = zipped({"a.bin": bytes(range(256))})
    changed = bytearray(content)
    changed[100] ^= 0xFF
    with pytest.raises(UserError, match=r"^boats is damaged"):
        unpack(tmp_path, bytes(changed))


def test_a_file_twice(tmp_path: Path) -> None:
    first, second = tarfile.TarInfo("a.png"), tarfile.TarInfo("a.png")
    first.size = second.size = 5
    assert unpack(tmp_path, tar_of(first, second)) == {"a.png": b"xxxxx"}
    for size in (4, 6):
        second.size = size
        with pytest.raises(UserError, match=r"two different files at one path, 'a\.png'"):
            unpack(tmp_path, tar_of(first, second))


def test_a_file_where_a_folder_is(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^boats can't be unpacked"):
        unpack(tmp_path, zipped({"cat": b"x", "cat/a.png": b"x"}))


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_a_bomb_is_stopped_by_what_it_unpacks_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: object) -> None:
    monkeypatch.setattr(archives, "ALLOWANCE", 1 << 20)
    monkeypatch.setattr(archives, "CHUNK", 1 << 16)
    content = pack({f"{number}.bin": bytes(1 << 20) for number in range(8)})  # type: ignore[operator]
    assert len(content) < 20_000
    with pytest.raises(UserError, match=r"^boats unpacks to more than 200 times its size: an archive bomb"):
        unpack(tmp_path, content)
    written = sum(path.stat().st_size for path in (tmp_path / "into").iterdir())
    assert written <= 200 * len(content) + (1 << 20)


def test_too_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MOST_FILES", 2)
    with pytest.raises(UserError, match=r"^boats holds more than 2 files"):
        unpack(tmp_path, zipped(CONTENTS))
