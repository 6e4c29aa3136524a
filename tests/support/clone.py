"""A clone of this repository's working tree in a temporary folder, and DVC commands in it."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

REPOSITORY = Path(__file__).resolve().parents[2]
PERSONAL = ("data/incoming/", "models/weights/", "metrics/", "plots/")


@dataclass(frozen=True)
class Clone:
    """A folder under git and DVC. `home` replaces the user's, so that no setting of the machine is read."""

    folder: Path
    home: Path

    @classmethod
    def of_working_tree(cls, folder: Path, home: Path) -> "Clone":
        """Copy and commit what `git clone` would bring if everything that git does not ignore were committed.

        The photos, weights, results and params.yaml of the person who works here are left out; the default preset
        becomes params.yaml.
        """
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=REPOSITORY, capture_output=True, check=True,
        )  # fmt: skip
        for name in sorted(set(os.fsdecode(listed.stdout).split("\0")) - {""}):
            if name.startswith(PERSONAL) and not name.endswith(("/.gitkeep", "/.gitignore")):
                continue
            source, target = REPOSITORY / name, folder / name
            if source.exists() or source.is_symlink():  # else a deletion that is not committed yet
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target, follow_symlinks=False)
        shutil.copy2(REPOSITORY / "presets/solar_cells.yaml", folder / "params.yaml")
        home.mkdir(exist_ok=True)
        clone = cls(folder, home)
        clone.git("init", "--quiet", "--initial-branch", "main")
        clone.commit("As cloned")
        return clone

    def copy(self, folder: Path) -> "Clone":
        """The same files, commits, cache and outputs in another folder."""
        subprocess.run(["cp", "-a", str(self.folder), str(folder)], check=True)
        return Clone(folder, self.home)

    def run(self, *command: str, fails: bool = False, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the folder. It must fail if `fails`, and succeed otherwise."""
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment() | environment, capture_output=True, text=True
        )
        assert (done.returncode != 0) == fails, (
            f"{command}: {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        )
        return done

    def environment(self) -> dict[str, str]:
        """The environment of a command in the folder."""
        return {
            # The stages say `python`: it must be the one that runs the tests.
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.home),
            "DVC_SITE_CACHE_DIR": str(self.home / "dvc"),
            "DVC_NO_ANALYTICS": "1",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "Tester", "GIT_AUTHOR_EMAIL": "tester@example.org",
            "GIT_COMMITTER_NAME": "Tester", "GIT_COMMITTER_EMAIL": "tester@example.org",
            "LC_ALL": "C.UTF-8",
            "COLUMNS": "200",
        }  # fmt: skip

    def git(self, *arguments: str) -> str:
        return self.run("git", *arguments).stdout

    def dvc(self, *arguments: str, **environment: str) -> str:
        """Run a dvc command that must succeed; return its standard output."""
        return self.run("dvc", *arguments, **environment).stdout

    def commit(self, message: str) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)

    def repro(self, *arguments: str, **environment: str) -> "Repro":
        return Repro(self.dvc("repro", *arguments, **environment))

    def changed_stages(self) -> set[str]:
        """The stages with a changed dependency or output, according to `dvc status`."""
        return set(json.loads(self.dvc("status", "--json")))

    def results(self) -> dict[str, str]:
        """The sha256 of dvc.lock and of every file that a run writes, by its path."""
        written = [path for top in ("data", "models", "metrics", "plots", "report") for path in self._files(top)]
        return {
            path.relative_to(self.folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in [self.folder / "dvc.lock", *written]
        }

    def _files(self, top: str) -> list[Path]:
        brought = (self.folder / "data/incoming", self.folder / "models/weights")
        found = (self.folder / top).rglob("*")
        return [path for path in found if path.is_file() and not any(map(path.is_relative_to, brought))]

    def set_param(self, key: str, value: Any) -> None:
        """Change one key of params.yaml and no other byte of the file."""
        yaml = YAML()
        yaml.preserve_quotes = True
        yaml.width = 10_000
        path = self.folder / "params.yaml"
        params = yaml.load(path.read_text(encoding="utf-8"))
        section = params
        *parents, name = key.split(".")
        for parent in parents:
            section = section[parent]
        section[name] = value
        with path.open("w", encoding="utf-8") as file:
            yaml.dump(params, file)

    def read_json(self, name: str) -> dict[str, Any]:
        return json.loads((self.folder / name).read_text(encoding="utf-8"))

    def params(self) -> dict[str, Any]:
        """The content of params.yaml."""
        return self._read_yaml("params.yaml")

    def lock(self) -> dict[str, Any]:
        """The stages of dvc.lock."""
        return self._read_yaml("dvc.lock")["stages"]

    def _read_yaml(self, name: str) -> dict[str, Any]:
        return YAML(typ="safe", pure=True).load((self.folder / name).read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Repro:
    """The output of `dvc repro`, and what it says about each stage."""

    output: str

    @property
    def ran(self) -> set[str]:
        return set(re.findall(r"^Running stage '(\w+)':", self.output, re.MULTILINE))

    @property
    def restored(self) -> set[str]:
        """The stages that did not run because the run-cache had their outputs."""
        return set(re.findall(r"^Stage '(\w+)' is cached - skipping run", self.output, re.MULTILINE))

    @property
    def unchanged(self) -> set[str]:
        return set(re.findall(r"^Stage '(\w+)' didn't change, skipping", self.output, re.MULTILINE))
