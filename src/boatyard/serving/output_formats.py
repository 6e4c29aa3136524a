"""Classifications as text, one photo at a time: a table for people, CSV, JSON, JSON lines."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence

from boatyard.core.files import DIGITS
from boatyard.serving.classifier import Classification

Result = tuple[str, Classification]  # with the photo's name

FORMATS = ("table", "csv", "json", "jsonl")

_BAR = 20  # characters for probability 1


def lines(
    output_format: str, results: Iterable[Result], topk: int, names: Sequence[str], classes: Sequence[str]
) -> Iterator[str]:
    """The text in one of `FORMATS`, piece by piece.

    It has the `topk` most probable of the model's `classes`. The longest of `names`, those of all photos that may come,
    decides the width of a table.
    """
    topk = min(topk, len(classes))
    if output_format == "table":
        yield from _table(results, topk, max(len(printable(name)) for name in names), max(map(len, classes)))
    elif output_format == "csv":
        yield from _csv(results, topk)
    elif output_format == "jsonl":
        yield from (f"{_json(name, classification, topk)}\n" for name, classification in results)
    else:
        separator = "[\n"
        for name, classification in results:
            yield f"{separator}{_json(name, classification, topk)}"
            separator = ",\n"
        yield "[]\n" if separator == "[\n" else "\n]\n"


def printable(name: str) -> str:
    """A name for a terminal: characters that would move the cursor or change colours are escaped as in Python."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in name)


def _table(results: Iterable[Result], topk: int, name_width: int, class_width: int) -> Iterator[str]:
    for name, classification in results:
        shown = printable(name)
        for label, probability in classification.top(topk):
            bar = "█" * round(_BAR * probability)
            row = f"{shown:{name_width}}  {label:{class_width}}  {100 * probability:5.1f} %  {bar}"
            yield f"{row.rstrip()}\n"
            shown = ""


def _csv(results: Iterable[Result], topk: int) -> Iterator[str]:
    """Columns as in plots/predictions.csv, without those that need a label."""
    yield _row(["path", *(f"{column}{rank}" for rank in range(1, topk + 1) for column in ("label", "probability"))])
    for name, classification in results:
        ranked = classification.top(topk)
        yield _row([name, *(cell for label, probability in ranked for cell in (label, round(probability, DIGITS)))])


def _row(cells: Sequence[object]) -> str:
    line = io.StringIO(newline="")
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def _json(name: str, classification: Classification, topk: int) -> str:
    top = classification.top(topk)
    ranked = [{"label": label, "probability": round(probability, DIGITS)} for label, probability in top]
    return json.dumps({"path": name, "top": ranked}, ensure_ascii=False)
