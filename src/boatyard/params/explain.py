"""Pydantic's findings about a params file as one line: the key, the value, the fix."""

import difflib
import json
from typing import Any, cast, get_args

from pydantic import ValidationError

from boatyard.params import dataset
from boatyard.params.dataset import Layout
from boatyard.params.schema import Params, Split
from boatyard.params.types import Section

_LONGEST = 80  # characters of a value in a message

# What pydantic says to programmers, in words of params.yaml.
_WANTED = {
    "string_type": "text in quotes",
    "bool_type": "true or false",
    "list_type": "a list, as in [a, b]",
    "dict_type": "a section of keys",
    "model_type": "a section of keys",
    "model_attributes_type": "a section of keys",
}


def explain(error: ValidationError) -> str:
    """The first problem, as one line: the key, the value, the fix; and how many more there are."""
    by_key: dict[str, list[dict[str, Any]]] = {}
    for problem in cast(list[dict[str, Any]], error.errors(include_url=False)):
        by_key.setdefault(_locate(problem["loc"])[0], []).append(problem)
    # An unknown key first: it is most often a misspelt one, and then the 'missing' one after it is the same mistake.
    problems = min(by_key.values(), key=lambda found: found[0]["type"] != "extra_forbidden")
    more = f" (and {len(by_key) - 1} more)" if len(by_key) > 1 else ""
    # Several problems with one key: a value that may be one of several types, and is none of them.
    alternatives = [_wanted(problem) for problem in problems[1:]]
    return " or ".join([_explain_one(problems[0]), *alternatives]) + more


def _explain_one(problem: dict[str, Any]) -> str:
    key, section = _locate(problem["loc"])
    kind, value = problem["type"], problem["input"]
    name = key.rsplit(".", 1)[-1]
    if kind == "invalid_key" or problem["loc"][-1:] == ("[key]",):
        inside, _ = _locate(problem["loc"][: -1 if kind == "invalid_key" else -2])
        return f"{inside or 'params'}: the key {_shown(value)} is no text; put it in quotes"
    if kind == "extra_forbidden":
        known = list(section.model_fields) if section else []
        close = difflib.get_close_matches(name, known, n=1)
        fix = f"did you mean {close[0]!r}?" if close else f"take it out; known here: {', '.join(known)}"
        return f"{key}: unknown key; {fix}"
    if kind == "missing":
        field = section.model_fields.get(name) if section else None
        if not field or not field.examples:
            return f"{key}: missing; add the section, as the files in presets/ have it"
        example = field.examples[0]
        text = example if isinstance(example, str) else json.dumps(example, ensure_ascii=False)
        return f"{key}: missing; add it, for example `{name}: {text}`"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        tag = problem["ctx"]["discriminator"].strip("'")
        found = f"{_shown(value[tag])} is unknown" if isinstance(value, dict) and tag in value else "missing"
        choices = problem["ctx"].get("expected_tags") or ", ".join(map(repr, _tags(key)))
        return f"{key}.{tag}: {found}; choose one of {choices}"
    message = problem["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    if kind == "value_error":
        shown = "" if isinstance(value, dict) else f"{_shown(value)}: "
        return f"{key or 'params'}: {shown}{message}"
    wanted = f"input should be {_wanted(problem)}" if message.startswith("Input should be ") else _lower_first(message)
    return f"{key}: {_shown(value)} does not fit; {wanted}"


def _wanted(problem: dict[str, Any]) -> str:
    return _WANTED.get(problem["type"]) or _lower_first(problem["msg"]).removeprefix("input should be ")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _tags(key: str) -> list[str]:
    """The values that choose between the members of a section that is a union."""
    return list(_members({"dataset": dataset.union(), "split": Split, "dataset.layout": Layout}[key]))


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def _locate(loc: tuple[int | str, ...]) -> tuple[str, type[Section] | None]:
    """A problem's place as a dotted key of params.yaml, and the section that the key stands in.

    Pydantic puts the chosen member of a union into the place ('dataset', 'pypi', 'version'); the file has no such key.
    """
    keys: list[str] = []
    here: Any = Params
    parent: type[Section] | None = None
    for part in loc:
        members = _members(here)
        if members and part in members:
            here = members[str(part)]
            continue
        if isinstance(here, type) and issubclass(here, Section):
            parent = here
            field = here.model_fields.get(str(part))
            here = _annotation(here, str(part)) if field else None
        elif isinstance(part, int):
            parent, here = None, next(iter(get_args(here)), None)
        elif here is None or not _is_type_name(part):
            parent = None
        else:
            continue
        if isinstance(part, int) and keys:
            keys[-1] += f"[{part}]"
        else:
            keys.append(str(part))
    return ".".join(keys), parent


def _is_type_name(part: str) -> bool:
    """Pydantic also names the branch of a plain union that failed: 'int', 'literal[...]', 'constrained-int'."""
    return part in {"int", "float", "str", "bool"} or part.startswith(("literal[", "constrained-", "function-"))


def _annotation(section: type[Section], name: str) -> Any:
    if section is Params and name == "dataset":
        return dataset.union()
    field = section.model_fields[name]
    # Pydantic keeps a union's discriminator apart from its members.
    return {"layout": Layout, "split": Split}[name] if field.discriminator else field.annotation


def _members(annotation: Any) -> dict[str, type[Section]]:
    """The members of a union of sections by the value that selects each; empty for any other type."""
    union, *metadata = get_args(annotation) or (None,)
    key = getattr(metadata[0], "discriminator", None) if metadata else None
    if key is None:
        return {}
    return {get_args(member.model_fields[key].annotation)[0]: member for member in get_args(union)}
