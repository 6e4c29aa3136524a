"""A comparison as GitHub's Markdown: the verdict first, then the tables; what is long is folded."""

from collections.abc import Sequence

from boatyard.compare import figure_tables, markdown_blocks, sections
from boatyard.compare.difference import Difference
from boatyard.compare.results import Results
from boatyard.compare.revision import Commit, WorkingTree
from boatyard.core import paths
from boatyard.evaluation.comparison import evidence, point_decimals, points
from boatyard.report.formatting import NBSP, count, measures, percent
from boatyard.report.markdown import escape


def render(difference: Difference, commit: Commit, tree: WorkingTree) -> str:
    """The whole comparison."""
    if difference.nothing:
        headline = "## Nothing changed: parameters, metrics, answers and photos are the same"
        blocks = [headline, _sides(commit, tree), *_warnings(difference), _code(difference.code)]
    else:
        blocks = [
            _headline(difference),
            _evidence(difference),
            _sides(commit, tree),
            *_warnings(difference),
            *figure_tables.test(difference),
            *figure_tables.tta(difference),
            *sections.params(difference),
            *figure_tables.classes(difference.test),
            *sections.photos(difference),
            _code(difference.code),
            *sections.others(difference),
            *_method(difference),
        ]
    return "\n\n".join(block for block in blocks if block).replace(NBSP, " ") + "\n"


def _headline(difference: Difference) -> str:
    test = difference.test
    top1 = test.changes["top1"]
    said = figure_tables.verdict(top1)
    opening = said if said in (figure_tables.BETTER, figure_tables.WORSE) else figure_tables.NO_EVIDENCE
    on = ""
    if test.photos == "common":
        on = f" on the {count(test.pairs, 'test photo')} in common"
    elif test.photos == "other":
        on = ", on different test photos"
    return f"## {opening.capitalize()}: top-1 {percent(top1.before)} → {percent(top1.after)}{on}"


def _evidence(difference: Difference) -> str:
    """What the headline rests on, and the other figures that evidently changed."""
    test = difference.test
    old, new = test.before, test.after
    if test.top1 is not None:
        text = evidence(test.top1)
        sentences = [f"{text[0].upper()}{text[1:]}."]
    else:
        top1 = test.changes["top1"]
        decimals = point_decimals(min(old["images"], new["images"]))
        bounds = " to ".join(points(bound, decimals) for bound in top1.interval or ())
        sentences = [f"{points(top1.after - top1.before, decimals)} points (95 % interval {bounds})."]
    sizes = f"{count(old['images'], 'photo')} before and {new['images']:,} after"
    if test.photos == "common":
        whole = f"{percent(old['top1'])} → {percent(new['top1'])}"
        sentences.append(f"The whole test sets, {sizes}, are not of the same photos: {whole}.")
    elif test.photos == "other":
        sentences.append(f"Of the test photos, {sizes}, too few are the same to be paired.")
    moved = [
        f"{measure.name} ({figure_tables.verdict(test.changes[measure.key], measure.higher_is_better)})"
        for measure in measures(figure_tables.class_count(difference))
        if measure.key != "top1" and measure.key in test.changes and test.changes[measure.key].evident
    ]
    return " ".join([*sentences, *([f"Evident besides: {', '.join(moved)}."] if moved else [])])


def _sides(commit: Commit, tree: WorkingTree) -> str:
    after = f"`{tree.head[:7]}`" + (f" ({escape(tree.branch)})" if tree.branch else "")
    after += " with changes that are not committed" if tree.dirty else ""
    before = f"`{commit.name}`"
    if commit.ahead is None:
        before += "" if commit.sha.startswith(commit.label) else f" ({escape(commit.label)})"
    elif tree.branch != commit.label:
        before += f", where it left {escape(commit.label)}"
        before += f", which has {count(commit.ahead, 'commit')} more by now" if commit.ahead else ""
    if tree.head == commit.sha and not tree.dirty:
        before += ", the same commit; name another one, as in `boatyard compare HEAD~1`"
    return f"After: {after}. Before: {before}."


def _warnings(difference: Difference) -> list[str]:
    """What keeps the figures from being what they seem."""
    warnings = [_mismatch(results) for results in (difference.before, difference.after)]
    warnings += [shown.note for shown in (difference.test, difference.tta) if shown is not None]
    if difference.test.relabelled:
        photos = count(difference.test.relabelled, "test photo")
        warnings.append(f"{photos} changed the label and can't be paired: what is right has changed as well.")
    return warnings


def _mismatch(results: Results) -> str:
    """What of a side does not belong to its results; empty if all does."""
    parts = {
        f"other values in {paths.PARAMS}": results.stale,
        "other code": results.recoded,
        "not as DVC wrote them": results.altered,
    }
    told = "; ".join(f"{what}: {markdown_blocks.names(several)}" for what, several in parts.items() if several)
    name, rerun = results.side.name, results.side.rerun
    return f"**The results of {name} are not those of its files** ({told}). {rerun}" if told else ""


def _code(names: Sequence[str]) -> str:
    if not names:
        return ""
    return f"Code: the results were made with {count(len(names), 'other file')}: {markdown_blocks.names(names)}."


def _method(difference: Difference) -> list[str]:
    paired = (
        "Each change is taken photo by photo: its interval is a bootstrap over photos, each with both answers. It is "
        "called better or worse if the interval excludes 0 and a test agrees: McNemar's exact one for top-k, and for "
        "the other figures Fisher's randomisation test, which swaps the answers to a photo by the throw of a coin."
    )
    separate = (
        "The photos are not paired: the interval is Newcombe's for top-k, that of two separate bootstraps for the "
        "other figures, where there are predictions to draw from. A change is called better or worse if it excludes 0."
    )
    limits = (
        "In parentheses: the 95 % interval of the figure itself. Each row is a test of its own: of twenty figures that "
        "stay the same, one is called changed. The intervals say how far other test photos could move a change; what "
        "another seed would do to the training is not in them."
    )
    text = paired if difference.test.photos in ("same", "common") else separate
    return markdown_blocks.folded("How this was compared", text, limits)
