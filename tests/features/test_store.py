"""The store of embeddings: killed processes and damaged files lose embeddings, and never return a wrong one."""

from pathlib import Path

import numpy as np
import pytest

from boatyard.core.errors import UserError
from boatyard.features.store import DamagedRows, FeatureStore, Rows

WIDTH = 3
RECORD = 24  # bytes of the index for each row


def row(number: int) -> Rows:
    """The row of key `k<number>`."""
    return np.array([number, number + 0.25, -number], np.float32)


def fill(folder: Path, numbers: range) -> FeatureStore:
    store = FeatureStore(folder, WIDTH)
    for number in numbers:
        store.add([f"k{number}"], row(number)[None])
    return store


def present(store: FeatureStore) -> list[int]:
    return [number for number in range(100) if f"k{number}" in store]


def assert_right(store: FeatureStore, numbers: range) -> None:
    """The store has exactly these rows, each under its key."""
    assert present(store) == list(numbers)
    expected = np.array([row(number) for number in numbers], np.float32).reshape(-1, WIDTH)
    assert np.array_equal(store.read(f"k{number}" for number in numbers), expected)


def test_rows_come_back_in_the_order_asked_for(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, WIDTH)
    store.add(["k5", "k1"], np.stack([row(5), row(1)]))
    store.add(["k9"], row(9)[None])
    for opened in (store, FeatureStore(tmp_path, WIDTH)):
        rows = opened.read(["k9", "k5", "k9"])
        assert rows.dtype == np.float32
        assert rows.tolist() == [[9, 9.25, -9], [5, 5.25, -5], [9, 9.25, -9]]
        assert opened.read([]).shape == (0, WIDTH)
        with pytest.raises(KeyError, match="k2"):
            opened.read(["k1", "k2"])


def test_the_files(tmp_path: Path) -> None:
    fill(tmp_path, range(2))
    assert (tmp_path / "rows3.0.f32").read_bytes() == np.array([0, 0.25, 0, 1, 1.25, -1], "<f4").tobytes()
    assert len((tmp_path / "index3.0.bin").read_bytes()) == 2 * RECORD


def test_a_process_killed_while_writing_rows(tmp_path: Path) -> None:
    # Every length that the last row can be cut at; its record is not yet written.
    for cut in range(4 * WIDTH + 1):
        folder = tmp_path / str(cut)
        fill(folder, range(3))
        with (folder / "rows3.0.f32").open("ab") as file:
            file.write(row(77).tobytes()[:cut])
        assert_right(FeatureStore(folder, WIDTH, report=pytest.fail), range(3))
        assert_right(fill(folder, range(3, 5)), range(5))
        assert_right(FeatureStore(folder, WIDTH, report=pytest.fail), range(5))


def test_a_process_killed_while_writing_the_index(tmp_path: Path) -> None:
    # Every length that the records of a batch of two can be cut at; both rows are on the disk.
    fill(tmp_path / "whole", range(5))
    records = (tmp_path / "whole/index3.0.bin").read_bytes()[3 * RECORD :]
    for cut in range(len(records) + 1):
        folder = tmp_path / str(cut)
        fill(folder, range(3))
        with (folder / "rows3.0.f32").open("ab") as file:
            file.write(np.stack([row(3), row(4)]).tobytes())
        with (folder / "index3.0.bin").open("ab") as file:
            file.write(records[:cut])
        whole = 3 + cut // RECORD
        assert_right(FeatureStore(folder, WIDTH, report=pytest.fail), range(whole))
        assert_right(fill(folder, range(whole, 6)), range(6))
        assert_right(FeatureStore(folder, WIDTH, report=pytest.fail), range(6))


def test_files_cut_anywhere(tmp_path: Path) -> None:
    # No killed process leaves that, but a damaged disk might: both files cut at every byte of the last record.
    for rows_cut in range(4 * WIDTH + 1):
        for index_cut in range(RECORD + 1):
            folder = tmp_path / f"{rows_cut} {index_cut}"
            fill(folder, range(3))
            for name, cut in [("rows3.0.f32", rows_cut), ("index3.0.bin", index_cut)]:
                content = (folder / name).read_bytes()
                (folder / name).write_bytes(content[: len(content) - cut])
            whole = 3 if rows_cut == index_cut == 0 else 2
            assert_right(FeatureStore(folder, WIDTH), range(whole))
            # Another row follows than the lost one, and a second process is killed before its record is written.
            store = FeatureStore(folder, WIDTH)
            index = (folder / "index3.0.bin").read_bytes()
            store.add(["k50"], row(50)[None])
            (folder / "index3.0.bin").write_bytes(index[: RECORD * whole])
            assert_right(FeatureStore(folder, WIDTH), range(whole))


def test_a_record_without_its_row_is_gone_before_the_next_row_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, range(3))
    rows = (tmp_path / "rows3.0.f32").read_bytes()
    (tmp_path / "rows3.0.f32").write_bytes(rows[: 2 * 4 * WIDTH])
    store = FeatureStore(tmp_path, WIDTH)
    with monkeypatch.context() as patch:
        stop_at_sync(patch, 1, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            store.add(["k50"], row(50)[None])
    assert len((tmp_path / "rows3.0.f32").read_bytes()) == len(rows)
    assert_right(FeatureStore(tmp_path, WIDTH), range(2))


@pytest.mark.parametrize("write", [1, 2], ids=["rows", "index"])
def test_a_disk_that_was_full_for_a_while(write: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = fill(tmp_path, range(2))
    with monkeypatch.context() as patch:
        stop_at_sync(patch, write, OSError(28, "No space left on device"))
        with pytest.raises(UserError, match=r"can't be written \(No space left on device\)"):
            store.add(["k70", "k71"], np.stack([row(70), row(71)]))
    store.add(["k2"], row(2)[None])
    assert_right(store, range(3))
    assert_right(FeatureStore(tmp_path, WIDTH), range(3))


def stop_at_sync(patch: pytest.MonkeyPatch, count: int, error: BaseException) -> None:
    """Let the `count`-th write fail after its bytes are in the file."""
    left = [count]

    def fsync(_: int) -> None:
        left[0] -= 1
        if not left[0]:
            raise error

    patch.setattr("boatyard.features.store.os.fsync", fsync)


def flip(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


@pytest.mark.parametrize(("name", "size"), [("rows3.0.f32", 3 * 4 * WIDTH), ("index3.0.bin", 3 * RECORD)])
def test_any_flipped_bit_is_reported_once_and_costs_one_row(name: str, size: int, tmp_path: Path) -> None:
    keys = [f"k{number}" for number in range(3)]
    fill(tmp_path, range(3))
    original = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for bit in range(8 * size):
        for file, content in original.items():
            (tmp_path / file).write_bytes(content)
        flip(tmp_path / name, bit)
        lost = bit // (8 * size // 3)
        reports: list[str] = []

        store = FeatureStore(tmp_path, WIDTH, report=reports.append)
        with pytest.raises(DamagedRows if name.startswith("rows") else KeyError):
            store.read(keys)

        assert present(store) == [number for number in range(3) if number != lost]
        (report,) = reports
        assert report.startswith(f"{tmp_path / name} is damaged (a checksum does not match): the lost embeddings")
        store.add([keys[lost]], row(lost)[None])
        assert_right(store, range(3))
        assert_right(FeatureStore(tmp_path, WIDTH, report=pytest.fail), range(3))
        del store  # and its lock


def test_zeros_in_place_of_records_are_damage(tmp_path: Path) -> None:
    """File systems leave blocks of zeros after a crash."""
    fill(tmp_path, range(3))
    index = tmp_path / "index3.0.bin"
    index.write_bytes(index.read_bytes()[:RECORD] + bytes(2 * RECORD))
    reports: list[str] = []
    assert_right(FeatureStore(tmp_path, WIDTH, report=reports.append), range(1))
    assert len(reports) == 1


def test_a_damaged_row_is_read_from_another_part(tmp_path: Path) -> None:
    first, second = FeatureStore(tmp_path, WIDTH), FeatureStore(tmp_path, WIDTH)
    for store in (first, second):
        store.add(["k0"], row(0)[None])
    flip(tmp_path / "rows3.0.f32", 5)
    reports: list[str] = []
    store = FeatureStore(tmp_path, WIDTH, report=reports.append)
    assert_right(store, range(1))
    assert len(reports) == 1


@pytest.mark.parametrize("name", ["rows3.0.f32", "index3.0.bin"])
def test_only_the_first_process_reports_damage(name: str, tmp_path: Path) -> None:
    fill(tmp_path, range(3))
    flip(tmp_path / name, 1)
    other = FeatureStore(tmp_path, WIDTH, rank=1, size=2, report=pytest.fail)
    with pytest.raises((DamagedRows, KeyError)):
        other.read(["k0"])
    assert "k0" not in other
    other.add(["k0"], row(0)[None])
    assert_right(other, range(3))
    first = FeatureStore(tmp_path, WIDTH, rank=0, size=2, report=lambda _: None)
    assert_right(first, range(3))


def test_what_another_process_is_writing_is_not_taken_for_damage(tmp_path: Path) -> None:
    writing = fill(tmp_path, range(3))
    flip(tmp_path / "index3.0.bin", 1)
    before = (tmp_path / "index3.0.bin").read_bytes()
    assert present(FeatureStore(tmp_path, WIDTH, report=pytest.fail)) == [1, 2]
    assert (tmp_path / "index3.0.bin").read_bytes() == before
    del writing


def test_several_writers_have_a_part_each_and_read_all(tmp_path: Path) -> None:
    first, second = FeatureStore(tmp_path, WIDTH), FeatureStore(tmp_path, WIDTH)
    for store, numbers in [(first, (0, 2)), (second, (1,)), (first, (3,))]:
        store.add([f"k{number}" for number in numbers], np.stack([row(number) for number in numbers]))
    assert_right(FeatureStore(tmp_path, WIDTH), range(4))
    for store in (first, second):
        store.reopen()
        assert_right(store, range(4))
    assert sorted(path.name for path in tmp_path.glob("index*")) == ["index3.0.bin", "index3.1.bin"]

    # The next writer continues with the first part.
    del first, second, store
    assert_right(fill(tmp_path, range(4, 6)), range(6))
    rows = {number: np.fromfile(tmp_path / f"rows3.{number}.f32", "<f4")[::WIDTH].tolist() for number in (0, 1)}
    assert rows == {0: [0, 2, 3, 4, 5], 1: [1]}


def test_two_widths_in_one_folder_do_not_meet(tmp_path: Path) -> None:
    fill(tmp_path, range(4))
    wider = FeatureStore(tmp_path, 5)
    assert "k0" not in wider
    wider.add(["k0"], np.full((1, 5), 8, np.float32))
    assert_right(FeatureStore(tmp_path, WIDTH), range(4))
    assert FeatureStore(tmp_path, 5).read(["k0"]).tolist() == [[8] * 5]
