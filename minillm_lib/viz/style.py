"""One look for every figure: quiet axes, colours that colour-blind readers tell apart, fonts that hold Chinese."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import matplotlib
from cycler import cycler
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

# Okabe and Ito's palette, "Color universal design" (2008)
BLUE, ORANGE, GREEN, VERMILLION = "#0072b2", "#e69f00", "#009e73", "#d55e00"
PURPLE, SKY, YELLOW = "#cc79a7", "#56b4e9", "#f0e442"
PALETTE = (BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY, YELLOW)
INK, PALE = "#1f2933", "#c5ccd6"  # text and the line that matters; grids and the lines that give context

CJK_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans SC",
    "Source Han Sans SC",
    "PingFang SC",
    "Hiragino Sans GB",
    "Microsoft YaHei",
    "SimHei",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "Droid Sans Fallback",
    "Arial Unicode MS",
)


@cache
def font_families() -> tuple[str, ...]:
    """Give the fonts to draw with, best first: matplotlib's own, then an installed one that holds Chinese."""
    installed = set(font_manager.get_font_names())
    return ("DejaVu Sans", *[font for font in CJK_FONTS if font in installed][:1])


def settings() -> dict[RcKeyType, Any]:
    """Give the matplotlib settings that make the look. A dollar sign in a term is a dollar sign, not mathematics."""
    return {
        "font.family": list(font_families()),
        "font.size": 10,
        "axes.titlesize": 10,
        "axes.titlelocation": "left",
        "axes.edgecolor": PALE,
        "axes.labelcolor": INK,
        "axes.titlecolor": INK,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.prop_cycle": cycler(color=PALETTE),
        "figure.constrained_layout.use": True,
        "figure.facecolor": "white",
        "grid.color": PALE,
        "grid.linewidth": 0.4,
        "legend.frameon": False,
        "lines.linewidth": 1.8,
        "text.color": INK,
        "text.parse_math": False,
        "xtick.color": INK,
        "ytick.color": INK,
        "svg.fonttype": "none",
        "svg.hashsalt": "minillm",
    }


@contextmanager
def style() -> Iterator[None]:
    """Draw in the house style inside a ``with`` block; matplotlib's settings are as before after it.

    Where no font with Chinese characters is installed, matplotlib's one warning a character is kept quiet.
    """
    with matplotlib.rc_context(settings()), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font")
        yield


class StyledFigure(Figure):
    """A figure in the house style that pyplot does not know of, so that nothing leaks; a notebook shows it."""

    def __init__(self, width: float = 7.0, height: float = 4.0) -> None:
        with style():
            super().__init__(figsize=(width, height))

    def draw(self, renderer: Any) -> None:
        with style():
            super().draw(renderer)

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=110)
        return buffer.getvalue()


def axes_for(ax: Axes | None, width: float = 7.0, height: float = 4.0) -> Axes:
    """Give ``ax``, or the one axes of a new figure of ``width`` by ``height`` inches where there is none."""
    return StyledFigure(width, height).subplots() if ax is None else ax
