"""The table: what was measured, each figure beside its limit."""

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

Samples = dict[str, list[float]]  # by name, one of each repetition

HEADER = ("figure", "median (min to max)", "n", "beside it", "median (min to max)", "n", "figure ÷ beside", "asked")


@dataclass(frozen=True)
class Row:
    """A figure, and what it is held against.

    Attributes:
        unit: of both; empty: none.
        values: one of each repetition.
        limit, against: what the figure is held against, and its values.
        asked: of the ratio where it ends in ×, else of the figure; empty: nothing.
    """

    figure: str
    unit: str
    values: Sequence[float]
    limit: str = ""
    against: Sequence[float] = ()
    asked: str = ""

    def ratios(self) -> list[float]:
        """Figure over limit: of the same repetition where there is one each, else of every pair."""
        if len(self.values) == len(self.against):
            pairs = list(zip(self.values, self.against, strict=True))
        else:
            pairs = [(value, limit) for value in self.values for limit in self.against]
        return [value / limit for value, limit in pairs]


def rows(samples: Samples) -> list[Row]:
    """The table's rows, of what the repetitions and the recipe have measured."""

    def each(formula: Callable[..., float], *names: str) -> list[float]:
        """A formula's values, one of each repetition."""
        return [formula(*values) for values in zip(*(samples[name] for name in names), strict=True)]

    def rate(views: float, seconds: float) -> float:
        return views / seconds if seconds > 0 else math.nan  # few photos may take less time than start-up varies

    def parts(whole: str) -> list[Row]:
        names = [name for name in samples if name.startswith(f"{whole}, ")]
        limits = [() if name.endswith((" split", " report")) else torch for name in names]
        return [
            Row(f"… of which {name.removeprefix(f'{whole}, ')}", "s", samples[name], *limit)
            for name, limit in zip(names, limits, strict=True)
        ]

    torch, forward = ("importing torch", samples["import torch"]), samples["forward"]
    found = []
    if "recipe" in samples:
        written = samples["recipe as written"]
        found += [
            Row("recipe as written, reckoned", "s", written, "ours", samples["whole"], "≥ 15 ×"),
            Row("… of which an epoch", "s", samples["recipe as written epoch"]),
            Row("… of which test and TTA", "s", samples["recipe as written test"]),
            Row("recipe with channels last: its whole run", "s", samples["recipe"], "ours", samples["whole"]),
            Row("… of which an epoch", "s", samples["recipe epoch"], "our head, all epochs", samples["head"]),
            Row("… of which test and TTA", "s", samples["recipe test"]),
            Row("… of which epochs", "", samples["recipe epochs"]),
            Row("validation top-1", "", samples["validation"], "the recipe's", samples["recipe validation"], "≥ 1 ×"),
        ]
    alone = each(rate, "whole views", "forward")
    found += [Row("split → TTA", "s", samples["whole"], "its views, forward alone", alone), *parts("whole")]
    for stage in ("featurize", "evaluate"):
        whole = each(rate, f"{stage} views", stage)
        net = each(lambda n, all, start: rate(n, all - start), f"{stage} views", stage, f"{stage} start")
        both = each(lambda forward, draw: 1 / (1 / forward + 1 / draw), "forward", f"draw {stage}")
        beyond = f"{stage} beyond its start-up"
        found += [
            Row(f"{stage}, start-up included", "views/s", whole, "forward alone", forward, "≥ 0.7 ×"),
            Row(beyond, "views/s", net, "forward alone", forward, "≥ 0.7 ×"),
            Row(beyond, "views/s", net, "decoding and drawing alone", samples[f"draw {stage}"]),
            Row(beyond, "views/s", net, "both in turn", both),
            Row(f"{stage}, nothing to compute", "s", samples[f"{stage} start"], *torch),
        ]
    start = each(lambda all, views, rate: all + views / rate, "featurize start", "added views", "forward")
    beyond_start = each(lambda all, start: all - start, "added", "featurize start")
    unavoidable = each(lambda no_op, head: no_op + head, "no-op", "head")
    found += [
        Row("head training, all epochs", "s", samples["head"], "its products alone", samples["head products"], "≤ 3 s"),
        Row("train, the stage", "s", samples["train"], *torch),
        Row("predict, one photo", "s", samples["predict"], "importing ONNX Runtime", samples["import onnxruntime"]),
        Row("`dvc repro`, nothing changed", "s", samples["no-op"], "importing DVC", samples["import DVC"], "≤ 3 s"),
        Row("`dvc repro`, another train.lr", "s", samples["rate"], "no-op and head training", unavoidable),
        *parts("rate"),
        Row("ten photos added: `dvc repro split`", "s", samples["added, split"], "no-op", samples["no-op"]),
        Row("ten photos added: views computed", "", samples["added views"], "of all", samples["all views"]),
        Row("ten photos added: featurize", "s", samples["added"], "start-up, and its views, forward alone", start),
        Row("… beyond its start-up", "s", beyond_start, "featurize in full", samples["featurize"], "≤ 0.05 ×"),
    ]
    for key, name, least in (
        ("recipe", "published recipe", "torch"),
        ("whole", "split → TTA", "torch"),
        ("featurize", "featurize", "torch"),
        ("train", "train", "torch"),
        ("evaluate", "evaluate", "torch"),
        ("predict", "predict", "onnxruntime"),
        ("no-op", "`dvc repro`, nothing changed", "DVC"),
        ("rate", "`dvc repro`, another train.lr", "torch"),
        ("added", "ten photos added: featurize", "torch"),
    ):
        if f"{key} MB" in samples:
            beside = samples[f"import {least} MB"]
            found.append(Row(f"peak memory: {name}", "MB", samples[f"{key} MB"], f"importing {least}", beside))
    return found


def table(rows: Iterable[Row]) -> str:
    """Markdown."""
    lines = [HEADER, ["---", "---:", "---:", "---", "---:", "---:", "---:", "---"], *map(_cells, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cells(row: Row) -> list[str]:
    def number(values: Sequence[float]) -> str:
        return str(len(values)) if values else ""

    beside = [row.limit, _spread(row.against, row.unit), number(row.against), _spread(row.ratios())]
    return [row.figure, _spread(row.values, row.unit), number(row.values), *beside, row.asked]


def _spread(values: Sequence[float], unit: str = "") -> str:
    """The median, with the least and the largest of several values."""
    if not values:
        return ""
    if any(map(math.isnan, values)):
        return "lost in start-up"
    within = f" ({_number(min(values))} to {_number(max(values))})" if len(values) > 1 else ""
    return f"{_number(statistics.median(values))}{' ' * bool(unit)}{unit}{within}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
