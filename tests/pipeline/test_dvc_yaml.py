"""dvc.yaml says all that its stages depend on, and no more: held against the source of the stages."""

from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
from clone import REPOSITORY
from ruamel.yaml import YAML
from small_run import STAGES as STAGE_ORDER
from source_tree import params_read, path_constants

from boatyard.core import import_graph, paths

PIPELINE = YAML(typ="safe", pure=True).load((REPOSITORY / "dvc.yaml").read_text(encoding="utf-8"))
PARAMS = YAML(typ="safe", pure=True).load((REPOSITORY / "presets/solar_cells.yaml").read_text(encoding="utf-8"))
STAGES: dict[str, dict[str, Any]] = PIPELINE["stages"]
NAMES = list(STAGES)

# Modules of the library that name artefacts, for the stage that imports them.
READERS = {"boatyard.report.run_files"}

# Reading the model also reads its part, which the model file names.
READS_PART = "model_file.read(paths.MODEL)", "model_file.load(paths.MODEL)"

# Constants of paths.py that are not an artefact of the pipeline, and those that a stage may use undeclared.
SETTINGS = {"PARAMS", "PIPELINE", "LOCK"}
UNDECLARED = {name for name, path in vars(paths).items() if isinstance(path, Path) and path.is_relative_to(paths.WORK)}


def artefacts() -> dict[str, str]:
    """The constants of paths.py that name a file or folder of the pipeline, by their path."""
    return {
        path.as_posix(): name
        for name, path in vars(paths).items()
        if isinstance(path, Path) and name not in SETTINGS | UNDECLARED
    }


def listed(entries: list[Any]) -> list[str]:
    """The paths of a list of dvc.yaml, in which one with options is a mapping of a single key."""
    return [next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries]


def written(stage: str) -> list[str]:
    return [path for kind in ("outs", "metrics", "plots") for path in listed(STAGES[stage].get(kind, []))]


def modules(stage: str) -> list[str]:
    """The modules that a stage's script may import, and all that these may."""
    source = (REPOSITORY / f"stages/{stage}.py").read_text(encoding="utf-8")
    return import_graph.closure(import_graph.imports_of(source))


def test_the_stages_are_the_ones_of_the_design_in_order() -> None:
    assert list(STAGE_ORDER) == NAMES
    assert [STAGES[name]["cmd"] for name in NAMES] == [f"python stages/{name}.py" for name in NAMES]


@pytest.mark.parametrize("stage", NAMES)
def test_deps_cover_every_module_that_the_stage_imports_and_none_is_unused(stage: str) -> None:
    imported = {import_graph.path_of(module).relative_to(REPOSITORY) for module in modules(stage)}
    script, *code = [entry for entry in listed(STAGES[stage]["deps"]) if entry.startswith(("src/", "stages/"))]

    assert script == f"stages/{stage}.py"
    for path in imported:
        assert any(path.is_relative_to(entry) for entry in code), f"{stage} imports {path}: add its folder to the deps"
    for entry in code:
        assert any(path.is_relative_to(entry) for path in imported), f"{stage} imports nothing of {entry}"


@pytest.mark.parametrize("stage", NAMES)
def test_a_stage_declares_the_artefacts_that_it_names(stage: str) -> None:
    """A stage script takes every path from paths.py, and DVC knows of each of them."""
    known = artefacts()
    data = [path for path in listed(STAGES[stage]["deps"]) if not path.startswith(("src/", "stages/"))]

    scripts = [REPOSITORY / f"stages/{stage}.py", *(import_graph.path_of(name) for name in READERS & {*modules(stage)})]
    used = {name for script in scripts for name in path_constants(script)} - UNDECLARED
    if any(call in scripts[0].read_text(encoding="utf-8") for call in READS_PART):
        used.add("MODEL_BACKBONE")

    assert sorted(known.get(path, path) for path in [*data, *written(stage)]) == sorted(used)


def test_every_artefact_is_written_by_one_stage_before_another_reads_it() -> None:
    there = {paths.INCOMING.as_posix(), paths.WEIGHTS.as_posix()}
    for stage in NAMES:
        data = {path for path in listed(STAGES[stage]["deps"]) if not path.startswith(("src/", "stages/"))}
        assert data <= there, stage
        assert there.isdisjoint(written(stage)), stage
        there |= set(written(stage))
    assert there == set(artefacts())


@pytest.mark.parametrize("stage", NAMES)
def test_params_are_those_that_the_stage_reads(stage: str) -> None:
    read = params_read(REPOSITORY / f"stages/{stage}.py")
    declared = STAGES[stage].get("params", [])

    def overlap(key: str, other: str) -> bool:
        return not key or key == other or key.startswith(f"{other}.") or other.startswith(f"{key}.")

    for key in read:
        assert any(overlap(key, other) for other in declared), f"{key} is read and not declared"
    for key in declared:
        assert any(overlap(other, key) for other in read), f"{key} is declared and never read"


def test_every_declared_key_is_in_params_yaml_and_every_key_there_is_declared() -> None:
    declared = {key for stage in STAGES.values() for key in stage.get("params", [])}

    def leaves(section: Any, prefix: str) -> list[str]:
        if not isinstance(section, dict) or prefix.startswith("dataset"):
            return [prefix]
        return [leaf for name, value in section.items() for leaf in leaves(value, f"{prefix}.{name}".lstrip("."))]

    for key in leaves(PARAMS, ""):
        assert any(f"{key}.".startswith(f"{other}.") for other in declared), f"no stage declares {key}"
    for key in declared:
        section = PARAMS
        for name in key.split("."):
            assert name in section, f"{key} is not in params.yaml"
            section = section[name]


def test_going_back_to_an_old_value_can_be_restored() -> None:
    """DVC's run-cache leaves out a stage with an out, metrics and plots aside, that is not cached or that persists."""
    for name, stage in STAGES.items():
        for out in stage.get("outs", []):
            options = next(iter(out.values())) if isinstance(out, dict) else {}
            assert options.get("cache", True), f"{name}: {out}"
            assert not options.get("persist", False), f"{name}: {out}"


def test_nothing_is_hidden_from_the_run_cache() -> None:
    """It takes no notice of a key called size or nfiles inside a section (treeverse/dvc, issue 10296).

    So image.size stands on its own in featurize; what comes later is told of it by the sums of what it reads.
    """

    def hidden(section: Any) -> bool:
        return isinstance(section, dict) and any(
            name in ("size", "nfiles") or hidden(value) for name, value in section.items()
        )

    assert hidden(PARAMS["image"])
    for name, stage in STAGES.items():
        if {"data/features", paths.MODEL.as_posix()}.isdisjoint(listed(stage["deps"])):
            for key in stage.get("params", []):
                assert not hidden(PARAMS.get(key)), f"{name}: {key}"


def test_every_stage_and_output_says_what_it_is() -> None:
    for name, stage in STAGES.items():
        assert stage["desc"], name
        for out in stage.get("outs", []):
            assert isinstance(out, dict), f"{name}: {out}"
            assert next(iter(out.values()))["desc"], f"{name}: {out}"


def test_the_model_is_a_dvc_artifact() -> None:
    artifacts = PIPELINE["artifacts"]

    assert [artifact["path"] for artifact in artifacts.values()] == [paths.MODEL.parent.as_posix()]
    assert all(artifact["type"] == "model" and artifact["desc"] for artifact in artifacts.values())


def test_dvc_reports_nothing_to_anyone() -> None:
    config = ConfigParser()
    config.read(REPOSITORY / ".dvc/config")

    assert config.getboolean("core", "analytics") is False
    assert config.getboolean("core", "check_update") is False
