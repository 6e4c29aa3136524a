"""Names, folders and links in data/incoming and how the stages handle them: the rows of docs/robustness.md."""

import os
import shutil
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sources_drawing import photo, write

# What is in data/incoming in every case, for each layout.
SOUND = {f"{label}/{number}.png": photo(10 * place + number) for place, label in enumerate("ab") for number in range(4)}
SPLITS = ("train", "val", "test")
SPLIT_SOUND = {
    f"{split}/{label}/{number}.png": photo(100 * place + 10 * (label == "b") + number)
    for place, split in enumerate(SPLITS)
    for label in "ab"
    for number in range(3)
}
OTHER = photo(999)


@dataclass(frozen=True)
class Case:
    """Something in data/incoming.

    Attributes:
        what: its name on the page.
        make: puts it into that folder.
        layout: of params.yaml.
        result: on the page, if no stage stops.
        raw: what data/raw contains in addition to the sound photos.
        printed: a line that download or filter prints; '…' is any text.
        rejected: the content of data/rejected.csv; '…' is any text in a reason.
        stops: the stage that ends with status 2.
        message: the stage's one line; '…' is any text.
        nobody: the stage must not run as root, who may read everything.
    """

    what: str
    make: Callable[[Path], object]
    layout: str = "folders"
    result: str = ""
    raw: Mapping[str, bytes] = field(default_factory=dict)
    printed: str = ""
    rejected: Mapping[str, str] = field(default_factory=dict)
    stops: str = ""
    message: str = ""
    nobody: bool = False


def named(what: str, *names: str) -> Case:
    """File names that are kept as they are."""
    raw = {f"a/{name}": photo(500 + number) for number, name in enumerate(names)}
    return Case(what, lambda incoming: write(incoming, raw), result="kept under its name", raw=raw)


def ignored(what: str, *names: str) -> Case:
    contents = {name: photo(500 + number) for number, name in enumerate(names)}
    return Case(what, lambda incoming: write(incoming, contents), result="ignored: neither copied nor counted")


def stops(what: str, stage: str, message: str, make: Callable[[Path], object], layout: str = "folders") -> Case:
    return Case(what, make, layout, stops=stage, message=message)


def files(contents: Mapping[str, bytes]) -> Callable[[Path], object]:
    return lambda incoming: write(incoming, contents)


def linked(name: str, target: str) -> Callable[[Path], object]:
    return lambda incoming: (incoming / name).symlink_to(target)


def link_out(incoming: Path) -> None:
    write(incoming.parent, {"secret.png": OTHER})
    (incoming / "a/link.png").symlink_to("../../secret.png")


def make_socket(incoming: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(incoming / "a/socket.png"))


def only(*names: str) -> Callable[[Path], object]:
    """Only these sound photos."""

    def make(incoming: Path) -> None:
        shutil.rmtree(incoming)
        write(incoming, {name: SOUND[name] for name in names})

    return make


LINK = "data/incoming: a/link.png is a link to a folder, to nothing or out of data/incoming: replace it …"
LEAK = "  a leak: 1 photos are in two published splits (see data/rejected.csv)"
LONG = "x" * 251 + ".png"

CASES = [
    named("spaces, quotes, commas", "a photo.png", " lead", 'it\'s "one".png', "1,2;3.png"),
    named("a newline, a tab, a carriage return", "new\nline.png", "tab\t.png", "return\r.png"),
    named("letters beyond ASCII, emoji", "größe 船 🛥.png", "e\u0301.png"),
    named("255 bytes", LONG, "ü" * 125 + "x.png"),
    named("leading dashes, shell syntax", "-rf", "--help.png", "$(id).png", "*.png", "a;b.png"),
    named("backslashes, percent signs, a dot at the end", "back\\slash.png", "%2e%2e%2f.png", "dot."),
    Case(
        "255 bytes, in a data set that is already split",
        files({f"train/a/{LONG}": OTHER}),
        "split_folders",
        "kept, with its split in front and its name truncated",
        {f"a/train__{'x' * 184}-ae1bc6dc.png": OTHER},
    ),
    ignored("hidden files and folders", "a/.hidden.png", "a/._1.png", ".git/1.png", "a/.cache/1.png"),
    ignored(
        "files of file managers and archivers: `Thumbs.db`, `desktop.ini`, `.DS_Store`, `__MACOSX`",
        "a/Thumbs.db",
        "a/desktop.ini",
        "a/.DS_Store",
        "__MACOSX/a/1.png",
    ),
    ignored("DVC's own files, and what it ignores", "a/1.png.dvc", "a/1.png.part", "b.part/1.png"),
    Case(
        "a class folder that is empty, or has only ignored files",
        lambda incoming: (write(incoming, {"c/.hidden": OTHER}), (incoming / "d").mkdir()),
        result="not a class; download prints a note",
        printed="folders without a photo: 2 (the first: c)",
    ),
    Case(
        "a photo outside of the class folders",
        files({"lone.png": OTHER}),
        result="left out; download prints a note",
        printed="photos outside of class folders, left out: 1 (the first: lone.png)",
    ),
    Case(
        "a file that is not a photo, whatever its name",
        files({"a/notes.txt": b"notes", "a/empty.png": b""}),
        result="left out, with a reason in data/rejected.csv",
        raw={"a/notes.txt": b"notes", "a/empty.png": b""},
        rejected={
            "a/notes.txt": "unreadable: not a photo in a known format",
            "a/empty.png": "unreadable: empty file",
        },
    ),
    Case(
        "the same name in two folders of a class, or names that differ in case only",
        files({"a/old/1.png": OTHER, "a/new/1.PNG": photo(998)}),
        result="both are kept: `old/1.png` becomes `old__1.png`",
        raw={"a/old__1.png": OTHER, "a/new__1.PNG": photo(998)},
    ),
    Case(
        "a link to another photo in data/incoming",
        linked("a/link.png", "../b/0.png"),
        result="copied, which makes it the same photo under two labels",
        raw={"a/link.png": SOUND["b/0.png"]},
        rejected={"a/link.png": "two_labels: also b/0.png", "b/0.png": "two_labels: also a/link.png"},
    ),
    stops("a link out of data/incoming", "download", LINK, link_out),
    stops("a dangling link", "download", LINK, linked("a/link.png", "nowhere.png")),
    stops("a link to itself", "download", LINK, linked("a/link.png", "link.png")),
    stops("a link to a folder, or a circle of links", "download", LINK, linked("a/link.png", "../../incoming")),
    stops(
        "a pipe",
        "download",
        "data/incoming: a/pipe.png is a pipe or a device, not a file: remove it",
        lambda incoming: os.mkfifo(incoming / "a/pipe.png"),
    ),
    stops(
        "a socket",
        "download",
        "data/incoming: a/socket.png is a pipe or a device, not a file: remove it",
        make_socket,
    ),
    stops(
        "folders nested more than 100 deep",
        "download",
        "data/incoming: folders are nested more than 100 deep: flatten them",
        files({f"a/{'d/' * 100}1.png": OTHER}),
    ),
    Case(
        "a file without read permission",
        lambda incoming: (incoming / "a/0.png").chmod(0),
        stops="download",
        message="data/incoming/a/0.png can't be copied into a/ (Permission denied): fix its permissions, …",
        nobody=True,
    ),
    Case(
        "a folder without read permission",
        lambda incoming: (incoming / "a").chmod(0),
        stops="download",
        message="data/incoming/a can't be read (Permission denied): fix its permissions",
        nobody=True,
    ),
    stops(
        "a name that is not UTF-8",
        "download",
        "data/incoming: the file name a/caf\\udce9.png is not UTF-8: rename the file",
        lambda incoming: (incoming / "a" / os.fsdecode(b"caf\xe9.png")).write_bytes(OTHER),
    ),
    stops(
        "classes that differ in case only",
        "download",
        "folder a: class 'a' differs from 'A' (folder A) only in case or in how its letters are encoded: …",
        files({"A/1.png": OTHER}),
    ),
    stops(
        "a class with a control character in its name",
        "download",
        "folder c d: class 'c\\nd' can't be the name of a folder, it contains a slash or a control character: …",
        files({"c\nd/1.png": OTHER}),
    ),
    stops(
        "folders called train and test where classes are expected",
        "download",
        "data/incoming is already split, into test, train, val: set dataset.layout.kind to split_folders",
        lambda incoming: (shutil.rmtree(incoming), write(incoming, SPLIT_SOUND)),
    ),
    stops("nothing", "download", "data/incoming has no files: put your photos there, one folder per class…", only()),
    stops(
        "one class",
        "filter",
        "1 class left, but at least two are needed; lower filter.min_images (3), … (photos per class: a 3)",
        only("a/0.png", "a/1.png", "a/2.png"),
    ),
    stops(
        "one photo",
        "filter",
        "0 classes left, but at least two are needed; lower filter.min_images (3), … (photos per class: a 1)",
        only("a/0.png"),
    ),
    Case(
        "the same photo twice under one label",
        files({"a/copy.png": SOUND["a/0.png"]}),
        result="the first path is kept",
        raw={"a/copy.png": SOUND["a/0.png"]},
        rejected={"a/copy.png": "duplicate: same bytes as a/0.png"},
    ),
    Case(
        "the same photo under two labels",
        files({"a/both.png": OTHER, "b/both.png": OTHER}),
        result="no copy is kept: no label can be trusted",
        raw={"a/both.png": OTHER, "b/both.png": OTHER},
        rejected={"a/both.png": "two_labels: also b/both.png", "b/both.png": "two_labels: also a/both.png"},
    ),
    Case(
        "the same photo in train and in test, in a data set that is already split",
        files({"train/a/copy.png": SPLIT_SOUND["test/a/0.png"]}),
        "split_folders",
        "the one in test is kept; filter prints the leak and metrics/filter.json counts it",
        {"a/train__copy.png": SPLIT_SOUND["test/a/0.png"]},
        LEAK,
        {"a/train__copy.png": "duplicate: same bytes as a/test__0.png, a leak: … in train and in test"},
    ),
    Case(
        "the same photo in train and in validation",
        files({"train/a/copy.png": SPLIT_SOUND["val/a/0.png"]}),
        "split_folders",
        "the one in validation is kept",
        {"a/train__copy.png": SPLIT_SOUND["val/a/0.png"]},
        LEAK,
        {"a/train__copy.png": "duplicate: same bytes as a/validation__0.png, a leak: … in train and in validation"},
    ),
    Case(
        "the same photo in train and in test, under two labels",
        files({"train/a/copy.png": SPLIT_SOUND["test/b/0.png"]}),
        "split_folders",
        "no copy is kept",
        {"a/train__copy.png": SPLIT_SOUND["test/b/0.png"]},
        LEAK,
        {
            "a/train__copy.png": "two_labels: also b/test__0.png",
            "b/test__0.png": "two_labels: also a/train__copy.png",
        },
    ),
]
