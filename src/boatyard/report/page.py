"""The report's page: one HTML file with everything inside, which loads nothing else and works without scripts."""

import base64
import hashlib
import io
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure
from PIL import Image

from boatyard.curation.catalog import REASONS, Rejected
from boatyard.images.views import Preprocessing
from boatyard.params.schema import Params
from boatyard.params.tta_policies import POLICIES
from boatyard.report import formatting, templating, theme
from boatyard.report.figure_registry import FIGURES, Drawing
from boatyard.report.figures import bars, charts, sheets, style
from boatyard.report.pictures import Pictures
from boatyard.report.run import Run

LeftOut = tuple[str, list[Rejected], list[tuple[str, int]]]

_MODES = {"L": "greyscale", "RGB": "RGB", "RGBA": "RGB with transparency", "P": "palette images"}


def render(run: Run, pictures: Pictures, drawings: Mapping[str, Drawing], preprocessing: Preprocessing) -> str:
    """The page as HTML.

    Args:
        run: what to show.
        pictures: the photos to show.
        drawings: the figures by name, as `figure_registry.draw` makes them.
        preprocessing: of the model.
    """
    environment = templating.environment()
    environment.filters |= {
        "sentence": lambda text: text[:1].upper() + text[1:],
        "reason": formatting.REASON_TEXTS.__getitem__,
        "flip": formatting.FLIP_TEXTS.__getitem__,
        "jpeg": jpeg,
        "odds": sheets.odds,
        "breakable": breakable,
        "unbroken": unbroken,
    }
    script = (templating.TEMPLATES / "report.js").read_text(encoding="utf-8")
    return environment.get_template("report.html.j2").render(
        run=run,
        settings=run.settings,
        pictures=pictures,
        preprocessing=preprocessing,
        figures=FIGURES,
        drawing=lambda name: _drawing(name, drawings[name]),
        style=theme.page_variables() + (templating.TEMPLATES / "report.css").read_text(encoding="utf-8"),
        script=script,
        script_hash=f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}",
        left_out=left_out(run.rejected),
        modes=_modes(run),
        max_names=charts.MAX_NAMES,
        max_named=bars.MAX_NAMED,
        policy=POLICIES[run.tta["policy"]],
        phases=_phases(run),
        tta_results=sorted(run.tta_results, key=lambda row: (-abs(row.gain), row.label)),
        tables=_tables(run.settings),
    )


def left_out(rejected: Sequence[Rejected]) -> list[LeftOut]:
    """The photos left out by reason, and how many of each class they are; the most frequent first."""
    by_reason: dict[str, list[Rejected]] = defaultdict(list)
    for photo in sorted(rejected, key=lambda photo: (photo.label, photo.path)):
        by_reason[photo.reason.partition(":")[0]].append(photo)
    ranked = sorted(by_reason.items(), key=lambda item: (-len(item[1]), REASONS.index(item[0])))
    return [(reason, photos, Counter(photo.label for photo in photos).most_common()) for reason, photos in ranked]


def jpeg(image: Image.Image) -> str:
    """A photo as a data URL."""
    content = io.BytesIO()
    image.save(content, "JPEG", quality=80, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"


def breakable(name: str) -> Markup:
    """A name that a line may break after any of `._/+-`."""
    return Markup("<wbr>").join(re.split(r"(?<=[._/+-])(?=.)", name))


def unbroken(text: str) -> str:
    """A sentence with no-break spaces between a number and what it counts."""
    return re.sub(r"(?<=\d) (?=%|points|photos|fixed|broken)", formatting.NBSP, text)


def _drawing(name: str, drawing: Drawing) -> Markup:
    """A figure as an element of the page: a chart as `<svg>`, a sheet of photos as `<img>`."""
    if isinstance(drawing, Figure):
        return Markup(style.svg(drawing, name))  # noqa: S704 (matplotlib escapes the text)
    return Markup('<img src="{}" alt="{}">').format(jpeg(drawing), FIGURES[name].title)


def _phases(run: Run) -> list[dict[str, Any]]:
    """The phases of training, with their section of params.yaml and the number of epochs that they ran for."""
    epochs = Counter(row.phase for row in run.history)
    sections = {"head": ("Head", "train"), "finetune": ("Fine-tuning", "finetune")}
    named = [(*sections[phase], epochs[phase]) for phase in epochs]
    return [{"name": name, "settings": run.settings[section], "epochs": number} for name, section, number in named]


def _modes(run: Run) -> str:
    """The photos' colour modes, the most frequent first."""
    modes = Counter(_MODES.get(photo.mode, photo.mode) for photo in run.catalog)
    if len(modes) == 1:
        return f"all are {next(iter(modes))}"
    named = sorted(modes.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{number:,} are {mode}" for mode, number in named)


def _tables(settings: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """The sections of params.yaml in the order of the schema; settings without a section first."""
    order = list(Params.model_fields)
    keys = sorted(settings, key=lambda key: order.index(key.partition(".")[0]))
    loose = [(key, formatting.setting(settings[key])) for key in keys if not isinstance(settings[key], Mapping)]
    sections = [(key, formatting.flatten(settings[key])) for key in keys if isinstance(settings[key], Mapping)]
    return [("general", loose), *sections]
