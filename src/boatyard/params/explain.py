"""Pydantic's findings about a params file as one line: the key, the value, the fix."""

import difflib
import json
from typing import Any, NamedTuple, cast, get_args

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from boatyard.params.schema import RENAMED, Params
from boatyard.params.types import Section

_LONGEST = 80  # characters of a value in a message

# Pydantic's words for a type, in the words of a YAML file.
_EXPECTED = {
    "string_type": "text in quotes",
    "bool_type": "true or false",
    "list_type": "a list, as in [a, b]",
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "a section of keys"),
}


class _Place(NamedTuple):
    """Where a problem is."""

    key: str  # of params.yaml, with its sections
    section: type[Section] | None  # that the key is in; None inside a list or a free mapping
    kinds: dict[str, type[Section]]  # if the key takes one of several kinds of section: by the value of their tag


def explain(error: ValidationError) -> str:
    """The first problem as one line, and the number of other problems."""
    by_key: dict[str, list[dict[str, Any]]] = {}
    for problem in cast(list[dict[str, Any]], error.errors(include_url=False)):
        by_key.setdefault(_locate(problem["loc"]).key, []).append(problem)
    # An unknown key first: it is usually a misspelt one, and the missing key after it is the same mistake.
    problems = min(by_key.values(), key=lambda found: found[0]["type"] != "extra_forbidden")
    more = f" (and {len(by_key) - 1} more)" if len(by_key) > 1 else ""
    # Several problems with one key: its value may have one of several types, and has none of them.
    alternatives = [_expected(problem) for problem in problems[1:]]
    return " or ".join([_explain_one(problems[0]), *alternatives]) + more


def _explain_one(problem: dict[str, Any]) -> str:
    key, section, kinds = _locate(problem["loc"])
    kind, value = problem["type"], problem["input"]
    name = key.rsplit(".", 1)[-1]
    if kind == "invalid_key" or problem["loc"][-1:] == ("[key]",):
        parent = _locate(problem["loc"][: -1 if kind == "invalid_key" else -2]).key
        return f"{parent or 'params'}: the key {_shown(value)} is not text; put it in quotes"
    if kind == "extra_forbidden":
        if key in RENAMED:
            return f"{key}: this key is now called {RENAMED[key]}; rename it"
        known = list(section.model_fields) if section else []
        close = difflib.get_close_matches(name, known, n=1)
        fix = f"did you mean {close[0]!r}?" if close else f"remove it; the keys here are {', '.join(known)}"
        return f"{key}: unknown key; {fix}"
    if kind == "missing":
        field = section.model_fields.get(name) if section else None
        if not field or not field.examples:
            return f"{key}: missing; add the section, as in the files in presets/"
        return f"{key}: missing; add it, for example `{name}: {yaml_text(field.examples[0])}`"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        tag = problem["ctx"]["discriminator"].strip("'")
        found = f"{_shown(value[tag])} is unknown" if isinstance(value, dict) and tag in value else "missing"
        return f"{key}.{tag}: {found}; choose one of {', '.join(map(repr, kinds))}"
    message = problem["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    if kind == "value_error":
        shown = "" if isinstance(value, dict) else f"{_shown(value)}: "
        return f"{key or 'params'}: {shown}{message}"
    fix = f"input should be {_expected(problem)}" if message.startswith("Input should be ") else _lower_first(message)
    return f"{key}: {_shown(value)} is invalid; {fix}"


def yaml_text(example: object) -> str:
    """An example of the schema as YAML."""
    return example if isinstance(example, str) else json.dumps(example, ensure_ascii=False)


def _expected(problem: dict[str, Any]) -> str:
    return _EXPECTED.get(problem["type"]) or _lower_first(problem["msg"]).removeprefix("input should be ")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def _locate(loc: tuple[int | str, ...]) -> _Place:
    """A problem's place in the file.

    Pydantic adds the chosen kind of section ('dataset', 'pypi', 'version') and the tried type of a value, which are not
    keys of the file.
    """
    keys: list[str] = []
    section: type[Section] | None = None
    accepted: Any = Params  # what the value here may be
    kinds: dict[str, type[Section]] = {}
    for part in loc:
        if part in kinds:
            accepted, kinds = kinds[str(part)], {}
        elif isinstance(accepted, type) and issubclass(accepted, Section):
            section = accepted
            field = section.model_fields.get(str(part))
            accepted, kinds = (field.annotation, _kinds(field)) if field else (None, {})
            keys.append(str(part))
        elif isinstance(part, int):
            section, accepted = None, next(iter(get_args(accepted)), None)
            keys[-1] += f"[{part}]"
        elif accepted is None or not _is_type_name(part):
            section = None
            keys.append(part)
    return _Place(".".join(keys), section, kinds)


def _kinds(field: FieldInfo) -> dict[str, type[Section]]:
    tag = field.discriminator
    if not isinstance(tag, str):
        return {}
    return {get_args(kind.model_fields[tag].annotation)[0]: kind for kind in get_args(field.annotation)}


def _is_type_name(part: str) -> bool:
    """Whether this is the type of a plain union that pydantic tried: 'int', 'literal[...]', 'constrained-int'."""
    return part in {"int", "float", "str", "bool"} or part.startswith(("literal[", "constrained-", "function-"))
