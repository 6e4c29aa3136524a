"""The report for a pull request: the headline figures, the classes, and what test-time augmentation is worth."""

import re
from collections.abc import Callable

from boatyard.evaluation import comparison
from boatyard.evaluation.report import wording
from boatyard.evaluation.report.run import Metrics, Run
from boatyard.evaluation.report.wording import NBSP, count, interval, percent

# More rows than this are folded.
MOST_OPEN_ROWS = 20


def render(run: Run) -> str:
    """The summary as GitHub's Markdown."""
    test, tta = run.test, run.tta
    lines = [
        f"# {escape(run.name)}: {percent(test['top1'])} top-1",
        "",
        f"{count(run.filtering['kept'], 'photo')} in {count(run.filtering['classes'], 'class', 'classes')}, "
        f"{escape(run.settings['model']['backbone'])}, {count(test['images'], 'test photo')}. "
        f"Licence of the data: {escape(run.download['licence'])}.",
        *(["", f"**Leak:** {wording.leaks(run)}"] if run.leaks else []),
        "",
        "| | plain view | several views |",
        "|---|---:|---:|",
    ]
    lines += [f"| {name} | {show(test)} | {show(tta)} |" for name, show in _measures(run)]
    before = run.test["uncalibrated"]
    lines += [
        "",
        f"**Temperature** {run.training['temperature']:.2f}, fitted on validation: it changes no answer, only how sure "
        f"the classifier is. Plain view without it: loss {before['loss']:.3f}, calibration error "
        f"{percent(before['ece'])}.",
    ]
    views = f"{tta['policy']}, {tta['views']} views, chosen on validation"
    lines += ["", f"**Test-time augmentation** ({views}): {comparison.verdict(run.comparison)}", ""]
    lines += _classes(run)
    return "\n".join(lines).replace(NBSP, " ") + "\n"


def escape(text: str) -> str:
    """Text that Markdown shows as it is, on one line, and in which it finds no mention, no link and no tag."""
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    # A zero-width space keeps '@name', '#1' and addresses from becoming links.
    text = re.sub(r"([@#]|://|www\.)", "\\1\u200b", text)
    return re.sub(r"([\\`*_\[\]|~$>])", r"\\\1", text)


def _measures(run: Run) -> list[tuple[str, Callable[[Metrics], str]]]:
    """The rows of the headline table; top-3 and top-5 where there are more classes than that."""
    rows: list[tuple[str, Callable[[Metrics], str]]] = [
        ("top-1", lambda m: percent(m["top1"])),
        ("95 % interval", lambda m: interval(m["top1_low"], m["top1_high"])),
    ]
    if len(run.labels) > 3:
        rows.append(("top-3", lambda m: percent(m["top3"])))
    if len(run.labels) > 5:
        rows.append(("top-5", lambda m: percent(m["top5"])))
    return [
        *rows,
        ("loss", lambda m: f"{m['loss']:.3f}"),
        ("mean class accuracy", lambda m: percent(m["mean_class_accuracy"])),
        ("macro F1", lambda m: percent(m["macro_f1"])),
        ("calibration error", lambda m: percent(m["ece"])),
    ]


def _classes(run: Run) -> list[str]:
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
