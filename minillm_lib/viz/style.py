"""One style for every figure: quiet axes, colours that colour-blind readers can distinguish, and Chinese fonts."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from minillm_lib.io.optional import optional_imports

with optional_imports("report", "to draw figures"):
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
INK, PALE = "#1f2933", "#c5ccd6"  # INK: text and important lines; PALE: grids and lines in the background
ROW_GAP = 0.09  # inches above and below a row of panels: a title is clear of the labels of the row above it

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
    """Return the fonts to draw with, best first: matplotlib's own, then an installed one with Chinese characters."""
    installed = set(font_manager.get_font_names())
    return ("DejaVu Sans", *[font for font in CJK_FONTS if font in installed][:1])


def settings() -> dict[RcKeyType, Any]:
    """Return the matplotlib settings of the style. Dollar signs in text are drawn literally, not as mathematics."""
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
        "figure.labelsize": "medium",
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


def use_style() -> None:
    """Draw every figure of a notebook in this style, with formulas between dollar signs in its labels.

    Lines do not run through the words of a legend.
    """
    matplotlib.rcParams.update(settings())
    matplotlib.rcParams["legend.frameon"] = matplotlib.rcParams["text.parse_math"] = True
    matplotlib.rcParams["legend.edgecolor"] = "none"
    matplotlib.rcParams["legend.framealpha"] = 0.85


@contextmanager
def style() -> Iterator[None]:
    """Draw in the house style inside a ``with`` block, and restore matplotlib's settings after it.

    If no font with Chinese characters is installed, matplotlib's warning about each character is suppressed.
    """
    with matplotlib.rc_context(settings()), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font")
        yield


class StyledFigure(Figure):
    """A figure in the house style that notebooks show. It is unknown to pyplot, so that it does not leak memory.

    Parameters
    ----------
    width, height
        Size in inches.
    """

    def __init__(self, width: float = 7.0, height: float = 4.0) -> None:
        with style():
            super().__init__(figsize=(width, height))

    def draw(self, renderer: Any) -> None:
        """Draw the figure in the house style."""
        with style():
            super().draw(renderer)

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=110)
        return buffer.getvalue()


def axes_for(ax: Axes | None, width: float = 7.0, height: float = 4.0) -> Axes:
    """Return ``ax``, or if it is None the axes of a new figure of ``width`` by ``height`` inches."""
    return StyledFigure(width, height).subplots() if ax is None else ax
