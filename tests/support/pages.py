"""The Markdown pages, parsed: the tests run the commands and follow the links that a reader finds there."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Page:
    text: str

    @classmethod
    def read(cls, name: str) -> "Page":
        """A page by its path in the repository."""
        return cls((ROOT / name).read_text(encoding="utf-8"))

    def headings(self) -> list[str]:
        return list(self._sections())

    def anchors(self) -> set[str]:
        """What a link to a heading of this page has after its #, as GitHub makes it."""
        headings = re.findall(r"^#+ (.+)$", self._prose(), re.MULTILINE)
        return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}

    def links(self) -> list[tuple[str, str]]:
        """Links and pictures that lead into the repository: a relative path, '' for this page, and an anchor, or ''."""
        targets = re.findall(r'\]\(([^)\s]+)\)|<img src="([^"]+)"', self._prose())
        local = [target for target in map("".join, targets) if "://" not in target]
        return [(path, anchor) for path, _, anchor in (target.partition("#") for target in local)]

    def section(self, heading: str) -> str:
        """The text between a heading and the next one."""
        return self._sections()[heading]

    def blocks(self, language: str, heading: str | None = None) -> list[str]:
        """The fenced blocks of a language, in one section or in the whole page; those in a list without its indent."""
        text = self.section(heading) if heading else self.text
        found = re.findall(rf"^( *)```{language}\n(.*?)^\1```$", text, re.DOTALL | re.MULTILINE)
        return [re.sub(f"^{indent}", "", block, flags=re.MULTILINE) for indent, block in found]

    def commands(self, heading: str | None = None) -> list[str]:
        """The commands of the console blocks, which have nothing else, without their prompt."""
        lines = "".join(self.blocks("console", heading)).splitlines()
        assert all(line.startswith("$ ") for line in lines)
        return [line.removeprefix("$ ") for line in lines]

    def _prose(self) -> str:
        """The text without its fenced blocks."""
        return re.sub(r"^ *```.*?^ *```$", "", self.text, flags=re.DOTALL | re.MULTILINE)

    def _sections(self) -> dict[str, str]:
        # From the second level on: a single # may also begin a comment in a block.
        _, *parts = re.split(r"^##+ (.+)$", self.text, flags=re.MULTILINE)
        return dict(zip(parts[::2], parts[1::2], strict=True))
