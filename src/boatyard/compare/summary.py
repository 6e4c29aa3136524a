"""A comparison in GitHub's Markdown: the verdict first, then the tables; long parts are folded."""

from collections.abc import Sequence

from boatyard.compare import bounded_markdown, metric_tables, sections
from boatyard.compare.difference import Difference
from boatyard.compare.results import Results
from boatyard.compare.revision import Commit, WorkingTree
from boatyard.core import paths
from boatyard.evaluation.comparison import evidence, point_decimals, points
from boatyard.report.formatting import NBSP, count, percent
from boatyard.report.markdown_blocks import escape, folded


def render(difference: Difference, commit: Commit, tree: WorkingTree) -> str:
    """The whole comparison."""
    if difference.is_empty:
        headline = "## Nothing changed: parameters, metrics, predictions and photos are the same"
        blocks = [headline, _sides(commit, tree), *_warnings(difference), _code(difference.code)]
    else:
        blocks = [
            _headline(difference),
            _evidence(difference),
            _sides(commit, tree),
            *_warnings(difference),
            *metric_tables.test(difference),
            *metric_tables.tta(difference),
            *sections.params(difference),
            *metric_tables.classes(difference.test),
            *sections.photos(difference),
            _code(difference.code),
            *sections.others(difference),
            *_method(difference),
        ]
    return "\n\n".join(block for block in blocks if block).replace(NBSP, " ") + "\n"


def _headline(difference: Difference) -> str:
    test = difference.test
    top1 = test.metrics["top1"]
    verdict = metric_tables.verdict(top1)
    opening = verdict if verdict in (metric_tables.BETTER, metric_tables.WORSE) else metric_tables.NO_EVIDENCE
    on = ""
    if test.photos == "common":
        on = f" on the {count(test.pairs, 'test photo')} in common"
    elif test.photos == "other":
        on = ", on different test photos"
    return f"## {opening.capitalize()}: top-1 {percent(top1.before)} → {percent(top1.after)}{on}"


def _evidence(difference: Difference) -> str:
    """The evidence for the headline, and the other metrics with a significant change."""
    test = difference.test
    old, new = test.before, test.after
    if test.top1 is not None:
        text = evidence(test.top1)
        sentences = [f"{text[0].upper()}{text[1:]}."]
    else:
        top1 = test.metrics["top1"]
        decimals = point_decimals(min(old["images"], new["images"]))
        bounds = " to ".join(points(bound, decimals) for bound in top1.interval or ())
        sentences = [f"{points(top1.after - top1.before, decimals)} points (95 % interval {bounds})."]
    sizes = f"{count(old['images'], 'photo')} before and {new['images']:,} after"
    if test.photos == "common":
        whole = f"{percent(old['top1'])} → {percent(new['top1'])}"
        sentences.append(f"On the whole test sets ({sizes}; not the same photos): {whole}.")
    elif test.photos == "other":
        sentences.append(f"Too few test photos are the same for a paired comparison ({sizes}).")
    others = [
        f"{metric.name} ({metric_tables.verdict(change, metric.higher_is_better)})"
        for metric in metric_tables.shown(difference)
        if metric.key != "top1" and (change := test.metrics.get(metric.key)) and change.significant
    ]
    return " ".join([*sentences, *([f"Other significant changes: {', '.join(others)}."] if others else [])])


def _sides(commit: Commit, tree: WorkingTree) -> str:
    after = f"`{tree.head[:7]}`" + (f" ({escape(tree.branch)})" if tree.branch else "")
    after += " with uncommitted changes" if tree.dirty else ""
    before = f"`{commit.name}`"
    if commit.ahead is None:
        before += "" if commit.sha.startswith(commit.label) else f" ({escape(commit.label)})"
    elif tree.branch != commit.label:
        before += f", the merge base with {escape(commit.label)}"
        before += f", which is now {count(commit.ahead, 'commit')} ahead" if commit.ahead else ""
    if tree.head == commit.sha and not tree.dirty:
        before += ", the same commit. To compare with an earlier one: `boatyard compare HEAD~1`"
    return f"After: {after}. Before: {before}."


def _warnings(difference: Difference) -> list[str]:
    """What limits the validity of the comparison."""
    warnings = [_mismatch(results) for results in (difference.before, difference.after)]
    warnings += [shown.note for shown in (difference.test, difference.tta) if shown is not None]
    if difference.test.relabelled:
        photos = count(difference.test.relabelled, "test photo")
        warnings.append(f"{photos} can't be paired because the label changed, and with it the right answer.")
    return warnings


def _mismatch(results: Results) -> str:
    """What of a side does not match its results; empty if everything does."""
    parts = {
        f"changed in {paths.PARAMS}": results.stale,
        "changed code": results.recoded,
        "changed after DVC wrote them": results.altered,
    }
    changed = "; ".join(f"{what}: {bounded_markdown.names(several)}" for what, several in parts.items() if several)
    name, rerun = results.side.name, results.side.rerun
    return f"**The results of {name} do not match its files** ({changed}). {rerun}" if changed else ""


def _code(names: Sequence[str]) -> str:
    if not names:
        return ""
    return f"Code: {count(len(names), 'file')} changed: {bounded_markdown.names(names)}."


def _method(difference: Difference) -> list[str]:
    paired = (
        "Each change is measured photo by photo: its interval comes from a bootstrap over photos, each with both "
        "answers. It is called better or worse if the interval excludes 0 and a test agrees: McNemar's exact test for "
        "top-k, and for the other metrics Fisher's randomisation test, which swaps the two answers to a photo at "
        "random."
    )
    separate = (
        "The photos are not paired: the interval is Newcombe's for top-k; for the other metrics it comes from two "
        "separate bootstraps, where there are predictions. A change is called better or worse if its interval excludes "
        "0."
    )
    limits = (
        "In parentheses: the 95 % interval of the metric itself. Each row is a separate test: of twenty unchanged "
        "metrics, one is called changed. The intervals account for the choice of test photos, not for training with "
        "another seed."
    )
    text = paired if difference.test.photos in ("same", "common") else separate
    return folded("How this was compared", text, limits)
