"""Brings params.yaml and the presets up to date with the schema (`make presets`): new keys and end-of-line comments.

    python -m boatyard.params.write presets/*.yaml params.yaml

A key that a file lacks is added with its first example in the schema. A key's comment is its description in the schema,
with its range, and the first stage that a change reruns. Values, layout and comments on lines of their own stay as they
are, as does a line for which the schema has no comment.
"""

import sys
from collections.abc import Iterator, Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.nodes import CollectionNode, MappingNode, Node

from boatyard.core import errors, files, paths
from boatyard.params import reading
from boatyard.params.explain import yaml_text
from boatyard.params.schema import Params

_COLUMN = 30  # where comments start, except behind long values
_SCHEMA = Params.model_json_schema()

Fields = Mapping[str, Any]


def add_keys(text: str) -> str:
    """A params file's text with the keys that it lacks: in the order of the schema, each with its example."""
    lines = text.splitlines()
    missing = sorted(_missing(YAML(pure=True).compose(text), _SCHEMA), key=itemgetter(0))
    for row, added in reversed(missing):  # from the end, as every insertion moves the rows after it
        lines[row:row] = added
    return "\n".join(lines) + "\n"


def write_comments(text: str, stages: Mapping[str, Any]) -> str:
    """A params file's text with the schema's comments.

    Args:
        text: YAML, a mapping.
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


def _missing(node: MappingNode, schema: Fields) -> Iterator[tuple[int, list[str]]]:
    """The lines of each key that a section lacks, with the row to insert them at."""
    present = {key.value: value for key, value in node.value}
    if not present or node.flow_style:
        return
    first = node.value[0][0].start_mark
    row = first.line
    for name, field in _properties(schema, node).items():
        if name not in present:
            yield row, _example(name, field, " " * first.column)
            continue
        row = _last_row(present[name]) + 1
        if isinstance(present[name], MappingNode):
            yield from _missing(present[name], field)


def _example(name: str, field: Fields, indent: str) -> list[str]:
    """A key with its example; for a section, with those of its keys. Empty if the schema has none."""
    if "examples" in field:
        return [f"{indent}{name}: {yaml_text(field['examples'][0])}"]
    keys = _definition(field).get("properties", {}).items()
    below = [line for inner, value in keys for line in _example(inner, value, f"{indent}  ")]
    return [f"{indent}{name}:", *below] if below else []


def _last_row(node: Node) -> int:
    """The row in which a value ends; a block's own end mark is after the blank lines and comments that follow it."""
    if isinstance(node, CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _last_row(last[1] if isinstance(last, tuple) else last)
    row: int = node.end_mark.line
    return row


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


def _definition(schema: Fields) -> Any:
    return _SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def _range(field: Fields) -> str:
    """The numbers or words that a field accepts, as text; empty if it accepts any."""
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
    """The first stage that reads a setting; for a section, those of all its settings."""
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
        files.read_yaml(path)  # refuses what is not YAML
        text = write_comments(add_keys(path.read_text(encoding="utf-8")), stages)
        reading.check(YAML(typ="safe", pure=True).load(text), path)
        files.write_bytes(path, text.encode())


if __name__ == "__main__":
    errors.run(main)
