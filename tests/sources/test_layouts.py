from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from permissions import nobody
from properties import check_told, damaged, examples
from pydantic import ValidationError
from sources_drawing import photo, silent, tree, write

from boatyard import sources
from boatyard.core.errors import UserError
from boatyard.params.dataset import FolderDataset, FoldersLayout, Layout, SplitFoldersLayout, TableLayout
from boatyard.sources import naming
from boatyard.sources.interface import LabelledPhoto


def fetch(tmp_path: Path, layout: Layout, contents: dict[str, bytes]) -> sources.Fetched:
    write(tmp_path / "incoming", contents)
    asked = FolderDataset(source="folder", licence="private", layout=layout)
    return sources.fetch(asked, tmp_path / "raw", tmp_path / "downloads", tmp_path / "incoming", silent)


def table(**changes: Any) -> TableLayout:
    settings: dict[str, Any] = {
        "kind": "table",
        "root": ".",
        "file": "labels.csv",
        "delimiter": "comma",
        "header": True,
        "path": "file",
        "label": ["label"],
        "rename": {},
    }
    return TableLayout(**(settings | changes))


PHOTOS = {"images/a.png": photo(1), "images/b.png": photo(2), "images/c.png": photo(3)}


def paths(tmp_path: Path) -> list[str]:
    return list(tree(tmp_path / "raw"))


# Tables.


@pytest.mark.parametrize(
    ("delimiter", "text"),
    [
        ("comma", 'label,file\ncat,images/a.png\n"dog, small",images/b.png\ncat, images/c.png \n'),
        ("semicolon", "label;file\r\ncat;images/a.png\r\ndog, small;images/b.png\r\n\r\ncat;images/c.png"),
        ("tab", "\ufefflabel\tfile\ncat\timages/a.png\ndog, small\timages\\b.png\ncat\timages/c.png\n"),
    ],
)
def test_table_with_named_columns(tmp_path: Path, delimiter: str, text: str) -> None:
    fetched = fetch(tmp_path, table(delimiter=delimiter), PHOTOS | {"labels.csv": text.encode()})
    assert tree(tmp_path / "raw") == {"cat/a.png": photo(1), "cat/c.png": photo(3), "dog, small/b.png": photo(2)}
    assert fetched.notes == ()


def test_table_with_numbered_columns_joined_and_renamed(tmp_path: Path) -> None:
    layout = table(delimiter="whitespace", header=False, path=1, label=[2, 0], rename={"1": "bad", "0": "good"})
    fetch(tmp_path, layout, PHOTOS | {"labels.csv": b"1 images/a.png  x\n\n0\timages/b.png y\n1 images/c.png y\n"})
    assert tree(tmp_path / "raw") == {"x-bad/a.png": photo(1), "y-bad/c.png": photo(3), "y-good/b.png": photo(2)}


def test_paths_are_relative_to_the_root(tmp_path: Path) -> None:
    contents = {f"set/{name}": content for name, content in PHOTOS.items()}
    rows = b"file,label\nimages/a.png,cat\nimages/b.png,dog\n"
    fetched = fetch(tmp_path, table(root="set"), contents | {"set/labels.csv": rows, "other/x.png": photo(9)})
    assert paths(tmp_path) == ["cat/a.png", "dog/b.png"]
    assert fetched.notes == ("photos that are not in labels.csv, left out: 1 (the first: images/c.png)",)


@pytest.mark.parametrize(
    ("header", "path", "label"), [(True, "images/{id}.{form}", "kind"), (False, "images/{0}.{1}", 2)]
)
def test_a_path_made_of_several_columns(tmp_path: Path, header: bool, path: str, label: str | int) -> None:
    rows = b"a,png,cat\nb,png,dog\n"
    layout = table(header=header, path=path, label=[label])
    fetch(tmp_path, layout, PHOTOS | {"labels.csv": b"id,form,kind\n" * header + rows})
    assert paths(tmp_path) == ["cat/a.png", "dog/b.png"]


def test_rows_without_a_file_are_counted(tmp_path: Path) -> None:
    rows = b"file,label\nimages/a.png,cat\nimages/x.png,dog\nimages/b.png,dog\nimages/y.png,cat\nimages/c.png,cat\n"
    fetched = fetch(tmp_path, table(), PHOTOS | {"labels.csv": rows})
    assert paths(tmp_path) == ["cat/a.png", "cat/c.png", "dog/b.png"]
    assert fetched.notes == ("rows of labels.csv whose photo does not exist: 2 (the first: images/x.png, line 3)",)


def test_a_photo_with_two_labels_is_copied_to_both_classes(tmp_path: Path) -> None:
    rows = b"file,label\nimages/a.png,cat\nimages/a.png,dog\nimages/b.png,dog\nimages/b.png,dog\nimages/c.png,cat\n"
    fetched = fetch(tmp_path, table(), PHOTOS | {"labels.csv": rows})
    assert paths(tmp_path) == ["cat/a.png", "cat/c.png", "dog/a.png", "dog/b.png"]
    assert fetched.images == 4


def test_the_same_name_in_two_folders_of_one_class(tmp_path: Path) -> None:
    contents = {"x/1.png": photo(1), "y/1.png": photo(2), "y/2.png": photo(3), "x__1.png": photo(4)}
    rows = b"file,label\nx/1.png,cat\ny/1.png,cat\ny/2.png,cat\nx__1.png,cat\ny/1.png,dog\n"
    fetch(tmp_path, table(), contents | {"labels.csv": rows})
    # A file is already named x__1.png, so x/1.png also gets eight digits of its path's sha256.
    assert tree(tmp_path / "raw") == {
        "cat/x__1.png": photo(4),
        "cat/x__1-a789aed9.png": photo(1),
        "cat/y__1.png": photo(2),
        "cat/2.png": photo(3),
        "dog/1.png": photo(2),
    }


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (
            "images/a.png,cat\nimages/b.png,\n",
            "labels.csv, line 3: class '' can't be the name of a folder, it is empty",
        ),
        ("images/a.png,cat\nimages/b.png,..\n", "labels.csv, line 3: class '..' can't be"),
        ("images/a.png,a/b\n", "labels.csv, line 2: class 'a/b' can't be the name of a folder, it contains a slash"),
        ("images/a.png,a\0b\n", r"labels.csv, line 2: class 'a\x00b' can't be the name of a folder"),
        ("images/a.png,Cat\nimages/b.png,cat\n", "line 3: class 'cat' differs from 'Cat' (labels.csv, line 2)"),
        ("images/a.png,caf\u00e9\nimages/b.png,cafe\u0301\n", "differs from 'caf\u00e9' (labels.csv, line 2)"),
        ("images/a.png," + "x" * 256, "is longer than 255 bytes"),
        (
            "images/a.png,x.part",
            "class 'x.part' can't be the name of a folder, it is reserved by DVC, Python or a file",
        ),
        ("../secret.png,cat\n", "labels.csv, line 2: the path '../secret.png' is outside of the data set"),
        ("/etc/passwd,cat\n", "labels.csv, line 2: the path '/etc/passwd' is outside"),
        ("images/a.png\n", "labels.csv, line 2: it has 1 of the 2 columns that are needed"),
        ("x.png,cat\ny.png,dog\n", "none of the 2 photos listed in labels.csv exists (the first: x.png, line 2)"),
        ("", "labels.csv of "),
    ],
)
def test_the_error_for_an_invalid_row_names_it(tmp_path: Path, rows: str, problem: str) -> None:
    write(tmp_path, {"secret.png": photo(9)})
    with pytest.raises(UserError) as caught:
        fetch(tmp_path, table(), PHOTOS | {"labels.csv": f"file,label\n{rows}".encode()})
    assert problem in str(caught.value)
    assert not (tmp_path / "raw").exists()


@pytest.mark.parametrize(
    ("layout", "problem"),
    [
        (table(file="label.csv"), "dataset.layout.file: "),
        (table(file="images"), "dataset.layout.file: images can't be read (Is a directory): name a text file"),
        (table(file="."), "dataset.layout.file: . can't be read (Is a directory): name a text file"),
        (table(root="set"), "dataset.layout.root: "),
        (table(path="photo"), "dataset.layout: labels.csv has no column 'photo'; its columns are file, label"),
        (table(path="images/{id}.png"), "dataset.layout: labels.csv has no column 'id'; its columns are file, label"),
        (table(label=["label", 2]), "labels.csv, line 2: it has 2 of the 3 columns that are needed"),
        (table(rename={"Cat": "tiger"}), "dataset.layout.rename: labels.csv has no 'Cat'; did you mean 'cat'?"),
        (table(rename={"7": "tiger"}), "dataset.layout.rename: labels.csv has no '7'; it has cat"),
    ],
)
def test_a_table_layout_that_does_not_match_the_table(tmp_path: Path, layout: TableLayout, problem: str) -> None:
    with pytest.raises(UserError) as caught:
        fetch(tmp_path, layout, PHOTOS | {"labels.csv": b"file,label\nimages/a.png,cat\n"})
    assert problem in str(caught.value)


def test_a_table_without_read_permission(tmp_path: Path) -> None:
    write(tmp_path, {"incoming/labels.csv": b"file,label\nimages/a.png,cat\n", "incoming/images/a.png": photo(1)})
    (tmp_path / "incoming/labels.csv").chmod(0)
    asked = FolderDataset(source="folder", licence="private", layout=table())
    with (
        nobody(tmp_path),
        pytest.raises(
            UserError, match=r"^dataset\.layout\.file: labels\.csv can't be read \(Permission denied\): name"
        ),
    ):
        sources.fetch(asked, Path("raw"), Path("downloads"), Path("incoming"), silent)


@pytest.mark.parametrize("key", ["root", "file"])
@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("a\0b", "remove the null byte"),
        ("a" * 256, "a file name cannot be longer than 255 bytes"),
        ("é" * 128, "a file name cannot be longer than 255 bytes"),
        ("a/" * 600, "write a path of at most 1,024 bytes"),
    ],
)
def test_a_path_that_no_file_can_have(key: str, path: str, problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        table(**{key: path})


def test_a_column_number_in_quotes(tmp_path: Path) -> None:
    rows = b"images/a.png,cat\nimages/b.png,dog\n"
    fetch(tmp_path, table(header=False, path="0", label=[1]), PHOTOS | {"labels.csv": rows})
    assert paths(tmp_path) == ["cat/a.png", "dog/b.png"]


def test_a_table_that_is_not_utf8(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"labels\.csv is not UTF-8 text"):
        fetch(tmp_path, table(), PHOTOS | {"labels.csv": "file,label\nimages/a.png,café\n".encode("latin-1")})


ROWS = [b"file,label\nimages/a.png,cat\nimages/b.png,dog\n", b'label;file\r\n"a; b";images/c.png\r\ncat;images/a.png']


@examples(150)
@given(damaged(ROWS), st.sampled_from(["comma", "semicolon", "tab", "whitespace"]), st.booleans())
def test_any_table_labels_its_photos_or_is_an_error_of_one_line(
    tmp_path: Path, content: bytes, delimiter: str, header: bool
) -> None:
    columns = {} if header else {"path": 0, "label": [1]}
    layout = table(delimiter=delimiter, header=header, **columns)
    try:
        fetch(tmp_path, layout, PHOTOS | {"labels.csv": content})
    except UserError as error:
        check_told(error)
    else:
        assert set(tree(tmp_path / "raw").values()) <= set(PHOTOS.values())
        assert all(len(path.relative_to(tmp_path / "raw").parts) == 2 for path in (tmp_path / "raw").glob("*/*"))


# Folders.

FOLDERS = FoldersLayout(kind="folders", root=".")


def test_class_folders_that_differ_only_in_case(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"folder cat: class 'cat' differs from 'Cat' \(folder Cat\) only in case"):
        fetch(tmp_path, FOLDERS, {"Cat/a.png": photo(1), "cat/b.png": photo(2)})


def test_file_names_that_differ_only_in_case_are_kept_apart(tmp_path: Path) -> None:
    fetch(tmp_path, FOLDERS, {"cat/A.png": photo(1), "cat/sub/a.png": photo(2), "dog/c.png": photo(3)})
    assert tree(tmp_path / "raw") == {"cat/A.png": photo(1), "cat/sub__a.png": photo(2), "dog/c.png": photo(3)}


def test_the_error_for_a_folder_around_the_classes_says_so(tmp_path: Path) -> None:
    contents = {"all/cat/a.png": photo(1), "all/dog/b.png": photo(2)}
    with pytest.raises(UserError, match=r"has a single class folder, 'all', and 2 folders in it"):
        fetch(tmp_path, FOLDERS, contents)
    fetch(tmp_path, FoldersLayout(kind="folders", root="all"), contents)
    assert paths(tmp_path) == ["cat/a.png", "dog/b.png"]


def test_split_folders_are_not_mistaken_for_classes(tmp_path: Path) -> None:
    contents = {"train/cat/a.png": photo(1), "train/dog/b.png": photo(2), "Test/cat/c.png": photo(3)}
    with pytest.raises(
        UserError, match=r"is already split, into Test, train: set dataset\.layout\.kind to split_folders"
    ):
        fetch(tmp_path, FOLDERS, contents)


def test_a_class_may_have_the_name_of_a_split(tmp_path: Path) -> None:
    fetch(tmp_path, FOLDERS, {"train/a.png": photo(1), "test/b.png": photo(2)})
    assert paths(tmp_path) == ["test/b.png", "train/a.png"]


def test_photos_without_class_folders(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no photos in class folders; it has a.png, b.png: correct dataset.layout"):
        fetch(tmp_path, FOLDERS, {"a.png": photo(1), "b.png": photo(2)})


def test_a_long_flattened_name_is_truncated(tmp_path: Path) -> None:
    deep = "/".join(["folder" * 10] * 5)
    fetch(tmp_path, FOLDERS, {"cat/a.png": photo(1), f"cat/{deep}/a.png": photo(2), "dog/a.png": photo(3)})
    names = sorted(path.name for path in (tmp_path / "raw/cat").iterdir())
    assert names[0] == "a.png"
    assert names[1].startswith("folderfolder")
    assert names[1].endswith(".png")
    assert len(names[1]) <= 255


PARTS = st.lists(st.sampled_from(["a", "A", "b", "a__b", "é", "e\u0301", "x" * 250]), min_size=1, max_size=4)


@examples(100)
@given(st.lists(PARTS.map(lambda parts: PurePosixPath(*parts)), unique=True), st.sampled_from(["", "train"]))
def test_every_photo_gets_a_unique_name(paths: list[PurePosixPath], split: str) -> None:
    photos = [LabelledPhoto(path, "cat", "here", path, split) for path in paths]
    targets = naming.assign(photos)
    assert sorted(targets.values()) == sorted(paths)
    assert len({naming.folded(target.name) for target in targets}) == len(paths)
    assert all(len(target.name.encode()) <= 255 for target in targets)
    assert naming.assign(photos[::-1]) == targets


# Folders that are already split.

SPLIT = SplitFoldersLayout(kind="split_folders", root=".")


def test_split_folders_put_the_split_in_front_of_the_name(tmp_path: Path) -> None:
    fetched = fetch(
        tmp_path,
        SPLIT,
        {
            "Train/cat/a.png": photo(1),
            "Train/cat/sub/b.png": photo(2),
            "Train/dog/a.png": photo(3),
            "valid/cat/a.png": photo(4),
            "test/dog/a.png": photo(5),
            "test/unlabelled.png": photo(6),
            "extra/cat/a.png": photo(7),
            "labels.txt": b"cat dog",
        },
    )
    assert tree(tmp_path / "raw") == {
        "cat/train__a.png": photo(1),
        "cat/train__b.png": photo(2),
        "cat/validation__a.png": photo(4),
        "dog/train__a.png": photo(3),
        "dog/test__a.png": photo(5),
    }
    assert fetched.notes == (
        "folders that are not a split, left out: extra",
        "photos outside of class folders, left out: 1 (the first: test/unlabelled.png)",
    )


@pytest.mark.parametrize(
    ("contents", "problem"),
    [
        ({"cat/a.png": photo(1), "dog/b.png": photo(2)}, "has no train, val or test folder; it has cat, dog"),
        ({"val/cat/a.png": photo(1), "valid/cat/b.png": photo(2)}, "'val' and 'valid' are both the validation folder"),
        ({"train/a.png": photo(1), "test/b.png": photo(2)}, "has no photos in class folders; it has test/, train/"),
    ],
)
def test_folders_that_are_not_splits(tmp_path: Path, contents: dict[str, bytes], problem: str) -> None:
    with pytest.raises(UserError) as caught:
        fetch(tmp_path, SPLIT, contents)
    assert problem in str(caught.value)


# Names of classes.

ANIMALS = {"009.bear/1.png": photo(1), "009.bear/2.png": photo(2), "250.zebra/1.png": photo(3), "bear/1.png": photo(4)}


def renaming(names: dict[str, str]) -> FoldersLayout:
    return FoldersLayout(kind="folders", root=".", rename=names)


def test_classes_are_renamed_and_the_others_keep_their_names(tmp_path: Path) -> None:
    fetch(tmp_path, renaming({"250.zebra": "zebra", "bear": "teddy"}), ANIMALS)
    assert paths(tmp_path) == ["009.bear/1.png", "009.bear/2.png", "teddy/1.png", "zebra/1.png"]


def test_a_folder_without_photos_is_reported_before_names_that_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no photos in class folders; it has a\.png"):
        fetch(tmp_path, renaming({"bear": "teddy"}), {"a.png": photo(1)})


def test_two_classes_can_swap_names(tmp_path: Path) -> None:
    fetch(tmp_path, renaming({"009.bear": "bear", "bear": "009.bear"}), ANIMALS)
    assert paths(tmp_path) == ["009.bear/1.png", "250.zebra/1.png", "bear/1.png", "bear/2.png"]


def test_classes_are_merged_if_rename_has_them_all(tmp_path: Path) -> None:
    more = {"bears/1.png": photo(5), "bears/sub/1.png": photo(6)}
    fetch(tmp_path, renaming({"009.bear": "bear", "bear": "bear", "bears": "bear"}), ANIMALS | more)
    assert tree(tmp_path / "raw") == {
        "250.zebra/1.png": photo(3),
        "bear/009.bear__1.png": photo(1),
        "bear/2.png": photo(2),
        "bear/bear__1.png": photo(4),
        "bear/bears__1.png": photo(5),
        "bear/bears__sub__1.png": photo(6),
    }


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (
            {"009.bear": "bear"},
            "'009.bear' would be merged with 'bear', which data/incoming also has; add `bear: bear` if",
        ),
        ({"008.bear": "bears"}, "data/incoming has no '008.bear'; did you mean '009.bear'?"),
        ({"crocodile": "x"}, "data/incoming has no 'crocodile'; it has 009.bear, 250.zebra, bear"),
    ],
)
def test_names_that_can_not_be_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: dict[str, str], problem: str
) -> None:
    asked = FolderDataset(source="folder", licence="private", layout=renaming(names))
    monkeypatch.chdir(write(tmp_path, {f"data/incoming/{path}": content for path, content in ANIMALS.items()}))
    with pytest.raises(UserError) as caught:
        sources.fetch(asked, Path("data/raw"), Path("downloads"), Path("data/incoming"), silent)
    assert str(caught.value).startswith(f"dataset.layout.rename: {problem}")


def test_the_new_name_must_be_a_possible_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^folder bear: class 'a/b' can't be the name of a folder, it contains"):
        fetch(tmp_path, renaming({"bear": "a/b"}), ANIMALS)


def test_split_folders_are_renamed(tmp_path: Path) -> None:
    layout = SplitFoldersLayout(kind="split_folders", root=".", rename={"n01": "tench"})
    fetch(tmp_path, layout, {"train/n01/a.png": photo(1), "train/n02/a.png": photo(2), "val/n01/a.png": photo(3)})
    assert paths(tmp_path) == ["n02/train__a.png", "tench/train__a.png", "tench/validation__a.png"]
