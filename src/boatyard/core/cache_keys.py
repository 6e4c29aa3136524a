"""Names for what is cached in the work folder: each changes with everything that decided what is cached under it."""

import hashlib
from collections.abc import Iterable
from importlib.metadata import version

from boatyard.core import import_graph


def key(*inputs: object, libraries: Iterable[str] = (), code: str | None = None) -> str:
    """Sixteen hexadecimal digits that are the same only for the same inputs, library versions and code.

    Args:
        inputs: anything whose `repr` is complete and does not depend on where it is stored.
        libraries: distributions whose version matters.
        code: the module that computes what is cached. Its own code counts, and that of every module of this package
            that it can import; comments and docstrings do not. Nothing is imported.
    """
    parts = [*inputs, *map(version, libraries)]
    if code is not None:
        parts += [(module, import_graph.code(module)) for module in import_graph.closure([code])]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
