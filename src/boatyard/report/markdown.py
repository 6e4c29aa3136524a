"""The report for a pull request: the headline figures, the classes, and what test-time augmentation is worth."""

import re
from collections.abc import Callable
from functools import partial

from boatyard.evaluation import comparison
from boatyard.report import formatting, notices
from boatyard.report.formatting import NBSP, count, interval, percent
from boatyard.report.run import Metrics, Run

# More rows than this are folded.
MOST_OPEN_ROWS = 20

MOST_SUSPECTS = 10


def render(run: Run) -> str:
    """The summary as GitHub's Markdown."""
    test, tta = run.test, run.tta
    lines = [
        f"# {escape(run.name)}: {percent(test['top1'])} top-1",
        "",
        f"{count(run.filtering['kept'], 'photo')} in {count(run.filtering['classes'], 'class', 'classes')}, "
        f"{escape(run.settings['model']['backbone'])}, {count(test['images'], 'test photo')}. "
        f"Licence of the data: {escape(run.download['licence'])}.",
        *(["", f"**Leak:** {notices.leaks(run)}"] if run.leaks else []),
        "",
        *headline_table(run),
    ]
    before = run.test["uncalibrated"]
    lines += [
        "",
        f"**Temperature** {run.training['temperature']:.2f}, fitted on validation: it changes no answer, only how sure "
        f"the classifier is. Plain view without it: loss {before['loss']:.3f}, calibration error "
        f"{percent(before['ece'])}.",
    ]
    views = f"{tta['policy']}, {tta['views']} views, chosen on validation"
    lines += ["", f"**Test-time augmentation** ({views}): {comparison.verdict(run.comparison)}", ""]
    lines += classes_table(run)
    lines += ["", *labels_to_look_at(run)]
    return "\n".join(lines).replace(NBSP, " ") + "\n"


def escape(text: str) -> str:
    """Text that Markdown shows as it is, on one line, and in which it finds no mention, no link and no tag."""
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    # A zero-width space keeps '@name', '#1' and addresses from becoming links.
    text = re.sub(r"([@#]|://|www\.)", "\\1\u200b", text)
    return re.sub(r"([\\`*_\[\]|~$>])", r"\\\1", text)


def labels_to_look_at(run: Run) -> list[str]:
    """How many labels may be wrong, and the least probable ones: lines of Markdown."""
    lines = [f"**Labels to look at.** {notices.suspects(run)}"]
    if run.suspects:
        shown = run.suspects[:MOST_SUSPECTS]
        summary = f"<summary>The {len(shown)} least probable; data/suspects.csv lists all</summary>"
        lines += ["", f"<details>{summary}", ""]
        lines += ["| photo | split | filed under | looks like | probability of each |", "|---|---|---|---|---:|"]
        for row in shown:
            both = f"{percent(row.label_probability)}, {percent(row.probability)}"
            names = " | ".join(escape(text) for text in (row.path, row.split, row.label, row.looks_like))
            lines.append(f"| {names} | {both} |")
        lines += ["", "</details>"]
    return lines


def _measures(run: Run) -> list[tuple[str, Callable[[Metrics], str]]]:
    """The rows of the headline table."""
    top1, *others = [(measure.name, partial(_show, measure)) for measure in formatting.measures(len(run.labels))]
    return [top1, ("95 % interval", lambda metrics: interval(metrics["top1_low"], metrics["top1_high"])), *others]


def _show(measure: formatting.Measure, metrics: Metrics) -> str:
    return measure.show(metrics[measure.key])


def headline_table(run: Run) -> list[str]:
    """The figures on the test photos, from the plain view and with test-time augmentation: lines of Markdown."""
    rows = [f"| {name} | {show(run.test)} | {show(run.tta)} |" for name, show in _measures(run)]
    return ["| | plain view | several views |", "|---|---:|---:|", *rows]


def classes_table(run: Run) -> list[str]:
    """The figures of each class on its test photos, the worst first, under a heading: lines of Markdown."""
    table = [
        "| class | train photos | test photos | top-1 | 95 % interval | precision | F1 |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in sorted(run.results, key=lambda row: (row.top1, row.label)):
        precision = "–" if row.precision is None else percent(row.precision)
        table.append(
            f"| {escape(row.label)} | {row.train_images:,} | {row.test_images:,} | {percent(row.top1)} "
            f"| {interval(row.top1_low, row.top1_high)} | {precision} | {percent(row.f1)} |"
        )
    if len(run.results) <= MOST_OPEN_ROWS:
        return ["## Classes, the worst first", "", *table]
    return [f"<details><summary>{len(run.results):,} classes, the worst first</summary>", "", *table, "", "</details>"]
