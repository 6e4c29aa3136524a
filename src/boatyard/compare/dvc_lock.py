"""dvc.lock: the code and parameters that the stages ran with, and the files that they wrote."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from boatyard.compare.code_changes import is_code
from boatyard.core import files, paths
from boatyard.core.errors import DamagedFile
from boatyard.report.formatting import leaves


@dataclass(frozen=True)
class Lock:
    """A dvc.lock.

    Attributes:
        sums: MD5 of each output that is a file, by its path.
        code: MD5 of each file and folder of code that a stage depends on, by its path.
        params: the values that stages ran with, by dotted key of params.yaml; one for each stage that reads the key.
    """

    sums: Mapping[str, str] = field(default_factory=dict)
    code: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, list[Any]] = field(default_factory=dict)

    def not_run(self, params: Mapping[str, Any]) -> list[str]:
        """The keys of params.yaml that some stage ran with another value of, or that no stage has run with."""
        return [
            key
            for key in sorted(params.keys() | self.params.keys())
            if key not in params or key not in self.params or any(value != params[key] for value in self.params[key])
        ]


def read_lock(source: files.Source) -> Lock:
    """Read a dvc.lock.

    Raises:
        UserError: it is damaged.
    """
    try:
        stages = list(files.read_yaml(source)["stages"].values())
        sums = {out["path"]: out["md5"] for stage in stages for out in stage.get("outs", []) if "md5" in out}
        read = {dep["path"]: dep["md5"] for stage in stages for dep in stage.get("deps", []) if "md5" in dep}
        code = {path: md5 for path, md5 in read.items() if is_code(path)}
        params: dict[str, list[Any]] = {}
        for stage in stages:
            for key, value in leaves(stage.get("params", {}).get(paths.PARAMS.name, {})).items():
                params.setdefault(key, []).append(value)
    except (AttributeError, KeyError, TypeError) as error:
        raise DamagedFile(f"{source} is not a DVC lock file ({error})", files.REGENERATE) from None
    return Lock(sums, code, params)
