"""The report's Markdown: report/report.md, for a pull request, and the model card."""

from typing import Any

from boatyard.models.model_header import KEY, Header
from boatyard.report.formatting import NBSP
from boatyard.report.markdown_blocks import MAX_OPEN_ROWS
from boatyard.report.run import Run
from boatyard.report.templating import environment

MAX_LABEL_ISSUES = 10
# Classes that the model card lists in a sentence, and those with the lowest top-1 named in one; the table has all.
MAX_NAMES, MAX_POOR = 20, 3


def summary(run: Run) -> str:
    """report/report.md: the metrics, the classes, test-time augmentation, label issues, in GitHub's Markdown."""
    return _render("report.md.j2", run=run, max_label_issues=MAX_LABEL_ISSUES)


def model_card(run: Run, about: Header) -> str:
    """models/MODEL_CARD.md, in GitHub's Markdown with the metadata block that model hubs read.

    Args:
        run: the run that made the model.
        about: the model's header.
    """
    return _render("MODEL_CARD.md.j2", run=run, about=about, key=KEY, max_names=MAX_NAMES, max_poor=MAX_POOR)


def _render(template: str, **context: Any) -> str:
    text = environment().get_template(template).render(max_open_rows=MAX_OPEN_ROWS, **context)
    return text.replace(NBSP, " ")
