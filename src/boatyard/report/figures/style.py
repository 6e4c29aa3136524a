"""One style for all figures, and the same bytes for the same data.

Figures are as wide as a phone's page: legible there at 4/5 of their size, and two fit next to each other on a desktop.
"""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font

from boatyard.report.theme import LIGHT

# Figures are drawn in the light colours; an SVG in the page refers to the page's variables, which may be the dark ones.
PAPER, INK, MUTED, RULE, GREY = (LIGHT[name] for name in ("paper", "ink", "muted", "rule", "grey"))
ACCENT, SOFT, CONTRAST = (LIGHT[name] for name in ("accent", "soft", "contrast"))
_VARIABLES = ("accent", "contrast", "ink", "muted", "soft", "grey", "rule", "paper")

WIDTH = 4.2  # inches
DPI = 220

_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "text.color": INK,
    "text.parse_math": False,  # a class may be called '$x$'
    "axes.edgecolor": GREY,
    "axes.facecolor": "none",
    "axes.labelcolor": MUTED,
    "axes.labelsize": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.titlepad": 9,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": RULE,
    "grid.linewidth": 0.8,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.major.pad": 5,
    "ytick.major.pad": 5,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "patch.edgecolor": "none",
    "figure.facecolor": PAPER,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.07,
    "figure.constrained_layout.w_pad": 0.07,
    "svg.fonttype": "none",
}


@contextmanager
def applied() -> Iterator[None]:
    """Apply the style inside the block, whatever the machine's matplotlibrc says."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


def one_axes(height: float) -> tuple[Figure, Axes]:
    """A figure of `WIDTH` × `height` inches with one pair of axes. Call it inside `applied`."""
    figure = Figure(figsize=(WIDTH, height))
    return figure, figure.subplots()


def percent(value: float, _place: float) -> str:
    """A fraction as an axis label: '80 %', or '99.5 %' where ticks are that close."""
    return f"{round(100 * value, 1):g} %"


def png(figure: Figure) -> bytes:
    """A figure as PNG, `DPI` pixels per inch, without a date or the software's version."""
    content = io.BytesIO()
    with applied():
        figure.savefig(content, format="png", dpi=DPI, metadata={"Software": None})
    return content.getvalue()


def svg(figure: Figure, name: str) -> str:
    """A figure as an `<svg>` element for an HTML page: its text is text, its colours are the page's variables.

    Args:
        figure: drawn inside `applied`.
        name: makes this figure's ids differ from those of the page's other figures.
    """
    content = io.StringIO()
    with applied():
        matplotlib.rcParams["svg.hashsalt"] = name
        metadata = {"Date": None, "Creator": None, "Type": None, "Format": None}
        figure.savefig(content, format="svg", metadata=metadata, facecolor="none", dpi=DPI)
    text = content.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<svg [^>]*(viewBox=\"[^\"]*\")[^>]*>", r'<svg \1 aria-hidden="true">', text, count=1)
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r' id="[A-Za-z0-9.]+_[0-9]+"', "", text)  # of groups: the same in every figure, and unused
    text = re.sub(r" ?font-family: [^;\"]*;?", "", text)
    for variable in _VARIABLES:
        text = text.replace(f": {LIGHT[variable]}", f": var(--{variable})")
    return re.sub(r"\n\s*", "\n", text).strip()


def shorten(name: str, length: int) -> str:
    """A name in at most `length` characters: the middle of a longer one becomes an ellipsis."""
    if len(name) <= length:
        return name
    head = length // 2
    return f"{name[:head]}…{name[len(name) - (length - 1 - head) :]}"


def label(name: str, length: int = 26) -> str:
    """A class name as a figure can show it: short, on one line, a box for each character that the font lacks."""
    drawable = _characters()
    return "".join(letter if ord(letter) in drawable else "□" for letter in shorten(" ".join(name.split()), length))


@cache
def _characters() -> frozenset[int]:
    return frozenset(get_font(findfont("DejaVu Sans")).get_charmap())
