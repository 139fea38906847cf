"""Diagrams of the course: its map, and the plate diagram of LDA."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minillm_lib.io.optional import optional_imports
from minillm_lib.viz.style import BLUE, GREEN, INK, ORANGE, PALE, PURPLE, StyledFigure, style

with optional_imports("report", "to draw figures"):
    from matplotlib.patches import Circle, FancyBboxPatch

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# name: place, its notebooks, colour
_STATIONS = {
    "texts": (0, 0.5, "01", PALE),
    "counts": (1, 1, "01", PALE),
    "topics": (2, 1, "02, 03", BLUE),
    "tokens": (1, 0, "04", PALE),
    "n-grams": (2, 0, "05", ORANGE),
    "gradients": (3, 0, "06", ORANGE),
    "decoder": (4, 0, "07 to 11", GREEN),
    "training": (5, 0, "12, 13", GREEN),
    "chat": (6, 0, "14 to 16", PURPLE),
    "comparison": (4.5, 0.55, "17", INK),
    "your own": (6, 0.55, "18", PURPLE),
}
_WAYS = (
    ("texts", "counts"),
    ("counts", "topics"),
    ("texts", "tokens"),
    ("tokens", "n-grams"),
    ("topics", "n-grams"),
    ("n-grams", "gradients"),
    ("gradients", "decoder"),
    ("decoder", "training"),
    ("training", "chat"),
    ("topics", "comparison"),
    ("training", "comparison"),
    ("chat", "your own"),
)


def plot_course_map() -> Figure:
    """Draw the stations of the course, with the notebooks of each, and the ways between them."""
    with style():
        figure = StyledFigure(10, 3.2)
        axis = figure.subplots()
        for start, end in _WAYS:
            gap = 45 if (start, end) == ("topics", "comparison") else 27
            arrow = {"arrowstyle": "-|>", "color": INK, "shrinkA": 24, "shrinkB": gap}
            axis.annotate("", _STATIONS[end][:2], _STATIONS[start][:2], arrowprops=arrow)
        for name, (x, y, notebooks, colour) in _STATIONS.items():
            ink = "white" if colour in (BLUE, GREEN, INK) else "#1f2933"
            box = {"boxstyle": "round,pad=0.5", "facecolor": colour, "edgecolor": "none"}
            axis.text(x, y, f"{name}\n{notebooks}", ha="center", va="center", color=ink, bbox=box)
        axis.set(xlim=(-0.45, 6.55), ylim=(-0.35, 1.35), xticks=[])
        axis.set_xlabel("from the text to a model of your own (in each box its notebooks)")
        axis.set_yticks([0, 1], ["in their order", "without order"])
        axis.set_ylabel("words")
        axis.grid(visible=False)
    return figure


def plot_lda_plates() -> Figure:
    """Draw LDA as a plate diagram: a circle for each random variable, a plate for what is repeated."""
    with style():
        figure = StyledFigure(8, 2.9)
        axis = figure.subplots()
        _plate(axis, (1.25, -0.85), 3.5, 1.75, "D documents")
        _plate(axis, (2.35, -0.5), 2.25, 1.2, "$n_d$ tokens")
        _plate(axis, (5.05, -0.5), 1.2, 1.2, "K topics")
        places = {"α": (0.5, 0.15), "θ": (1.8, 0.15), "z": (2.9, 0.15), "w": (4.05, 0.15), "φ": (5.65, 0.15)}
        places["β"] = (6.95, 0.15)
        for start, end in (("α", "θ"), ("θ", "z"), ("z", "w"), ("φ", "w"), ("β", "φ")):
            gap = {"shrinkA": 12 if start in "αβ" else 20, "shrinkB": 20}
            axis.annotate(
                "", places[end], places[start], arrowprops={"arrowstyle": "-|>", "color": INK, **gap}
            )
        for name, place in places.items():
            if name not in "αβ":
                face = PALE if name == "w" else "white"
                axis.add_patch(Circle(place, 0.24, facecolor=face, edgecolor=INK, zorder=3))
            axis.text(*place, name, ha="center", va="center", fontsize=13, zorder=4, color="#1f2933")
        axis.set(xlim=(0.1, 7.3), ylim=(-1, 1.05), aspect="equal")
        axis.set_axis_off()
    return figure


def _plate(axis: Axes, corner: tuple[float, float], width: float, height: float, text: str) -> None:
    """Draw a plate, with what it counts in its lower right corner."""
    shape = FancyBboxPatch(corner, width, height, boxstyle="round,pad=0.0,rounding_size=0.12")
    shape.set(facecolor="none", edgecolor=INK, linewidth=1)
    axis.add_patch(shape)
    right, bottom = corner[0] + width - 0.08, corner[1] + 0.06
    axis.text(right, bottom, text, ha="right", va="bottom", fontsize=8.5, parse_math=True)
