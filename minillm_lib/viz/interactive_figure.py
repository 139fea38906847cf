"""A figure with sliders in a notebook: it is drawn again whenever one of them is moved."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from minillm_lib.io.optional import optional_imports

if TYPE_CHECKING:
    from matplotlib.figure import Figure

with optional_imports("course", "to move sliders in a notebook"):
    from ipywidgets import Image, Layout, VBox  # type: ignore[import-untyped]
    from matplotlib import pyplot as plt

_DOTS_PER_INCH = 180  # about twice the size at which the picture is shown, so that it is sharp on any screen


def interactive_figure(draw: Callable[..., Figure], controls: Mapping[str, Any], *, max_width: int) -> VBox:
    """Return the controls with the figure below them, which follows them as long as the notebook runs.

    Parameters
    ----------
    draw
        Called with the value of each control, by name; returns a new figure.
    controls
        Widgets that have a value, such as sliders, by the name under which ``draw`` takes it.
    max_width
        Width of the picture in pixels; in a narrower window it shrinks.
    """
    image = Image(format="png", layout=Layout(width="100%", max_width=f"{max_width}px", height="auto"))

    def redraw(_: object = None) -> None:
        figure = draw(**{name: control.value for name, control in controls.items()})
        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=_DOTS_PER_INCH)
        plt.close(figure)  # or the notebook would show it a second time
        image.value = picture.getvalue()

    for control in controls.values():
        control.style.description_width = "100px"
        control.observe(redraw, names="value")
    redraw()
    return VBox([*controls.values(), image])
