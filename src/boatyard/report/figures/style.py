"""One look for every figure, and the same bytes for the same data.

Figures are as wide as a phone's page: a drawing reads on a phone at 4/5 of its size, and beside another on a desk.
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

# Okabe and Ito's blue and vermilion, darkened until text in them reads on white (contrast above 4.5).
ACCENT = "#0b62a3"
CONTRAST = "#b8490a"
INK = "#18212b"
MUTED = "#55606c"
SOFT = "#a9cbe6"  # behind the accent: what came before, an interval's band
GREY = "#bcc5ce"
RULE = "#e1e6eb"
PAPER = "#ffffff"

WIDTH = 4.2  # inches
DPI = 220

_LOOK: dict[Any, Any] = {
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
def look() -> Iterator[None]:
    """The house style; a matplotlibrc of the machine has no say inside."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_LOOK)
        yield


def one_axes(height: float) -> tuple[Figure, Axes]:
    """A figure of `WIDTH` × `height` inches with one pair of axes. Call it inside `look`."""
    figure = Figure(figsize=(WIDTH, height))
    return figure, figure.subplots()


def percent(value: float, _place: float) -> str:
    """A fraction as an axis writes it: '80 %', or '99.5 %' where the ticks are that close."""
    return f"{round(100 * value, 1):g} %"


def png(figure: Figure) -> bytes:
    """A figure as PNG, `DPI` pixels an inch, without a date or the drawing software's version."""
    content = io.BytesIO()
    with look():
        figure.savefig(content, format="png", dpi=DPI, metadata={"Software": None})
    return content.getvalue()


def svg(figure: Figure, name: str) -> str:
    """A figure as an `<svg>` element to stand in an HTML page: its text is text, its colours are the page's variables.

    Args:
        figure: drawn inside `look`.
        name: tells this figure's ids from those of the page's other figures.
    """
    content = io.StringIO()
    with look():
        matplotlib.rcParams["svg.hashsalt"] = name
        metadata = {"Date": None, "Creator": None, "Type": None, "Format": None}
        figure.savefig(content, format="svg", metadata=metadata, facecolor="none", dpi=DPI)
    text = content.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<svg [^>]*(viewBox=\"[^\"]*\")[^>]*>", r'<svg \1 aria-hidden="true">', text, count=1)
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r' id="[A-Za-z0-9.]+_[0-9]+"', "", text)  # of groups: the same in every figure, and nobody's target
    text = re.sub(r" ?font-family: [^;\"]*;?", "", text)
    for variable, colour in _VARIABLES.items():
        text = text.replace(f": {colour}", f": var(--{variable})")
    return re.sub(r"\n\s*", "\n", text).strip()


_VARIABLES = {
    "accent": ACCENT,
    "contrast": CONTRAST,
    "ink": INK,
    "muted": MUTED,
    "soft": SOFT,
    "grey": GREY,
    "rule": RULE,
    "paper": PAPER,
}


def shorten(name: str, length: int) -> str:
    """A name in at most `length` characters: the middle of a longer one becomes an ellipsis."""
    if len(name) <= length:
        return name
    head = length // 2
    return f"{name[:head]}…{name[len(name) - (length - 1 - head) :]}"


def label(name: str, length: int = 26) -> str:
    """A class name as a figure can show it: short, on one line, a box for what the figures' font has no letter for."""
    drawable = _letters()
    return "".join(letter if ord(letter) in drawable else "□" for letter in shorten(" ".join(name.split()), length))


@cache
def _letters() -> frozenset[int]:
    return frozenset(get_font(findfont("DejaVu Sans")).get_charmap())
