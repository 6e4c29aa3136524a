"""What every kind of source hands on, and what it reports its progress to."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


class Bar(Protocol):
    """What a progress bar can do; tqdm's can."""

    def update(self, n: int, /) -> Any: ...


class Progress(Protocol):
    """Makes a progress bar: what is going on, how many units there will be (None: unknown), their name."""

    def __call__(self, description: str, total: int | None, unit: str, /) -> AbstractContextManager[Bar]: ...


@dataclass(frozen=True)
class SourceFiles:
    """A folder of fetched files, and what is known about it."""

    folder: Path
    shown: str  # what to call the folder in a message
    name: str
    version: str
    sha256: str  # "" where there is no archive to take it of
    movable: bool  # the files are ours (just unpacked) and may be moved instead of copied
