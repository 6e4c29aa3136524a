"""The pages of docs/, taken apart: the tests run the commands that a reader is told to run."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Page:
    text: str

    @classmethod
    def read(cls, name: str) -> "Page":
        """A page by its path in the repository."""
        return cls((ROOT / name).read_text(encoding="utf-8"))

    def headings(self) -> list[str]:
        return list(self._sections())

    def section(self, heading: str) -> str:
        """What stands between a heading and the next one."""
        return self._sections()[heading]

    def blocks(self, heading: str, language: str) -> list[str]:
        """The fenced blocks of a language in a section."""
        return re.findall(rf"^```{language}\n(.*?)^```$", self.section(heading), re.DOTALL | re.MULTILINE)

    def commands(self, heading: str) -> list[str]:
        """The lines of a section's console blocks that a reader types, without the prompt."""
        lines = "".join(self.blocks(heading, "console")).splitlines()
        return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]

    def _sections(self) -> dict[str, str]:
        # From the second level on: a single # may also begin a comment in a block.
        _, *parts = re.split(r"^##+ (.+)$", self.text, flags=re.MULTILINE)
        return dict(zip(parts[::2], parts[1::2], strict=True))
