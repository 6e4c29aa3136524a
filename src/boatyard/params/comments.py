"""Writes the end-of-line comments of params.yaml and the presets from the schema (`make presets`).

    python -m boatyard.params.comments presets/*.yaml params.yaml

A key's comment is its description in the schema, with its range, and the first stage that a change reruns. Values,
layout and comments on lines of their own stay as they are, as does a line for which the schema has no comment.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node

from boatyard.core import errors, files, paths
from boatyard.params import reading
from boatyard.params.schema import Params

_COLUMN = 30  # where comments start, except behind long values
_SCHEMA = Params.model_json_schema()

Fields = Mapping[str, Any]


def rewrite(text: str, stages: Mapping[str, Any]) -> str:
    """A params file's text with the comments that the schema gives its keys.

    Args:
        text: YAML that fits the schema.
        stages: the stages of dvc.yaml in order; their params say what a change reruns.
    """
    lines = text.splitlines()
    for key, value, comment in _comments(YAML(pure=True).compose(text), _SCHEMA, "", stages, show_stage=True):
        row = key.start_mark.line
        line = lines[row]
        if value.start_mark.line > row:  # a section, whose keys are on the lines below
            end = line.index(":", key.end_mark.column) + 1
        elif value.end_mark.line == row:
            end = value.end_mark.column
        else:
            continue
        if comment and line[end:].lstrip()[:1] in ("", "#"):
            lines[row] = f"{line[:end]:{_COLUMN - 2}}  # {comment}"
    return "\n".join(lines) + "\n"


def _comments(
    node: MappingNode, schema: Fields, prefix: str, stages: Mapping[str, Any], *, show_stage: bool
) -> Iterator[tuple[Node, Node, str]]:
    """The key, the value and the comment of each setting below a section."""
    properties = _properties(schema, node)
    for key, value in node.value:
        if key.value not in properties:
            continue
        name, field = f"{prefix}{key.value}", properties[key.value]
        reruns = _first_stages(name, value, stages)
        show = show_stage and len(reruns) == 1
        text = field.get("description", "{range}").replace("{range}", _range(field))
        yield key, value, " · ".join(filter(None, [text, *(f"reruns {stage}" for stage in reruns if show)]))
        if isinstance(value, MappingNode):
            yield from _comments(value, field, f"{name}.", stages, show_stage=show_stage and not show)


def _properties(schema: Fields, node: MappingNode) -> dict[str, Any]:
    """The fields of a section; empty if it is not one, or of an unknown kind."""
    if "oneOf" not in schema:
        properties: dict[str, Any] = _definition(schema).get("properties", {})
        return properties
    # One of several kinds of section, which a tag such as `source` tells apart.
    tag = schema["discriminator"]["propertyName"]
    members: list[dict[str, Any]] = [_definition(kind)["properties"] for kind in schema["oneOf"]]
    kinds = {fields[tag]["const"]: fields for fields in members}
    chosen = next((value.value for key, value in node.value if key.value == tag), None)
    if chosen not in kinds:
        return {}
    choices = (": ".join(filter(None, [name, fields[tag].get("description")])) for name, fields in kinds.items())
    return kinds[chosen] | {tag: {"description": " · ".join(choices)}}


def _definition(schema: Fields) -> Fields:
    definition: Fields = _SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    return definition


def _range(field: Fields) -> str:
    """The numbers or the words that a field takes, as text; empty if it takes any."""
    if "anyOf" in field:
        return " · ".join(filter(None, (_range(kind) for kind in field["anyOf"] if "enum" not in kind)))
    if "items" in field:
        return _range(field["items"])
    if "enum" in field:
        return " · ".join(field["enum"])
    low, above = (_number(field.get(name)) for name in ("minimum", "exclusiveMinimum"))
    high, below = (_number(field.get(name)) for name in ("maximum", "exclusiveMaximum"))
    if low and high:
        return f"{low} to {high}"
    if high or below:
        return f"{'[' if low else '('}{low or above}, {high or below}{']' if high else ')'}"
    return f"≥ {low}" if low else f"> {above}" if above else ""


def _number(bound: float | None) -> str:
    if bound is None:
        return ""
    return f"2^{bound.bit_length() - 1}" if isinstance(bound, int) and bound > 10**9 else f"{bound:,}"


def _first_stages(key: str, value: Node, stages: Mapping[str, Any]) -> list[str]:
    """The stages that changes of a setting, or of the settings of a section, can be the first to rerun."""
    if isinstance(value, MappingNode) and value.value:
        found = [stage for name, inner in value.value for stage in _first_stages(f"{key}.{name.value}", inner, stages)]
        return list(dict.fromkeys(found))
    reads = [
        name for name, stage in stages.items() for param in stage.get("params", []) if f"{key}.".startswith(f"{param}.")
    ]
    return reads[:1]


def main() -> None:
    stages = files.read_yaml(paths.PIPELINE)["stages"]
    for name in sys.argv[1:]:
        path = Path(name)
        reading.read(path)  # whatever is wrong with it is one line
        files.write_bytes(path, rewrite(path.read_text(encoding="utf-8"), stages).encode())


if __name__ == "__main__":
    errors.run(main)
