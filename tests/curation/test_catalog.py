import hashlib
from collections import Counter
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inspection_cache import in_memory
from permissions import nobody
from PIL import Image
from properties import check_told, examples

from boatyard.core import tables
from boatyard.core.errors import UserError
from boatyard.core.splits import split_of
from boatyard.curation import catalog, inspections
from boatyard.curation.catalog import Photo, Rejected
from boatyard.curation.perceptual_hash import phash

REPOSITORY = Path(__file__).parents[2]


def photo(path: str, content: str = "") -> Photo:
    """A photo with the given content, or its path as the content."""
    sha256 = hashlib.sha256((content or path).encode()).hexdigest()
    return Photo(path, path.split("/")[0], 640, 480, "RGB", sha256, "0" * 64)


def several(label: str, count: int, start: int = 0) -> list[Photo]:
    return [photo(f"{label}/{number:02d}.jpg") for number in range(start, start + count)]


def paths(photos: list[Photo]) -> list[str]:
    return [entry.path for entry in photos]


def reasons(rejected: list[Rejected]) -> dict[str, str]:
    assert len({entry.path for entry in rejected}) == len(rejected)  # one reason per photo
    return {entry.path: entry.reason for entry in rejected}


BOTH = several("a", 3) + several("b", 3)

# Selecting photos


def test_photos_are_kept_sorted_by_path() -> None:
    found = several("b", 3) + several("a", 4)
    kept, rejected = catalog.select(found[::-1], 3, [], [])
    assert kept == sorted(found, key=lambda entry: entry.path)
    assert rejected == []


def test_classes_by_name() -> None:
    found = several("a", 3) + several("b", 3) + several("c", 3) + several("d", 3)
    for keep, drop, stay in [
        (["c", "a"], [], "ac"),
        ([], ["b"], "acd"),
        (["a", "b", "c"], ["d"], "abc"),
    ]:
        kept, rejected = catalog.select(found, 1, keep, drop)
        assert "".join(sorted({entry.label for entry in kept})) == stay
        assert reasons(rejected) == {entry.path: "dropped_class" for entry in found if entry.label not in stay}


def test_no_copy_of_a_photo_under_two_labels_is_kept() -> None:
    found = [*several("a", 3), *several("b", 3), photo("a/x.jpg", "X"), photo("b/y.jpg", "X")]
    kept, rejected = catalog.select(found, 3, [], [])
    assert paths(kept) == paths(several("a", 3) + several("b", 3))
    assert reasons(rejected) == {"a/x.jpg": "two_labels: also b/y.jpg", "b/y.jpg": "two_labels: also a/x.jpg"}


def test_the_reasons_of_many_copies_under_several_labels_are_short() -> None:
    copies = [photo(f"{label}/copy{number}.jpg", "X") for label in "abc" for number in range(3)]
    _, rejected = catalog.select([*several("a", 3), *several("b", 3), *copies], 3, [], [])
    assert reasons(rejected) == {
        entry.path: f"two_labels: also {'b' if entry.label == 'a' else 'a'}/copy0.jpg and 5 more" for entry in copies
    }


def test_the_first_of_copies_under_one_label_is_kept() -> None:
    found = [photo("a/z.jpg", "X"), photo("a/m.jpg", "X"), photo("a/b.jpg", "X"), *several("a", 2), *several("b", 3)]
    kept, rejected = catalog.select(found, 3, [], [])
    assert paths(kept) == ["a/00.jpg", "a/01.jpg", "a/b.jpg", *paths(several("b", 3))]
    assert reasons(rejected) == {
        "a/m.jpg": "duplicate: same bytes as a/b.jpg",
        "a/z.jpg": "duplicate: same bytes as a/b.jpg",
    }


def test_of_copies_in_several_published_splits_the_one_in_test_is_kept() -> None:
    copies = {
        "X": ["a/train__1.jpg", "a/validation__1.jpg", "a/test__1.jpg"],
        "Y": ["a/train__0.jpg", "a/validation__2.jpg"],
        "Z": ["a/test__7.jpg", "a/test__6.jpg"],
        "V": ["a/plain.jpg", "a/train__3.jpg"],
    }
    found = [photo(path, content) for content, names in copies.items() for path in names] + several("b", 3)
    kept, rejected = catalog.select(found, 3, [], [])
    assert paths(kept) == [
        "a/test__1.jpg", "a/test__6.jpg", "a/train__3.jpg", "a/validation__2.jpg", *paths(several("b", 3))
    ]  # fmt: skip
    assert reasons(rejected) == {
        "a/train__1.jpg": "duplicate: same bytes as a/test__1.jpg, a leak: the data set has it in train and in test",
        "a/validation__1.jpg": (
            "duplicate: same bytes as a/test__1.jpg, a leak: the data set has it in validation and in test"
        ),
        "a/train__0.jpg": (
            "duplicate: same bytes as a/validation__2.jpg, a leak: the data set has it in train and in validation"
        ),
        "a/test__7.jpg": "duplicate: same bytes as a/test__6.jpg",
        "a/plain.jpg": "duplicate: same bytes as a/train__3.jpg",
    }
    assert catalog.count_leaks(found) == 2
    two_labels = [photo("b/test__1.jpg", "W"), photo("c/train__1.jpg", "W")]
    assert catalog.count_leaks([*found, *two_labels]) == 3
    assert catalog.count_leaks([Rejected("a/test__1.jpg", "a", "unreadable: empty file"), *several("a", 3)]) == 0


def test_a_copy_in_a_dropped_class_is_not_a_second_label() -> None:
    found = [*several("a", 3), *several("b", 3), *several("c", 1), photo("a/x.jpg", "X"), photo("c/y.jpg", "X")]
    kept, rejected = catalog.select(found, 1, [], ["c"])
    assert "a/x.jpg" in paths(kept)
    assert reasons(rejected) == {"c/00.jpg": "dropped_class", "c/y.jpg": "dropped_class"}


def test_rare_classes_are_rejected_last() -> None:
    # c has five files: one can't be read, one is a copy, one is also in a. Two are left; a has three.
    broken = Rejected("c/broken.jpg", "c", "unreadable: empty file")
    found = [
        *several("a", 3),
        photo("a/both.jpg", "X"),
        *several("b", 3),
        *several("c", 2),
        photo("c/copy.jpg", "c/00.jpg"),
        photo("c/also.jpg", "X"),
        broken,
    ]
    kept, rejected = catalog.select(found, 3, [], [])
    assert paths(kept) == paths(several("a", 3) + several("b", 3))
    assert reasons(rejected) == {
        "c/broken.jpg": "unreadable: empty file",
        "a/both.jpg": "two_labels: also c/also.jpg",
        "c/also.jpg": "two_labels: also a/both.jpg",
        "c/copy.jpg": "duplicate: same bytes as c/00.jpg",
        "c/00.jpg": "rare_class: 2 photos, filter.min_images is 3",
        "c/01.jpg": "rare_class: 2 photos, filter.min_images is 3",
    }
    assert catalog.reason_counts(rejected) == {
        "unreadable": 1,
        "dropped_class": 0,
        "two_labels": 2,
        "duplicate": 1,
        "rare_class": 2,
    }


def test_a_class_with_exactly_min_images_is_kept() -> None:
    kept, _ = catalog.select(several("a", 5) + several("b", 4), 4, [], [])
    assert len(kept) == 9


# Paths and contents: most contents are in one class, some in several; an empty one can't be read.
FOUND = st.lists(
    st.builds(
        lambda label, split, number, content: (
            f"{label}/{split}{number}.jpg",
            "" if content == 0 else f"{content} of any" if content > 16 else f"{content} of {label}",
        ),
        st.sampled_from("abc"),
        st.sampled_from(["", "train__", "validation__", "test__"]),
        st.integers(0, 30),
        st.integers(0, 20),
    ),
    unique_by=lambda drawn: drawn[0],
    max_size=60,
)


@examples(150)
@given(FOUND, st.integers(1, 4), st.sets(st.sampled_from("abc"), max_size=1), st.randoms(use_true_random=False))
def test_every_photo_is_kept_or_has_a_reason(
    drawn: list[tuple[str, str]], min_images: int, drop: set[str], order: Random
) -> None:
    found: list[Photo | Rejected] = [
        photo(path, f"content {content}") if content else Rejected(path, path[0], "unreadable: empty file")
        for path, content in drawn
    ]
    drop &= {entry.label for entry in found}
    try:
        kept, rejected = catalog.select(found, min_images, [], sorted(drop))
    except UserError as error:
        check_told(error)
        return
    assert sorted([*paths(kept), *reasons(rejected)]) == sorted(path for path, _ in drawn)
    assert sum(catalog.reason_counts(rejected).values()) == len(rejected)
    assert paths(kept) == sorted(paths(kept))
    assert len({entry.sha256 for entry in kept}) == len(kept)
    counts = Counter(entry.label for entry in kept)
    assert len(counts) >= 2
    assert min(counts.values()) >= max(min_images, catalog.SMALLEST_CLASS)
    assert not drop & set(counts)
    # Of the same content in several splits, the copy in test is kept.
    order_of = {"test": 0, "validation": 1, "train": 2, "": 3}
    first: dict[str, int] = {}
    for entry in found:
        if isinstance(entry, Photo) and entry.label not in drop:
            place = order_of[split_of(Path(entry.path).name)]
            first[entry.sha256] = min(place, first.get(entry.sha256, place))
    assert all(order_of[split_of(Path(entry.path).name)] == first[entry.sha256] for entry in kept)
    shuffled = list(found)
    order.shuffle(shuffled)
    assert catalog.select(shuffled, min_images, [], sorted(drop))[0] == kept


@pytest.mark.parametrize(
    ("found", "min_images", "keep", "drop", "message"),
    [
        (BOTH, 1, ["a", "x"], [], "filter.keep: there is no class 'x'; the classes are a, b"),
        (BOTH, 1, [], ["A"], "filter.drop: there is no class 'A'; the classes are a, b"),
        ([], 1, ["a"], [], "filter.keep: there is no class 'a'; the classes are none"),
        (
            several("a", 3) + several("b", 4),
            4,
            [],
            [],
            "1 class left, but at least two are needed; lower filter.min_images (4), or change filter.keep and "
            "filter.drop (photos per class: b 4, a 3)",
        ),
        (
            several("a", 3) + several("b", 4),
            1,
            [],
            ["b"],
            "1 class left, but at least two are needed; lower filter.min_images (1), or change filter.keep and "
            "filter.drop (photos per class: a 3)",
        ),
        (
            [],
            1,
            [],
            [],
            "0 classes left, but at least two are needed; lower filter.min_images (1), or change filter.keep and "
            "filter.drop (photos per class: none)",
        ),
        (
            [Rejected(f"{label}/1.heic", label, "unreadable: not a photo in a known format") for label in "ab"],
            1,
            [],
            [],
            "0 classes left, but at least two are needed; lower filter.min_images (1), or change filter.keep and "
            "filter.drop (photos per class: none; 2 can't be read, such as a/1.heic: not a photo in a known format)",
        ),
        (
            several("a", 9) + several("b", 2) + several("c", 2),
            2,
            [],
            [],
            "class 'b' has 2 photos, too few for train, validation and test; set filter.min_images to 3 or more, "
            "or add photos",
        ),
    ],
)
def test_selections_that_can_not_be_split(
    found: list[Photo | Rejected], min_images: int, keep: list[str], drop: list[str], message: str
) -> None:
    with pytest.raises(UserError) as caught:
        catalog.select(found, min_images, keep, drop)
    assert str(caught.value) == message


def test_a_class_without_readable_photos_may_be_named() -> None:
    broken = Rejected("c/1.heic", "c", "unreadable: not a photo in a known format")
    kept, rejected = catalog.select([*several("a", 3), *several("b", 3), broken], 1, [], ["c"])
    assert (len(kept), rejected) == (6, [broken])


# Finding and inspecting


def test_photos_are_listed_in_order_and_without_clutter(tmp_path: Path) -> None:
    ignored = (REPOSITORY / ".dvcignore").read_text(encoding="utf-8").splitlines()
    clutter = [name.replace("*", "x").rstrip("/") for name in ignored if not name.startswith("#")]
    # Files that DVC ignores must not change what filter finds.
    assert {"Thumbs.db", "x.part", "__pycache__"} < set(clutter)
    for name in [
        "b/2.jpg",
        "b/10.jpg",
        "B/1.jpg",
        "a b/ü.png",
        "a b/" + 'quo"te, and\nline.png',
        *(f"b/{name}" for name in clutter),
        *(f"{name}/1.jpg" for name in clutter),
        "b/.hidden.jpg",
        ".git/x.jpg",
        "b/nested/3.jpg",
        "readme.txt",
    ]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert catalog.list_photos(tmp_path) == [
        "B/1.jpg",
        'a b/quo"te, and\nline.png',
        "a b/ü.png",
        "b/10.jpg",
        "b/2.jpg",
        "b/nested",
    ]
    [nested] = inspections.inspect(tmp_path, ["b/nested"], 1, in_memory())
    assert nested == Rejected("b/nested", "b", "unreadable: not a file")


def test_a_missing_folder_is_a_user_error() -> None:
    with pytest.raises(UserError, match=r"^nowhere does not exist: run `dvc repro download`$"):
        catalog.list_photos(Path("nowhere"))


def test_the_facts_of_a_photo(tmp_path: Path) -> None:
    (tmp_path / "cats").mkdir()
    exif = Image.Exif()
    exif[274] = 6
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "cats/on its side.png", exif=exif)
    Image.new("CMYK", (7, 5)).save(tmp_path / "cats/plain.jpg")
    (tmp_path / "cats/empty.jpg").write_bytes(b"")
    names = catalog.list_photos(tmp_path)
    assert names == ["cats/empty.jpg", "cats/on its side.png", "cats/plain.jpg"]
    empty, side, plain = inspections.inspect(tmp_path, names, 2, in_memory())
    assert empty == Rejected("cats/empty.jpg", "cats", "unreadable: empty file")
    content = (tmp_path / "cats/on its side.png").read_bytes()
    upright = Image.fromarray(np.rot90(pixels, -1))
    assert side == Photo(
        path="cats/on its side.png",
        label="cats",
        width=30,
        height=40,
        mode="L",
        sha256=hashlib.sha256(content).hexdigest(),
        phash=phash(upright),
    )
    assert isinstance(plain, Photo)
    assert (plain.mode, plain.width, plain.height) == ("CMYK", 7, 5)
    # All its frequencies except the mean are 0: only the first of 256 bits is set.
    assert plain.phash == "8" + "0" * 63


def test_the_order_does_not_depend_on_the_workers(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for number in range(24):
        # The first ones are slow to decode, the last ones fast.
        Image.new("RGB", (400 - 16 * number, 300), (number, 0, 0)).save(tmp_path / f"a/{number:02d}.png")
    names = catalog.list_photos(tmp_path)
    alone = list(inspections.inspect(tmp_path, names, 1, in_memory()))
    assert [entry.path for entry in alone] == names
    assert list(inspections.inspect(tmp_path, names, 8, in_memory())) == alone


def test_a_photo_without_read_permission_is_unreadable(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "a/1.png")
    (tmp_path / "a/1.png").chmod(0)
    with nobody(tmp_path):
        assert list(inspections.inspect(Path(), ["a/1.png"], 2, in_memory())) == [
            Rejected("a/1.png", "a", "unreadable: damaged or unreadable (Permission denied)")
        ]


# Reading back


ODD = ['quo"te', "com,ma", "new\nline", "return\r", "größe 船 🛥", " blank ", "=1+1"]


def test_the_catalogue_is_read_back_with_any_names(tmp_path: Path) -> None:
    photos = [Photo(f"{name}/{name}.jpg", name, 3, 4, "I;16", "ab" * 32, "cd" * 32) for name in ODD]
    tables.write_rows(tmp_path / "catalog.csv", Photo, photos)
    assert tables.read_rows(tmp_path / "catalog.csv", Photo) == photos
    tables.write_rows(tmp_path / "one.csv", Photo, photos[1:2])
    assert (tmp_path / "one.csv").read_text(encoding="utf-8") == (
        f'path,label,width,height,mode,sha256,phash\n"com,ma/com,ma.jpg","com,ma",3,4,I;16,{"ab" * 32},{"cd" * 32}\n'
    )


def test_rejected_photos_are_read_back(tmp_path: Path) -> None:
    rejected = [Rejected(f"{name}/{name}", name, f"unreadable: damaged ({name})") for name in ODD]
    tables.write_rows(tmp_path / "rejected.csv", Rejected, rejected)
    assert tables.read_rows(tmp_path / "rejected.csv", Rejected) == rejected
    tables.write_rows(tmp_path / "none.csv", Rejected, [])
    assert (tmp_path / "none.csv").read_text() == "path,label,reason\n"
    assert tables.read_rows(tmp_path / "none.csv", Rejected) == []
