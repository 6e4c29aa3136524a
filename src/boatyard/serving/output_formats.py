"""A model's answers as text, photo by photo as they come: a table for people, CSV, JSON, JSON lines."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence

from boatyard.core.files import DIGITS
from boatyard.serving.classifier import Answer

Answered = tuple[str, Answer]  # a photo's name, and what the model says of it

FORMATS = ("table", "csv", "json", "jsonl")

_BAR = 20  # characters of a probability of 1


def lines(
    form: str, answered: Iterable[Answered], top: int, names: Sequence[str], classes: Sequence[str]
) -> Iterator[str]:
    """The text in one of `FORMATS`, piece by piece; a piece ends with a newline.

    Args:
        form: 'table', 'csv', 'json' or 'jsonl'.
        answered: the photos and the answers.
        top: how many classes to name, the most probable first.
        names: of all photos that may come; a table is as wide as the longest.
        classes: of the model.
    """
    top = min(top, len(classes))
    if form == "table":
        yield from _table(answered, top, max(len(printable(name)) for name in names), max(map(len, classes)))
    elif form == "csv":
        yield from _csv(answered, top)
    elif form == "jsonl":
        yield from (f"{_json(name, answer, top)}\n" for name, answer in answered)
    else:
        separator = "[\n"
        for name, answer in answered:
            yield f"{separator}{_json(name, answer, top)}"
            separator = ",\n"
        yield "[]\n" if separator == "[\n" else "\n]\n"


def printable(name: str) -> str:
    """A name for a terminal: what would move its cursor or change its colours is shown as Python writes it."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in name)


def _table(answered: Iterable[Answered], top: int, name_width: int, class_width: int) -> Iterator[str]:
    for name, answer in answered:
        shown = printable(name)
        for place, (label, probability) in enumerate(answer.top(top)):
            bar = "█" * round(_BAR * probability)
            row = (
                f"{shown if place == 0 else '':{name_width}}  {label:{class_width}}  {100 * probability:5.1f} %  {bar}"
            )
            yield f"{row.rstrip()}\n"


def _csv(answered: Iterable[Answered], top: int) -> Iterator[str]:
    """Columns as in plots/predictions.csv, without those that only a labelled photo has."""
    yield _row(["path", *(f"{column}{rank}" for rank in range(1, top + 1) for column in ("label", "probability"))])
    for name, answer in answered:
        yield _row([name, *(cell for label, share in answer.top(top) for cell in (label, round(share, DIGITS)))])


def _row(cells: Sequence[object]) -> str:
    line = io.StringIO(newline="")
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def _json(name: str, answer: Answer, top: int) -> str:
    ranked = [{"label": label, "probability": round(share, DIGITS)} for label, share in answer.top(top)]
    return json.dumps({"path": name, "top": ranked}, ensure_ascii=False)
