import shutil
import subprocess
import sys
from pathlib import Path

from ruamel.yaml import YAML
from sources_drawing import photo, sha256, tree, write

REPOSITORY = Path(__file__).resolve().parents[2]


def run(tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """The stage on data/incoming of `tmp_path`."""
    params = YAML(typ="safe").load((REPOSITORY / "presets/solar_cells.yaml").read_text(encoding="utf-8"))
    params["dataset"] = {"source": "folder", "licence": "private", "layout": {"kind": "folders", "root": "."}}
    with (tmp_path / "params.yaml").open("w", encoding="utf-8") as stream:
        YAML().dump(params, stream)
    shutil.copy(REPOSITORY / "dvc.yaml", tmp_path)
    command = [sys.executable, str(REPOSITORY / "stages/download.py")]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)


def test_the_stage_writes_raw_and_metrics_and_prints_a_summary(tmp_path: Path) -> None:
    contents = {"cat/a.png": photo(1), "dog/b.png": photo(2), "dog/c.png": photo(3)}
    write(tmp_path / "data/incoming", contents | {"left.png": photo(4)})
    ended = run(tmp_path)
    assert ended.stdout == (
        "photos outside of class folders, left out: 1 (the first: left.png)\n"
        "3 photos in 2 classes from data/incoming · licence private\n"
    )
    assert (ended.stderr, ended.returncode) == ("", 0)
    assert tree(tmp_path / "data/raw") == contents
    lines = "".join(f"{path}\0{sha256(content)}\n" for path, content in contents.items())
    assert (tmp_path / "metrics/download.json").read_text(encoding="utf-8") == (
        '{\n  "source": "data/incoming",\n  "version": "",\n'
        f'  "sha256": "{sha256(lines.encode())}",\n'
        '  "licence": "private",\n  "images": 3,\n  "classes": 2\n}\n'
    )


def test_a_user_error_is_one_line_and_status_2(tmp_path: Path) -> None:
    (tmp_path / "data/incoming").mkdir(parents=True)
    ended = run(tmp_path)
    assert (ended.stdout, ended.returncode) == ("", 2)
    assert ended.stderr.startswith("error: data/incoming has no files: put your photos there, one folder per class")
    assert ended.stderr.count("\n") == 1
