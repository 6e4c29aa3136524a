"""requirements.txt pins everything that pyproject.toml requires, with hashes and without addresses."""

import itertools
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).resolve().parents[2]
TEXT = (REPOSITORY / "requirements.txt").read_text(encoding="utf-8")
AUDIT = (REPOSITORY / ".ci/audit-requirements.txt").read_text(encoding="utf-8")


def pins_of(text: str) -> list[Requirement]:
    return [Requirement(re.sub(r"\s*\\$", "", line)) for line in text.splitlines() if re.match(r"[a-z0-9]", line)]


def test_every_requirement_of_the_project_is_pinned_to_a_version_that_it_allows() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pinned: dict[str, list[str]] = {}
    for pin in pins_of(TEXT):
        pinned.setdefault(canonicalize_name(pin.name), []).append(str(pin.specifier).removeprefix("=="))

    extras = project["optional-dependencies"]
    for text in [*project["dependencies"], *itertools.chain(*extras.values())]:
        wanted = Requirement(text)
        if wanted.name == "boatyard":
            continue
        versions = pinned.get(canonicalize_name(wanted.name), [])
        assert versions, f"{text} is not in requirements.txt: make lock"
        assert all(wanted.specifier.contains(version) for version in versions), f"{text}: {versions}"


def test_make_installs_every_extra() -> None:
    """requirements.txt is compiled with the extra "dev"."""
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "optional-dependencies"
    ]
    own = [wanted for wanted in map(Requirement, extras["dev"]) if wanted.name == "boatyard"]

    assert {extra for wanted in own for extra in wanted.extras} == extras.keys() - {"dev"}


@pytest.mark.parametrize(("text", "least"), [(TEXT, 100), (AUDIT, 20)])
def test_every_pin_is_exact_and_hashed(text: str, least: int) -> None:
    blocks, pins = re.split(r"\n(?=[a-z0-9])", text), pins_of(text)

    assert len(blocks) == len(pins) > least
    for pin, block in zip(pins, blocks, strict=True):
        assert re.fullmatch(r"==[\w.!+]+", str(pin.specifier)), pin
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), pin


def test_the_auditor_is_pinned_to_a_version_that_the_project_allows() -> None:
    (wanted,) = map(
        Requirement, tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["dependency-groups"]["audit"]
    )
    (pinned,) = (pin for pin in pins_of(AUDIT) if canonicalize_name(pin.name) == canonicalize_name(wanted.name))
    assert wanted.specifier.contains(str(pinned.specifier).removeprefix("=="))


@pytest.mark.parametrize("text", [TEXT, AUDIT])
def test_no_address_is_recorded(text: str) -> None:
    assert not re.search(r"://|index-url|find-links|file:|\s@\s", text)
