"""Tables of predictions, one row per photo: plots/predictions.csv and plots/tta_predictions.csv."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from boatyard.core import files, tables
from boatyard.core.errors import DamagedFile
from boatyard.evaluation.checks import Floats, Integers, blocks, check

# Number of a photo's most probable classes in the table.
TOP = 5

_COLUMNS = ("path", "actual", "predicted", "probability", "actual_probability")
_PLAIN = "plain_predicted"


@dataclass(frozen=True)
class Prediction:
    """A classifier's answer to one photo.

    `path` is relative to data/raw; `top` lists the most probable classes, at most `TOP`, with their probabilities, the
    most probable first. `plain_predicted` is the class predicted from the plain view, if this is a prediction with TTA.
    """

    path: str
    actual: str
    predicted: str
    probability: float
    actual_probability: float
    top: tuple[tuple[str, float], ...]
    plain_predicted: str | None = None

    @property
    def right(self) -> bool:
        return self.predicted == self.actual


def ranked(log_probabilities: Floats, classes: Sequence[str], count: int) -> list[tuple[tuple[str, float], ...]]:
    """The `count` most probable classes of n photos with their probabilities, the most probable first.

    Ties are in class order. Probabilities are computed in float64.

    Args:
        log_probabilities: [n, k].
        classes: k names.
        count: number of classes to return; all if there are fewer.
    """
    some = (np.argsort(-log_probabilities[rows], axis=1, kind="stable") for rows in blocks(len(log_probabilities)))
    top = np.concatenate([order[:, :count].copy() for order in some])  # a copy, to free the rest
    shares = np.exp(np.take_along_axis(log_probabilities, top, axis=1).astype(np.float64))
    shares = np.minimum(shares, 1.0)  # rounding can lift a certain answer slightly above 1
    return [
        tuple((classes[place], float(share)) for place, share in zip(*row, strict=True))
        for row in zip(top, shares, strict=True)
    ]


def tabulate(
    paths: Sequence[str],
    log_probabilities: Floats,
    actual: Integers,
    classes: Sequence[str],
    plain: Integers | None = None,
) -> list[Prediction]:
    """The table of n photos, sorted by path.

    Args:
        paths: n photos, relative to data/raw.
        log_probabilities: [n, k].
        actual: class indices [n].
        classes: k names.
        plain: class indices [n] predicted from the plain view, if log_probabilities come from several views.

    Raises:
        ValueError: not n paths, k names or n plain answers; see `checks.check` too.
    """
    check(log_probabilities, actual)
    photos, count = log_probabilities.shape
    if len(paths) != photos or len(classes) != count or (plain is not None and plain.shape != (photos,)):
        raise ValueError(f"{photos} photos of {count} classes, but {len(paths)} paths and {len(classes)} names")
    top = ranked(log_probabilities, classes, TOP)
    own = np.minimum(np.exp(log_probabilities[np.arange(photos), actual].astype(np.float64)), 1.0)
    return [
        Prediction(
            path=paths[row],
            actual=classes[actual[row]],
            predicted=top[row][0][0],
            probability=top[row][0][1],
            actual_probability=float(own[row]),
            top=top[row],
            plain_predicted=None if plain is None else classes[plain[row]],
        )
        for row in sorted(range(photos), key=paths.__getitem__)
    ]


def write_predictions(path: Path, predictions: Sequence[Prediction]) -> None:
    """Write a table of predictions. All rows have the same number of top classes; all or none have a plain answer.

    Raises:
        ValueError: there is no prediction.
    """
    if not predictions:
        raise ValueError("no photo was predicted")
    plain = [_PLAIN] if predictions[0].plain_predicted is not None else []
    top = [f"{name}{rank}" for rank in range(1, len(predictions[0].top) + 1) for name in ("label", "probability")]
    rows = (
        [getattr(row, column) for column in _COLUMNS] + list(chain(*row.top)) + [getattr(row, name) for name in plain]
        for row in predictions
    )
    tables.write_csv(path, [*_COLUMNS, *top, *plain], rows)


def read_predictions(path: files.Source) -> list[Prediction]:
    """Read a table of predictions; probabilities have the digits of the file.

    Raises:
        UserError: the file is missing, or is not a table of predictions.
    """
    try:
        return [_parse(row) for row in tables.read_csv(path)]
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedFile(f"{path} is not a table of predictions ({error})", files.REGENERATE) from error


def _parse(row: dict[str, str]) -> Prediction:
    ranks = [rank for rank in range(1, TOP + 1) if f"label{rank}" in row]
    return Prediction(
        path=row["path"],
        actual=row["actual"],
        predicted=row["predicted"],
        probability=_share(row["probability"]),
        actual_probability=_share(row["actual_probability"]),
        top=tuple((row[f"label{rank}"], _share(row[f"probability{rank}"])) for rank in ranks),
        plain_predicted=row.get(_PLAIN),
    )


def _share(cell: str) -> float:
    share = float(cell)
    if not 0 <= share <= 1:  # so that NaN fails too
        raise ValueError(f"{cell} is not a probability")
    return share
