"""Names for what is kept in the work folder: each changes with all that decided what is kept under it."""

import hashlib
from collections.abc import Iterable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path


def key(*inputs: object, libraries: Iterable[str] = (), code: Iterable[str] = ()) -> str:
    """Sixteen hexadecimal digits that are the same only for the same inputs, versions and sources.

    Args:
        inputs: anything whose `repr` says all that matters of it, and nothing of where it lies.
        libraries: distributions whose version matters.
        code: names of modules whose source does; they are not imported.
    """
    parts = [*inputs, *map(version, libraries), *map(_source, code)]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _source(module: str) -> str:
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(module)
    return Path(spec.origin).read_text(encoding="utf-8")
