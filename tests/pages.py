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

    def blocks(self, language: str, heading: str | None = None) -> list[str]:
        """The fenced blocks of a language, in one section or in the whole page."""
        text = self.section(heading) if heading else self.text
        return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)

    def commands(self, heading: str | None = None) -> list[str]:
        """The commands of the console blocks, which hold nothing else, without their prompt."""
        lines = "".join(self.blocks("console", heading)).splitlines()
        assert all(line.startswith("$ ") for line in lines)
        return [line.removeprefix("$ ") for line in lines]

    def _sections(self) -> dict[str, str]:
        # From the second level on: a single # may also begin a comment in a block.
        _, *parts = re.split(r"^##+ (.+)$", self.text, flags=re.MULTILINE)
        return dict(zip(parts[::2], parts[1::2], strict=True))
