"""requirements.txt is a full, hashed pin of what pyproject.toml asks for, and says nothing of where it came from."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).resolve().parents[1]
TEXT = (REPOSITORY / "requirements.txt").read_text(encoding="utf-8")
PINS = [Requirement(re.sub(r"\s*\\$", "", line)) for line in TEXT.splitlines() if re.match(r"[a-z0-9]", line)]


def test_every_requirement_of_the_project_is_pinned_to_a_version_that_it_allows() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pinned: dict[str, list[str]] = {}
    for pin in PINS:
        pinned.setdefault(canonicalize_name(pin.name), []).append(str(pin.specifier).removeprefix("=="))

    for text in [*project["dependencies"], *project["optional-dependencies"]["dev"]]:
        wanted = Requirement(text)
        versions = pinned.get(canonicalize_name(wanted.name), [])
        assert versions, f"{text} is not in requirements.txt: make lock"
        assert all(wanted.specifier.contains(version) for version in versions), f"{text}: {versions}"


def test_every_pin_is_exact_and_hashed() -> None:
    blocks = re.split(r"\n(?=[a-z0-9])", TEXT)

    assert len(blocks) == len(PINS) > 100
    for pin, block in zip(PINS, blocks, strict=True):
        assert re.fullmatch(r"==[\w.!+]+", str(pin.specifier)), pin
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), pin


def test_no_address_is_recorded() -> None:
    assert not re.search(r"://|index-url|find-links|file:|\s@\s", TEXT)
