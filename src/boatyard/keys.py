"""Names for what is kept in the work folder: each changes with all that decided what is kept under it."""

import hashlib
import inspect
from collections.abc import Iterable
from importlib.metadata import version
from types import ModuleType


def key(*inputs: object, libraries: Iterable[str] = (), code: Iterable[ModuleType] = ()) -> str:
    """Sixteen hexadecimal digits that are the same only for the same inputs, versions and sources.

    Args:
        inputs: anything whose `repr` says all that matters of it, and nothing of where it lies.
        libraries: distributions whose version matters.
        code: modules whose source does.
    """
    parts = [*inputs, *map(version, libraries), *map(inspect.getsource, code)]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
