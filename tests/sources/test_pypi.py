import tarfile
from pathlib import Path

import pytest
from sources_drawing import photo, sha256, silent, tree, wheel, write

from boatyard import sources
from boatyard.core.errors import UserError
from boatyard.params.dataset import PypiDataset, TableLayout

LAYOUT = TableLayout(
    kind="table",
    root="cells/data",
    file="labels.csv",
    delimiter="whitespace",
    header=False,
    path=0,
    label=[2, 1],
    rename={"0.0": "good", "1.0": "bad"},
)
CONTENTS = {
    "cells/__init__.py": b"raise SystemExit('nothing of the package may be run')",
    "cells/data/labels.csv": b"images/c1.png 0.0 mono\nimages/c2.png 1.0   mono\nimages/c3.png 0.0 poly\n",
    "cells/data/images/c1.png": photo(1),
    "cells/data/images/c2.png": photo(2),
    "cells/data/images/c3.png": photo(3),
}
RAW = {"mono-good/c1.png": photo(1), "mono-bad/c2.png": photo(2), "poly-good/c3.png": photo(3)}


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of distributions, as pip's only source."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def dataset(checksum: str, version: str = "1.2") -> PypiDataset:
    return PypiDataset(
        source="pypi", package="solar-cells", version=version, sha256=checksum, licence="CC BY 4.0", layout=LAYOUT
    )


def fetch(tmp_path: Path, asked: PypiDataset) -> sources.Fetched:
    return sources.fetch(asked, tmp_path / "raw", tmp_path / "downloads", tmp_path / "incoming", silent)


def test_photos_come_out_of_the_wheel_byte_for_byte(tmp_path: Path, index: Path) -> None:
    checksum = sha256(wheel(index, "solar-cells", "1.2", CONTENTS).read_bytes())
    fetched = fetch(tmp_path, dataset(checksum))
    assert tree(tmp_path / "raw") == RAW
    assert fetched == sources.Fetched(
        source="solar-cells", version="1.2", sha256=checksum, licence="CC BY 4.0", images=3, classes=3, notes=()
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["downloads", "index", "raw"]


def test_a_cached_wheel_needs_no_index(tmp_path: Path, index: Path) -> None:
    path = wheel(index, "solar-cells", "1.2", CONTENTS)
    checksum = sha256(path.read_bytes())
    fetch(tmp_path, dataset(checksum))
    path.unlink()
    fetch(tmp_path, dataset(checksum))
    assert tree(tmp_path / "raw") == RAW
    assert [path.name for path in (tmp_path / "downloads").iterdir()] == [checksum]


def test_a_damaged_cached_wheel_is_fetched_again(tmp_path: Path, index: Path) -> None:
    content = wheel(index, "solar-cells", "1.2", CONTENTS).read_bytes()
    write(tmp_path / "downloads", {sha256(content): content[:-1]})
    fetch(tmp_path, dataset(sha256(content)))
    assert tree(tmp_path / "downloads") == {sha256(content): content}


def test_the_files_of_a_killed_download_are_not_used(tmp_path: Path, index: Path) -> None:
    content = wheel(index, "solar-cells", "1.2", CONTENTS).read_bytes()
    write(tmp_path / "downloads", {f"{sha256(content)}.part/solar_cells-1.2-py3-none-any.whl": content[:100]})
    fetch(tmp_path, dataset(sha256(content)))
    assert tree(tmp_path / "downloads") == {sha256(content): content}


def test_a_wrong_checksum_is_an_error_and_raw_is_unchanged(tmp_path: Path, index: Path) -> None:
    content = wheel(index, "solar-cells", "1.2", CONTENTS).read_bytes()
    found = sha256(content)
    write(tmp_path / "raw", {"cat/old.png": photo(9)})
    with pytest.raises(
        UserError, match=f"^the wheel of solar-cells 1.2 has sha256 {found}, but dataset.sha256 is {'0' * 64}"
    ):
        fetch(tmp_path, dataset("0" * 64))
    assert tree(tmp_path / "raw") == {"cat/old.png": photo(9)}
    assert tree(tmp_path / "downloads") == {found: content}


def test_the_error_for_a_missing_version_has_pips_reason(tmp_path: Path, index: Path) -> None:
    wheel(index, "solar-cells", "1.2", CONTENTS)
    with pytest.raises(UserError, match=r"^pip can't download solar-cells==1\.3: .*from versions: 1\.2\)$"):
        fetch(tmp_path, dataset("0" * 64, version="1.3"))
    assert not (tmp_path / "raw").exists()


def test_a_source_distribution_is_never_run(tmp_path: Path, index: Path) -> None:
    witness = tmp_path / "was-run"
    write(tmp_path / "solar-cells-1.2", {"setup.py": f"open({str(witness)!r}, 'w')".encode()})
    with tarfile.open(index / "solar-cells-1.2.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "solar-cells-1.2", "solar-cells-1.2")
    with pytest.raises(UserError, match=r"^pip can't download solar-cells==1\.2: "):
        fetch(tmp_path, dataset("0" * 64))
    assert not witness.exists()
