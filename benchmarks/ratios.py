"""The table: what was measured, each figure beside its limit."""

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

Samples = dict[str, list[float]]  # by name, one of each repetition

HEADER = ("figure", "median (min to max)", "n", "beside it", "median (min to max)", "n", "ratio", "asked")


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
        return [formula(*values) for values in zip(*(samples[name] for name in names), strict=True)]

    def rate(views: float, seconds: float) -> float:
        return views / seconds if seconds > 0 else math.nan  # a few photos take less time than start-up varies

    torch, forward = ("importing torch", samples["import torch"]), samples["forward"]
    table = []
    if "recipe" in samples:
        table += [
            Row("published recipe, training, test and TTA", "s", samples["recipe"], "ours", samples["whole"], "≥ 15 ×"),
            Row("… of which an epoch", "s", samples["recipe epoch"], "our head, all epochs", samples["head"]),
            Row("… of which test and TTA", "s", samples["recipe test"], "our evaluate", samples["evaluate"]),
            Row("validation top-1", "", samples["validation"], "the recipe's", samples["recipe validation"], "≥ 1 ×"),
        ]
    alone = each(rate, "whole views", "forward")
    table += [Row("split → TTA", "s", samples["whole"], "its views through the engine alone", alone)]
    for stage in ("featurize", "evaluate"):
        draw = f"draw {stage}"
        whole = each(rate, f"{stage} views", stage)
        net = each(lambda n, all, start: rate(n, all - start), f"{stage} views", stage, f"{stage} start")
        both = each(lambda forward, draw: 1 / (1 / forward + 1 / draw), "forward", draw)
        table += [
            Row(stage, "views/s", whole, "forward alone", forward, "≥ 0.7 ×"),
            Row("… but for its start-up", "views/s", net, "forward alone", forward, "≥ 0.7 ×"),
            Row("… the same", "views/s", net, "decoding and drawing alone", samples[draw]),
            Row("… the same", "views/s", net, "both in turn", both),
            Row("… its start-up", "s", samples[f"{stage} start"], *torch),
        ]
    start = each(lambda all, views, rate: all + views / rate, "featurize start", "added views", "forward")
    beyond = each(lambda all, start: all - start, "added", "featurize start")
    unavoidable = each(lambda no_op, head: no_op + head, "no-op", "head")
    table += [
        Row("head training, all epochs", "s", samples["head"], asked="≤ 3 s"),
        Row("train, the stage", "s", samples["train"], *torch),
        Row("predict, one photo", "s", samples["predict"], "importing ONNX Runtime", samples["import onnxruntime"]),
        Row("`dvc repro`, nothing changed", "s", samples["no-op"], "starting DVC", samples["start DVC"], "≤ 3 s"),
        Row("`dvc repro`, another train.lr", "s", samples["rate"], "no-op and head training", unavoidable),
        *(
            Row(f"… of which {name.removeprefix('rate, ')}", "s", samples[name], *torch)
            for name in samples
            if name.startswith("rate, ")
        ),
        Row("`dvc repro split`, ten photos added", "s", samples["added, split"], "no-op", samples["no-op"]),
        Row("featurize, ten photos added", "s", samples["added"], "start-up, its views through the engine", start),
        Row("… but for its start-up", "s", beyond, "featurize in full", samples["featurize"], "≤ 0.05 ×"),
        Row("… views computed", "", samples["added views"], "of all", samples["all views"]),
    ]
    memory = [("recipe", "published recipe"), ("whole", "split → TTA"), ("no-op", "`dvc repro`, nothing changed")]
    memory += [("rate", "`dvc repro`, another train.lr"), ("added", "featurize, ten photos added")]
    memory += [(stage, stage) for stage in ("featurize", "train", "evaluate", "predict")]
    return table + [
        Row(f"peak memory: {name}", "MB", samples[f"{key} MB"], torch[0], samples["import torch MB"])
        for key, name in memory
        if f"{key} MB" in samples
    ]


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
    within = f" ({_number(min(values))} to {_number(max(values))})" if len(values) > 1 else ""
    return f"{_number(statistics.median(values))}{' ' * bool(unit)}{unit}{within}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
