"""report/report.md, for a pull request: the metrics, the classes, test-time augmentation, label issues."""

from boatyard.evaluation import comparison, metrics
from boatyard.report import formatting, notices
from boatyard.report.formatting import NBSP, count, interval, percent
from boatyard.report.markdown_blocks import MAX_OPEN_ROWS, escape, folded, table
from boatyard.report.run import Run

MAX_LABEL_ISSUES = 10


def render(run: Run) -> str:
    """The summary in GitHub's Markdown."""
    test, tta = run.test, run.tta
    calibration = [metric for metric in metrics.METRICS if metric.calibration]
    uncalibrated = ", ".join(f"{m.name} {formatting.show(m, test['uncalibrated'][m.key])}" for m in calibration)
    blocks = [
        f"# {escape(run.name)}: {percent(test['top1'])} top-1",
        f"{count(run.filtering['kept'], 'photo')} in {count(run.filtering['classes'], 'class', 'classes')}, "
        f"{escape(run.settings['model']['backbone'])}, {count(test['images'], 'test photo')}. "
        f"Data licence: {escape(run.download['licence'])}.",
        *([f"**Leak:** {notices.leaks(run)}"] if run.leaks else []),
        metrics_table(run),
        f"**Temperature** {run.training['temperature']:.2f}, fitted on validation: it changes confidence, not the "
        f"predicted classes. Plain view without it: {uncalibrated}.",
        f"**Test-time augmentation** ({tta['policy']}, {tta['views']} views, chosen on validation): "
        f"{comparison.verdict(run.comparison)}",
        *classes_table(run),
        *_label_issues(run),
    ]
    return "\n\n".join(blocks).replace(NBSP, " ") + "\n"


def metrics_table(run: Run) -> str:
    """The metrics on the test photos, from the plain view and with TTA, as a table."""
    rows = []
    for metric in metrics.shown(len(run.labels)):
        key, sides = metric.key, (run.test, run.tta)
        rows.append([metric.name, *(formatting.show(metric, side[key]) for side in sides)])
        if metric.interval:
            rows.append(["95 % interval", *(interval(side[f"{key}_low"], side[f"{key}_high"]) for side in sides)])
    return table(["", "plain view", "several views"], rows, right=(1, 2))


def classes_table(run: Run) -> list[str]:
    """The metrics of each class on its test photos, worst class first, under a heading: blocks of Markdown."""
    rows = [
        [
            escape(row.label),
            f"{row.train_images:,}",
            f"{row.test_images:,}",
            percent(row.top1),
            interval(row.top1_low, row.top1_high),
            "–" if row.precision is None else percent(row.precision),
            percent(row.f1),
        ]
        for row in run.worst_first
    ]
    columns = ["class", "training photos", "test photos", "top-1", "95 % interval", "precision", "F1"]
    shown = table(columns, rows, right=range(1, 7))
    if len(rows) <= MAX_OPEN_ROWS:
        return ["## Classes, worst first", shown]
    return folded(f"{len(rows):,} classes, worst first", shown)


def _label_issues(run: Run) -> list[str]:
    """The number of labels that may be wrong, and the least probable ones: blocks of Markdown."""
    blocks = [f"**Label issues.** {notices.label_issues(run)}"]
    if run.label_issues:
        rows = [
            [
                *(escape(text) for text in (issue.path, issue.split, issue.label, issue.looks_like)),
                f"{percent(issue.label_probability)}, {percent(issue.probability)}",
            ]
            for issue in run.label_issues[:MAX_LABEL_ISSUES]
        ]
        columns = ["photo", "split", "label", "looks like", "probability of each"]
        title = f"The {len(rows)} least probable labels; data/suspects.csv lists all"
        blocks += folded(title, table(columns, rows, right=(4,)))
    return blocks
