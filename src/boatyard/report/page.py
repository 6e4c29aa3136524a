"""The report's page: one HTML file with everything inside, which loads nothing else and works without scripts."""

import base64
import hashlib
import io
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure
from PIL import Image

from boatyard.curation.catalog import REASONS, Rejected
from boatyard.evaluation import comparison, metrics
from boatyard.evaluation.predictions import Prediction
from boatyard.images.views import Preprocessing
from boatyard.params.schema import Params
from boatyard.params.tta_policies import POLICIES
from boatyard.report import figure_registry, formatting, notices, theme
from boatyard.report.figures import charts
from boatyard.report.pictures import Pictures
from boatyard.report.run import Run

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class LeftOut:
    """The photos that the filter left out for one reason, and their number in each class."""

    reason: str
    photos: list[Rejected]
    classes: list[tuple[str, int]]


def render(run: Run, pictures: Pictures, figures: Mapping[str, Figure], preprocessing: Preprocessing) -> str:
    """The page as HTML.

    Args:
        run: what to show.
        pictures: the photos to show.
        figures: by name, as `figure_registry.draw` makes them.
        preprocessing: of the model.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(FILTERS)
    script = (TEMPLATES / "report.js").read_text(encoding="utf-8")
    style = theme.page_variables() + (TEMPLATES / "report.css").read_text(encoding="utf-8")
    verdict = comparison.verdict(run.comparison)
    opening = verdict.partition(":")[0]
    worst = run.worst_class
    wrong_of_worst = [pair for pair in run.confusions if pair.actual == worst.label]
    return environment.get_template("report.html.j2").render(
        run=run,
        settings=run.settings,
        pictures=pictures,
        preprocessing=preprocessing,
        verdict=verdict,
        opening=opening,
        tone=TONES.get(opening, "open"),
        interval=formatting.interval,
        metrics=metrics.shown(len(run.labels)),
        svg=figure_registry.svgs(figures),
        more_charts={name: chart for name, chart in figure_registry.CHARTS.items() if chart.on_page and chart.title},
        style=style,
        script=script,
        script_hash=f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}",
        right=sum(prediction.right for prediction in run.predictions),
        wrong=len(run.mistakes()),
        largest=run.largest_class,
        counts=sorted(run.counts, key=lambda row: (-row.images, row.label)),
        most=max(row.images for row in run.counts),
        left_out=left_out(run.rejected),
        widths=_range([size.width for size in run.sizes]),
        heights=_range([size.height for size in run.sizes]),
        most_common=max(run.sizes, key=lambda size: (size.images, size.width, size.height)),
        modes=_modes(run),
        small=len(run.labels) <= charts.MAX_NAMES,
        trained=_range([row.train_images for row in run.results]),
        worst=worst,
        worst_right=round(worst.top1 * worst.test_images),
        worst_for=wrong_of_worst[0] if wrong_of_worst else None,
        leaks=notices.leaks(run),
        label_issues=notices.label_issues(run),
        policy=POLICIES[run.tta["policy"]],
        optimisers=OPTIMISERS,
        phases=_phases(run),
        tta_results=sorted(run.tta_results, key=lambda row: (-abs(row.gain), row.label)),
        tables=_tables(run.settings),
    )


def left_out(rejected: Sequence[Rejected]) -> list[LeftOut]:
    """The photos left out, by reason, the most frequent reason first."""
    by_reason: dict[str, list[Rejected]] = defaultdict(list)
    for photo in sorted(rejected, key=lambda photo: photo.path):
        by_reason[photo.reason.partition(":")[0]].append(photo)
    rows = []
    for reason in sorted(by_reason, key=lambda reason: (-len(by_reason[reason]), REASONS.index(reason))):
        classes = Counter(photo.label for photo in by_reason[reason])
        rows.append(LeftOut(reason, by_reason[reason], sorted(classes.items(), key=lambda item: (-item[1], item[0]))))
    return rows


def jpeg(image: Image.Image) -> str:
    """A photo as a data URL."""
    content = io.BytesIO()
    image.save(content, "JPEG", quality=80, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"


def breakable(name: str) -> Markup:
    """A name that a line may break after any of `_/+-`."""
    return Markup("<wbr>").join(re.split(r"(?<=[_/+-])(?=.)", name))


def odds(prediction: Prediction) -> list[tuple[str, float]]:
    """A photo's most probable classes, and its actual class if it is not among them, with their probabilities."""
    top = list(prediction.top)
    listed = any(label == prediction.actual for label, _ in top)
    return top if listed else [*top, (prediction.actual, prediction.actual_probability)]


def _range(values: Sequence[int]) -> tuple[int, int]:
    return min(values), max(values)


@dataclass(frozen=True)
class Phase:
    """A phase of training: its name, its section of params.yaml, and the number of epochs that it ran for."""

    name: str
    settings: Mapping[str, Any]
    epochs: int

    @property
    def stopped_early(self) -> bool:
        return self.epochs < int(self.settings["epochs"])


def _phases(run: Run) -> list[Phase]:
    epochs = Counter(row.phase for row in run.history)
    names = {"head": "Head", "finetune": "Fine-tuning"}
    sections = {"head": run.settings["train"], "finetune": run.settings["finetune"]}
    return [Phase(names[phase], sections[phase], epochs[phase]) for phase in epochs]


def _modes(run: Run) -> str:
    """The photos' colour modes, the most frequent first."""
    modes = Counter(_MODES.get(photo.mode, photo.mode) for photo in run.catalog)
    if len(modes) == 1:
        return f"all are {next(iter(modes))}"
    named = sorted(modes.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{number:,} are {mode}" for mode, number in named)


_MODES = {"L": "greyscale", "RGB": "RGB", "RGBA": "RGB with transparency", "P": "palette images"}

TONES = {"TTA helps": "gain", "TTA hurts": "loss"}

OPTIMISERS = {"adam": "Adam", "adamw": "AdamW", "sgd": "SGD"}


def _tables(settings: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """The sections of params.yaml in the order of the schema; settings without a section first."""
    order = list(Params.model_fields)
    keys = sorted(settings, key=lambda key: order.index(key.partition(".")[0]))
    loose = [(key, formatting.setting(settings[key])) for key in keys if not isinstance(settings[key], Mapping)]
    sections = [(key, formatting.flatten(settings[key])) for key in keys if isinstance(settings[key], Mapping)]
    return [("general", loose), *sections]


FILTERS = {
    "percent": formatting.percent,
    "show": lambda value, metric: formatting.show(metric, value),
    "sentence": lambda text: text[:1].upper() + text[1:],
    "points": comparison.points,
    "count": formatting.count,
    "reason": formatting.REASON_TEXTS.__getitem__,
    "flip": formatting.FLIP_TEXTS.__getitem__,
    "jpeg": jpeg,
    "odds": odds,
    "breakable": breakable,
}
