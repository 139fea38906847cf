"""Figures inside an HTML page: SVG images of the size at which they are shown, in the reader's colours."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass

from minillm_lib.io.optional import optional_imports
from minillm_lib.viz.style import INK, PALE, StyledFigure, font_families, style

with optional_imports("report", "to draw figures"):
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDE, NARROW = 7.3, 3.6
"""Widths in inches of a figure on a screen of its own width, and on a telephone or in a column of three."""

_SVG_STYLE = f"""
:root {{ --ink: {INK}; --pale: {PALE}; --paper: #ffffff }}
@media (prefers-color-scheme: dark) {{ :root {{ --ink: #dde3ea; --pale: #4a5663; --paper: #14191f }} }}
"""


@dataclass(frozen=True)
class Picture:
    """A figure drawn for wide windows and again for narrow ones, so that its text is never scaled.

    Attributes
    ----------
    wide, narrow
        Images as data URLs. The template ``report_base.html`` shows the narrow one below 640 pixels.
    """

    wide: str
    narrow: str

    @classmethod
    def of(
        cls,
        draw: Callable[[Axes], object],
        *,
        height: float = 4.0,
        wide: float = WIDE,
        narrow: float = NARROW,
    ) -> Picture:
        """Let a function draw on axes of two sizes; ``height`` is that of the wide one in inches."""
        return cls(*(drawn(draw, width, min(height, 0.85 * width)) for width in (wide, narrow)))

    @classmethod
    def small(cls, draw: Callable[[Axes], object], *, width: float = NARROW, height: float = 2.7) -> Picture:
        """Let a function draw on axes that fit any window; sizes in inches."""
        image = drawn(draw, width, height)
        return cls(image, image)


def drawn(draw: Callable[[Axes], object], width: float, height: float) -> str:
    """Let a function draw on the axes of a new figure of this size in inches, and return the data URL of its image."""
    with style():
        axes = StyledFigure(width, height).subplots()
        draw(axes)
    figure = axes.get_figure(root=True)
    assert isinstance(figure, Figure)
    return svg_data_address(figure)


def svg_data_address(figure: Figure) -> str:
    """Return ``figure`` as the data URL of an SVG image that follows the reader's dark mode.

    Text stays text, so that any browser draws it in its own fonts, Chinese included.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue().replace(INK, "var(--ink)").replace(PALE, "var(--pale)")
    svg = svg.replace("stroke: #ffffff", "stroke: var(--paper)")
    families = ", ".join(f"'{family}'" for family in font_families())
    svg = svg.replace(families, "'DejaVu Sans', Verdana, system-ui, sans-serif")
    svg = svg.replace('<style type="text/css">', f'<style type="text/css">{_SVG_STYLE}', 1)
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode("utf-8")).decode("ascii")
