"""Stages depend on folders of code: what counts as a change of the code, and what does not."""

import pytest
from clone import Clone

# What Python, editors, notebooks and merges leave beside the code.
CLUTTER = [
    "__pycache__/files.cpython-311.pyc",
    ".ipynb_checkpoints/files-checkpoint.py",
    *("files.py~", ".files.py.swp", ".#files.py", "#files.py#", "files.py.orig", "files.py.rej", "files.py.bak"),
    *("files.py.tmp", ".DS_Store", "4913~"),
]


@pytest.mark.parametrize(
@pytest.mark.parametrize("folder", ["src/boatyard/core", "src/boatyard/report/templates", "src/boatyard/models"])
)
def test_clutter_is_no_change(clone: Clone, folder: str) -> None:
    for name in CLUTTER:
        path = clone.folder / folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"not code")
    assert clone.changed_stages() == set()


@pytest.mark.parametrize(
    ("path", "stages"),
    [
        ("src/boatyard/export/onnx_file.py", {"export"}),
        ("src/boatyard/report/templates/report.css", {"report"}),
        ("src/boatyard/sources/folder.py", {"download"}),
        ("src/boatyard/training/finetuning.py", {"train", "report"}),
        ("src/boatyard/serving/predict.py", set()),
        ("src/boatyard/compare/summary.py", set()),
        ("stages/split.py", {"split"}),
    ],
)
def test_a_changed_file_reruns_the_stages_that_use_its_package(clone: Clone, path: str, stages: set[str]) -> None:
    file = clone.folder / path
    before = file.read_bytes()
    file.write_bytes(before + b"\n")
    assert clone.changed_stages() == stages
    file.write_bytes(before)


def test_a_new_module_reruns_the_stages_that_use_its_package(clone: Clone) -> None:
    module = clone.folder / "src/boatyard/curation/another.py"
    module.write_text("", encoding="utf-8")
    assert clone.changed_stages() == {"filter", "split", "check_labels", "report"}
    module.unlink()
