"""Progress bars that also suit a log file."""

from __future__ import annotations

import sys
from typing import Any, TextIO

from tqdm.auto import tqdm

SECONDS_PER_LINE = 20.0


def progress_bar(*args: Any, **options: Any) -> tqdm[Any]:
    """Return a progress bar of tqdm; where standard error is no terminal, one that writes a line every 20 seconds.

    In a file, a bar that is drawn again and again would be a single line of thousands of numbers.

    Parameters
    ----------
    args, options
        As for ``tqdm``.
    """
    is_notebook = type(sys.stderr).__module__.startswith("ipykernel")
    if not is_notebook and not sys.stderr.isatty():
        options = {
            "mininterval": SECONDS_PER_LINE,
            "maxinterval": SECONDS_PER_LINE,
            "file": _Lines(sys.stderr),
        } | options
    return tqdm(*args, **options)


class _Lines:
    """A stream on which each drawing of a bar becomes a line of its own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        drawing = text.replace("\x1b[A", "").strip()  # without the moves of the cursor
        if drawing:
            self._stream.write(f"{drawing}\n")

    def flush(self) -> None:
        self._stream.flush()
