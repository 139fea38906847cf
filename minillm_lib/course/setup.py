"""One line that sets a notebook up: the look of figures, the threads, and the pieces that the learner wrote before."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any

from minillm_lib.checks.registry import COURSE, check

_COLOURS = {
    "yours": "var(--jp-success-color1, #2e9e4f)",
    "the library's": "var(--jp-ui-font-color2, #808080)",
}
# In a dark theme, the pictures of the notebook get light lines on a dark ground, and keep their hues. Pictures that fit
# both themes as they are cannot be: the grey that is farthest from both #ffffff and JupyterLab's #111111 has a contrast
# of 4.35 to each.
LIGHTNESS_EXCHANGED = 0.93  # white becomes #121212
_DARK_PICTURES = f"""<style>
:is([data-jp-theme-light="false"] .jp-Notebook, .jp-Notebook[data-jp-theme-light="false"]):has(.minillm-ready)
.jp-OutputArea-output :is(img, iframe) {{ filter: invert({LIGHTNESS_EXCHANGED}) hue-rotate(180deg); }}
</style>
"""


class Pieces:
    """What a notebook is built of, by the names of the exercises: the learner's own code where it passed.

    ``pieces.rms_norm`` is the learner's function if it passed its check, in any notebook of the course, and the
    library's otherwise. A check later in the same notebook changes it.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = tuple(names)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._names:
            known = ", ".join(self._names) or "none"
            raise AttributeError(f"this notebook did not ask for the piece {name!r}; its pieces are {known}")
        return getattr(check, name).function

    def __dir__(self) -> list[str]:
        return list(self._names)

    def whose(self, name: str) -> str:
        """Return whose code a piece is: ``"yours"`` or ``"the library's"``."""
        return str(getattr(check, name).whose)

    def __repr__(self) -> str:
        if not self._names:
            return "Ready."
        groups = {whose: [name for name in self._names if self.whose(name) == whose] for whose in _COLOURS}
        said = [f"{', '.join(names)} ({whose})" for whose, names in groups.items() if names]
        return f"Ready. This notebook goes on with {'; '.join(said)}."

    def _repr_html_(self) -> str:
        ready = f'{_DARK_PICTURES}<p class="minillm-ready">Ready.'
        if not self._names:
            return f"{ready}</p>"
        rows = "".join(map(self._row, self._names))
        return (
            f"{ready} This notebook goes on with:</p><table><thead><tr><th>piece</th><th>whose</th><th>from</th></tr>"
            f"</thead><tbody>{rows}</tbody></table>"
        )

    def _row(self, name: str) -> str:
        whose = self.whose(name)
        book = next(book for book, names in COURSE.items() if name in names)
        cells = (
            f"<code>{escape(name)}</code>",
            f'<span style="color: {_COLOURS[whose]}">{whose}</span>',
            f'<a href="{book}.ipynb">{book[:2]}</a>',
        )
        inside = "".join(f'<td style="text-align: left">{cell}</td>' for cell in cells)
        return f"<tr>{inside}</tr>"


def setup(*pieces: str, threads: int | None = 1) -> Pieces:
    """Set a notebook of the course up: the style of its figures, its threads, and the pieces that it goes on with.

    Parameters
    ----------
    pieces
        Names of exercises whose answers the notebook uses.
    threads
        Number of threads for PyTorch: for matrices as small as the course's, sharing the work out costs more than it
        saves. None leaves it as it is.

    Returns
    -------
    pieces
        Shows whose code each piece is, and has each as an attribute.

    Raises
    ------
    ValueError
        If there is no exercise of one of the names, or ``threads`` is less than 1.
    """
    if unknown := [name for name in pieces if all(name not in names for names in COURSE.values())]:
        raise ValueError(f"there is no exercise {unknown[0]!r}; `dir(check)` lists the exercises")
    if threads is not None:
        if threads < 1:
            raise ValueError(f"threads is {threads}; it must be at least 1, or None")
        import torch

        torch.set_num_threads(threads)
    from minillm_lib.viz.style import use_style

    use_style()
    return Pieces(pieces)
