"""The templates of everything the report writes, and the filters that they use."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from boatyard.evaluation import comparison
from boatyard.report import formatting, markdown_blocks

TEMPLATES = Path(__file__).parent / "templates"


def environment() -> Environment:
    """The environment of all templates. Those of the page escape what they show; in Markdown, the filter does."""
    shared = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(["html.j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    shared.filters |= {
        "percent": formatting.percent,
        "show": lambda value, metric: formatting.show(metric, value),
        "show_interval": lambda bounds, metric: formatting.show_interval(metric, *bounds),
        "points": comparison.points,
        "count": formatting.count,
        "escaped": markdown_blocks.escape,
    }
    shared.globals |= {"interval": formatting.interval}
    return shared
