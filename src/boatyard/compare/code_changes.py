"""Which code changed: dvc.lock has one hash for each folder of code, and git knows the files in it."""

import json
from collections.abc import Iterable, Sequence
from fnmatch import fnmatch
from hashlib import md5
from pathlib import Path

from boatyard.compare import git

CODE = ("src/", "stages/")
_IGNORE_FILES = (".dvcignore", "src/.dvcignore")


def is_code(path: str) -> bool:
    """Whether a path of dvc.yaml is code, a file or a folder."""
    return path.startswith(CODE)


def digest(path: Path) -> str:
    """The MD5 of a file or folder of code in the working tree, as DVC writes it to dvc.lock; empty if it is missing.

    For a folder, DVC hashes the list of its files and their hashes, without those that .dvcignore names.
    """
    if not path.is_dir():
        return _md5(path.read_bytes()) if path.is_file() else ""
    ignored = _ignored_names()
    files = sorted(file.relative_to(path) for file in path.rglob("*") if file.is_file())
    listed = [
        {"md5": _md5((path / file).read_bytes()), "relpath": file.as_posix()}
        for file in files
        if not any(fnmatch(part, pattern) for part in file.parts for pattern in ignored)
    ]
    listed.sort(key=lambda entry: entry["relpath"])
    return f"{_md5(json.dumps(listed, sort_keys=True).encode())}.dir"


def files_changed_since(commit: str, paths: Iterable[str]) -> list[str]:
    """The files that differ between a commit and the working tree, below some paths of code that have changed.

    Where git sees no difference below a path, because the results were made with code that was never committed, the
    path itself is given.
    """
    changed: dict[str, None] = {}
    for path in paths:
        names: Sequence[str] = (git.ask("diff", "--name-only", "--relative", commit, "--", path) or "").splitlines()
        changed.update(dict.fromkeys(names or [path]))
    return list(changed)


def _ignored_names() -> list[str]:
    """The patterns of the .dvcignore files, which in this repository are all patterns of names."""
    lines = [line for name in _IGNORE_FILES if Path(name).is_file() for line in Path(name).read_text().splitlines()]
    names = [line.strip().rstrip("/").removeprefix("\\") for line in lines]
    return [name for name, line in zip(names, lines, strict=True) if name and not line.startswith("#")]


def _md5(content: bytes) -> str:
    return md5(content, usedforsecurity=False).hexdigest()
