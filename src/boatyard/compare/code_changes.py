"""Which code changed: dvc.lock has one hash for each folder of code, and git knows the files in it."""

import json
from collections.abc import Sequence
from fnmatch import fnmatch
from hashlib import md5
from itertools import chain
from pathlib import Path

from boatyard.compare import git

CODE = ("src/", "stages/")
_IGNORE_FILES = (Path(".dvcignore"), Path("src/.dvcignore"))


def is_code(path: str) -> bool:
    """Whether a path of dvc.yaml is code, a file or a folder."""
    return path.startswith(CODE)


def digest(path: Path) -> str:
    """The MD5 of a file or folder of code in the working tree, as DVC writes it to dvc.lock; empty if it is missing.

    For a folder, DVC hashes the list of its files and their hashes, without those that .dvcignore names.
    """
    if not path.is_dir():
        return md5_of(path.read_bytes()) if path.is_file() else ""
    ignored = _ignored_names()
    files = sorted(file.relative_to(path) for file in path.rglob("*") if file.is_file())
    listed = [
        {"md5": md5_of((path / file).read_bytes()), "relpath": file.as_posix()}
        for file in files
        if not any(fnmatch(part, pattern) for part in file.parts for pattern in ignored)
    ]
    listed.sort(key=lambda entry: entry["relpath"])
    return f"{md5_of(json.dumps(listed, sort_keys=True).encode())}.dir"


def files_changed_since(commit: str, paths: Sequence[str]) -> list[str]:
    """The files that differ between a commit and the working tree, below some paths of code that have changed.

    Where git sees no difference below a path, because the results were made with code that was never committed, the
    path itself is given.
    """
    if not paths:  # git would list every file
        return []
    names = (git.ask("diff", "--name-only", "--relative", commit, "--", *paths) or "").splitlines()
    found = [[name for name in names if Path(name).is_relative_to(path)] or [path] for path in paths]
    return list(dict.fromkeys(chain.from_iterable(found)))


def _ignored_names() -> list[str]:
    """The patterns of the .dvcignore files, which in this repository are all patterns of names."""
    lines = chain.from_iterable(path.read_text("utf-8").splitlines() for path in _IGNORE_FILES if path.is_file())
    return [line.strip().rstrip("/").removeprefix("\\") for line in lines if line.strip() and line[0] != "#"]


def md5_of(content: bytes) -> str:
    """The MD5 by which DVC names content."""
    return md5(content, usedforsecurity=False).hexdigest()
