"""The store of embeddings: what a killed process leaves behind costs its last rows, and never gives a wrong one."""

from pathlib import Path

import numpy as np
import pytest

from boatyard.core.errors import UserError
from boatyard.features.store import FeatureStore, Rows

WIDTH = 3


def row(number: int) -> Rows:
    """The row that belongs to key `k<number>`."""
    return np.array([number, number + 0.25, -number], np.float32)


def fill(folder: Path, numbers: range) -> FeatureStore:
    store = FeatureStore(folder, WIDTH)
    for number in numbers:
        store.add([f"k{number}"], row(number)[None])
    return store


def assert_right(store: FeatureStore, numbers: range) -> None:
    """Exactly these rows are there, each under its key."""
    assert [number for number in range(100) if f"k{number}" in store] == list(numbers)
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
        with pytest.raises(KeyError):
            opened.read(["k1", "k2"])


def test_the_files(tmp_path: Path) -> None:
    fill(tmp_path, range(2))
    assert (tmp_path / "keys3.0.txt").read_bytes() == b"k0\nk1\n"
    assert (tmp_path / "rows3.0.f32").read_bytes() == np.array([0, 0.25, 0, 1, 1.25, -1], "<f4").tobytes()


def test_a_process_killed_while_writing_rows(tmp_path: Path) -> None:
    # Every length that the last row can be cut at; its key is not yet written.
    for cut in range(4 * WIDTH + 1):
        folder = tmp_path / str(cut)
        fill(folder, range(3))
        with (folder / "rows3.0.f32").open("ab") as file:
            file.write(row(77).tobytes()[:cut])
        assert_right(FeatureStore(folder, WIDTH), range(3))
        assert_right(fill(folder, range(3, 5)), range(5))
        assert_right(FeatureStore(folder, WIDTH), range(5))


def test_a_process_killed_while_writing_keys(tmp_path: Path) -> None:
    # Every length that the keys of a batch of two can be cut at; both rows are on the disk.
    keys = b"k3\nk4\n"
    for cut in range(len(keys) + 1):
        folder = tmp_path / str(cut)
        fill(folder, range(3))
        with (folder / "rows3.0.f32").open("ab") as file:
            file.write(np.stack([row(3), row(4)]).tobytes())
        with (folder / "keys3.0.txt").open("ab") as file:
            file.write(keys[:cut])
        whole = 3 + cut // 3
        assert_right(FeatureStore(folder, WIDTH), range(whole))
        assert_right(fill(folder, range(whole, 6)), range(6))
        assert_right(FeatureStore(folder, WIDTH), range(6))


def test_files_cut_anywhere(tmp_path: Path) -> None:
    # What no killed process leaves, a damaged disk might: both files cut at every byte of the last record.
    for rows_cut in range(4 * WIDTH + 1):
        for keys_cut in range(4):
            folder = tmp_path / f"{rows_cut} {keys_cut}"
            fill(folder, range(3))
            for name, cut in [("rows3.0.f32", rows_cut), ("keys3.0.txt", keys_cut)]:
                content = (folder / name).read_bytes()
                (folder / name).write_bytes(content[: len(content) - cut])
            whole = 3 if rows_cut == keys_cut == 0 else 2
            assert_right(FeatureStore(folder, WIDTH), range(whole))
            # Other rows follow than the ones lost, and a second process is killed before their keys are written.
            store = FeatureStore(folder, WIDTH)
            keys = (folder / "keys3.0.txt").read_bytes()
            store.add(["k50"], row(50)[None])
            (folder / "keys3.0.txt").write_bytes(keys[: 3 * whole])
            assert_right(FeatureStore(folder, WIDTH), range(whole))


def test_a_key_without_its_row_is_gone_before_the_next_row_takes_its_place(
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


@pytest.mark.parametrize("write", [1, 2], ids=["rows", "keys"])
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
    """Let the `count`-th write fail once its bytes are in the file."""
    left = [count]

    def fsync(_: int) -> None:
        left[0] -= 1
        if not left[0]:
            raise error

    patch.setattr("boatyard.features.store.os.fsync", fsync)


def test_several_writers_have_a_part_each_and_read_all(tmp_path: Path) -> None:
    first, second = FeatureStore(tmp_path, WIDTH), FeatureStore(tmp_path, WIDTH)
    for store, numbers in [(first, (0, 2)), (second, (1,)), (first, (3,))]:
        store.add([f"k{number}" for number in numbers], np.stack([row(number) for number in numbers]))
    assert_right(FeatureStore(tmp_path, WIDTH), range(4))
    for store in (first, second):
        store.reopen()
        assert_right(store, range(4))
    assert sorted(path.name for path in tmp_path.glob("keys*")) == ["keys3.0.txt", "keys3.1.txt"]

    # Who comes when they have gone goes on with the first.
    del first, second, store
    assert_right(fill(tmp_path, range(4, 6)), range(6))
    assert (tmp_path / "keys3.0.txt").read_bytes() == b"k0\nk2\nk3\nk4\nk5\n"
    assert (tmp_path / "keys3.1.txt").read_bytes() == b"k1\n"


def test_two_widths_in_one_folder_do_not_meet(tmp_path: Path) -> None:
    fill(tmp_path, range(4))
    wider = FeatureStore(tmp_path, 5)
    assert "k0" not in wider
    wider.add(["k0"], np.full((1, 5), 8, np.float32))
    assert_right(FeatureStore(tmp_path, WIDTH), range(4))
    assert FeatureStore(tmp_path, 5).read(["k0"]).tolist() == [[8] * 5]
