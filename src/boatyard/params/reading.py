"""Reading params.yaml: all of it, or only what a stage declares."""

from collections.abc import Iterable
from operator import attrgetter
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from boatyard.core import files, paths
from boatyard.core.errors import UserError
from boatyard.params.explain import explain
from boatyard.params.schema import Params
from boatyard.params.types import Section


def read(path: Path = paths.PARAMS) -> Params:
    """Read and check a whole params file.

    Raises:
        UserError: the file is missing, is not YAML, or does not fit the schema.
    """
    return check(files.read_yaml(path), path)


def check(values: dict[str, Any], path: Path) -> Params:
    """The values of a params file, if they fit the schema.

    Raises:
        UserError: they do not fit; the message starts with `path`.
    """
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{path}: {explain(error)}") from None


def load(stage: str, pipeline: Path = paths.PIPELINE, path: Path = paths.PARAMS) -> Params:
    """The params that `stage` declares in dvc.yaml, and no others.

    The whole file is checked, but reading a key that dvc.yaml does not list for the stage raises `AttributeError`:
    DVC would not rerun the stage when that key changes.
    """
    stages = files.read_yaml(pipeline).get("stages") or {}
    if stage not in stages:
        raise UserError(f"{pipeline} has no stage {stage!r}; its stages are {', '.join(stages)}")
    declared = stages[stage].get("params", [])
    return cast(Params, _Declared(read(path), stage, "", declared))


def dump(settings: Params) -> dict[str, Any]:
    """What `load` returned to a stage, as plain values by dotted key."""
    declared = cast(_Declared, settings).declared
    values = {key: attrgetter(key)(settings) for key in sorted(declared)}
    return {key: value.model_dump() if isinstance(value, Section) else value for key, value in values.items()}


class _Declared:
    """A section in which only the declared keys can be read."""

    def __init__(self, section: Section, stage: str, prefix: str, declared: Iterable[str]):
        self._section, self._stage, self._prefix, self.declared = section, stage, prefix, list(declared)

    def __getattr__(self, name: str) -> Any:
        key = f"{self._prefix}{name}"
        value = getattr(self._section, name)
        if key in self.declared:
            return value
        if any(declared.startswith(f"{key}.") for declared in self.declared):
            return _Declared(value, self._stage, f"{key}.", self.declared)
        raise AttributeError(f"stage {self._stage!r} reads {key}: list it under the stage's params in dvc.yaml")
