"""The parts of benchmarks/speed.py that a figure can be wrong by; the rest is run by hand."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import ratios
import scratch
import speed
import timing
from ratios import Row
from ruamel.yaml import YAML

from boatyard.core import files, paths, tables
from boatyard.core.errors import UserError

REPOSITORY = Path(__file__).parents[2]
PRESET = REPOSITORY / "presets/boats.yaml"


def ran(*lines: tuple[float, str], seconds: float = 10.0) -> timing.Ran:
    return timing.Ran(seconds, 100.0, [(at, f"{line}\n") for at, line in lines])


def cells(row: Row) -> list[str]:
    return ratios.table([row]).splitlines()[-1].removeprefix("| ").removesuffix(" |").split(" | ")


def test_a_stage_lasts_to_the_next_one():
    given = ran(
        (1.0, "Stage 'download' didn't change, skipping"),
        (1.5, "Running stage 'train':"),
        (2.0, "> python stages/train.py"),
        (4.0, "a line of the stage's own: Running stage 'other'"),
        (6.0, "Running stage 'export':"),
        (7.0, "Stage 'evaluate' didn't change, skipping"),
    )
    assert timing.stages(given) == {"train": 4.5, "export": 1.0}


def test_dvc_tells_its_stages_as_they_are_read(tmp_path: Path):
    wait = "import time; time.sleep(0.3)"
    (tmp_path / "dvc.yaml").write_text(
        f'stages:\n  first:\n    cmd: python -c "{wait}"\n    deps: [there]\n  second:\n    cmd: python -c "{wait}"\n',
        encoding="utf-8",
    )
    (tmp_path / "there").touch()
    scratch.dvc(tmp_path, "init", "--no-scm")

    both = timing.stages(timing.run(tmp_path, "-m", "dvc", "repro"))
    again = timing.stages(timing.run(tmp_path, "-m", "dvc", "repro"))

    assert list(both) == ["first", "second"]
    assert min(both.values()) > 0.3
    assert list(again) == ["second"]  # without deps it always runs


def test_the_heads_first_epoch_is_taken_to_last_as_the_others():
    assert (
        timing.head_seconds(ran((3.0, "head epoch   1  train loss"), (4.0, "head epoch   2"), (5.0, "head epoch   3")))
        == 3
    )
    with pytest.raises(UserError, match=r"raise train\.epochs"):
        timing.head_seconds(ran((3.0, "head epoch   1  train loss")))


def test_views_are_read_with_their_commas():
    assert timing.views(ran((1.0, "34 of 8,626 views went through efficientnet_lite0 (onnx on cpu)"))) == (34, 8626)


def test_a_commands_memory_is_its_own(tmp_path: Path):
    # In a process of its own: a child's peak is at least its parent's, and this one has tests behind it.
    script = """
import timing
from pathlib import Path
print(*(timing.run(Path(), "-c", f"bytearray({size})").peak for size in (1, 200_000_000)))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=scratch.environment(REPOSITORY) | {"PYTHONPATH": f"{REPOSITORY / 'benchmarks'}:{REPOSITORY / 'src'}"},
        capture_output=True,
        text=True,
        check=True,
    )
    small, large = map(float, done.stdout.split())
    assert large - small == pytest.approx(200, rel=0.1)


def test_a_failed_command_ends_the_benchmark_with_its_status(tmp_path: Path):
    with pytest.raises(SystemExit) as ended:
        timing.run(tmp_path, "-c", "raise SystemExit(3)")
    assert ended.value.code == 3


def incoming(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / paths.INCOMING).glob("*/*"))


def photos(folder: Path, large: int) -> None:
    """A small class, and one of `large` photos."""
    names = [("a", "a/0.jpg"), *(("b", f"b/{number:02}.jpg") for number in range(large))]
    tables.write_csv(folder / paths.SPLITS, ["path", "label"], [(name, label) for label, name in names])
    for _, name in names:
        (folder / paths.INCOMING / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / paths.INCOMING / name).touch()


def test_ten_photos_of_the_largest_class_are_held_back(tmp_path: Path):
    photos(tmp_path, 27)
    before = incoming(tmp_path)

    with speed.ten_photos_fewer(tmp_path) as put_back:
        left = incoming(tmp_path)
        put_back()

    assert sorted(set(before) - set(left)) == [f"{number:02}.jpg" for number in range(0, 20, 2)]
    assert incoming(tmp_path) == before


def test_too_few_photos_to_hold_back_are_a_mistake(tmp_path: Path):
    photos(tmp_path, 19)
    with pytest.raises(UserError, match="has only 19 photos"), speed.ten_photos_fewer(tmp_path):
        pass
    assert len(incoming(tmp_path)) == 20


def test_what_was_computed_comes_back(tmp_path: Path):
    kept = tmp_path / paths.FEATURE_ROWS / "kept"
    files.write_bytes(kept, b"1")

    with speed.without_embeddings(tmp_path):
        assert not kept.exists()
        files.write_bytes(tmp_path / paths.FEATURE_ROWS / "other", b"2")

    assert [path.name for path in kept.parent.iterdir()] == ["kept"]


def test_figures_of_one_repetition_are_compared():
    row = Row("featurize", "views/s", [80.0, 45.0, 99.0], "forward alone", [100.0, 50.0, 110.0], "≥ 0.7 ×")
    assert cells(row) == [
        "featurize", "80 views/s (45 to 99)", "3",
        "forward alone", "100 views/s (50 to 110)", "3",
        "0.9 (0.8 to 0.9)", "≥ 0.7 ×",
    ]  # fmt: skip


def test_one_run_of_the_recipe_is_compared_with_every_repetition():
    assert cells(Row("recipe", "s", [1500.0], "ours", [50.0, 60.0, 75.0])) == [
        "recipe", "1,500 s", "1", "ours", "60 s (50 to 75)", "3", "25 (20 to 30)", ""
    ]  # fmt: skip


def test_a_figure_may_stand_alone():
    assert cells(Row("head training", "s", [1.234, 1.3], asked="≤ 3 s")) == [
        "head training", "1.27 s (1.23 to 1.3)", "2", "", "", "", "", "≤ 3 s"
    ]  # fmt: skip


class Measured(dict[str, list[float]]):
    """Two repetitions in which whatever is asked for took a second."""

    def __missing__(self, name: str) -> list[float]:
        return [1.0, 1.0]


def test_throughput_is_without_start_up_where_it_says_so():
    measured = Measured(
        {"featurize": [50.0, 60.0], "featurize start": [10.0, 10.0], "featurize views": [4000.0, 4000.0]}
    )
    measured |= {"forward": [200.0, 100.0], "draw featurize": [200.0, 100.0], "added": [12.0, 13.0]}

    found = {(row.figure, row.limit): row for row in ratios.rows(measured)}

    assert found["featurize, start-up included", "forward alone"].values == pytest.approx([80, 4000 / 60])
    assert found["featurize beyond its start-up", "forward alone"].values == [100, 80]
    assert found["featurize beyond its start-up", "both in turn"].ratios() == pytest.approx([1, 1.6])
    assert found["… beyond its start-up", "featurize in full"].ratios() == pytest.approx([2 / 50, 3 / 60])


def test_a_throughput_that_start_up_hides_is_not_given():
    measured = Measured({"evaluate": [5.0, 4.0], "evaluate start": [4.0, 4.1], "evaluate views": [12.0, 12.0]})
    row = next(row for row in ratios.rows(measured) if row.figure == "evaluate beyond its start-up")
    assert [cells(row)[place] for place in (1, 6)] == ["lost in start-up"] * 2


def test_the_recipe_is_in_the_table_if_it_ran():
    asked = [row.figure for row in ratios.rows(Measured())]
    assert not any("recipe" in figure for figure in asked)

    with_recipe = Measured(
        {"recipe": [1500.0], "recipe as written": [3000.0, 3060.0], "recipe MB": [2000.0], "whole": [50.0, 60.0]}
        | {"rate, train": [5.0, 6.0]}
    )
    found = {row.figure: row for row in ratios.rows(with_recipe)}
    assert found["recipe as written, reckoned"].ratios() == [60, 51]
    assert found["recipe with channels last: its whole run"].ratios() == [30, 25]
    assert found["peak memory: published recipe"].values == [2000]
    assert found["… of which train"].values == [5, 6]


@pytest.mark.parametrize("assignment", ["train.rate=1", "model.backbone.name=x", "nothing"])
def test_a_setting_that_there_is_not_is_a_mistake(assignment: str, tmp_path: Path):
    with pytest.raises(UserError, match="has no setting"):
        scratch.write_params(tmp_path, PRESET, {}, [assignment])


def test_settings_are_the_presets_but_for_what_is_said(tmp_path: Path):
    scratch.write_params(tmp_path, PRESET, {"source": "folder"}, ["train.lr=0.5", "filter.keep=[a, b]"])
    yaml = YAML(typ="safe", pure=True)
    expected: Any = yaml.load(PRESET)
    expected["dataset"], expected["train"]["lr"], expected["filter"]["keep"] = {"source": "folder"}, 0.5, ["a", "b"]
    assert yaml.load(tmp_path / "params.yaml") == expected


@pytest.mark.parametrize("benchmark", ["speed", "results"])
def test_a_mistake_is_one_line(benchmark: str, tmp_path: Path):
    missing = tmp_path / "none.zip"
    done = subprocess.run(
        [sys.executable, REPOSITORY / f"benchmarks/{benchmark}.py", PRESET, missing],
        env=scratch.environment(REPOSITORY),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: {missing} can't be read (No such file or directory): name a zip or a tar of photos\n"
