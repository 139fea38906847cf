"""Progress bars that fit the terminal, and also suit a log file."""

from __future__ import annotations

import sys
from typing import Any, TextIO

from rich.cells import cell_len, set_cell_size
from tqdm.auto import tqdm as suitable_tqdm
from tqdm.std import tqdm

from minillm_lib.io.terminal import beneath, printable

SECONDS_PER_LINE = 20.0
_MOST_SECONDS_PER_LINE = 300.0
_COLUMNS = 80
_LEAST_BAR = 4
_BAR, _NO_BAR, _NO_TOTAL = (
    "{desc}{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{rate_fmt}{postfix}]",
    "{desc}{percentage:3.0f}% {n_fmt}/{total_fmt} [{elapsed}<{remaining}{rate_fmt}{postfix}]",
    "{desc}{n_fmt}{unit} [{elapsed}{rate_fmt}{postfix}]",
)


def progress_bar(*args: Any, **options: Any) -> tqdm[Any]:
    """Return a progress bar of tqdm; where standard error is no terminal, one that writes a line now and then.

    In a terminal, a line is as wide as the terminal, or 80 columns if that is unknown. If there is not enough room,
    details are left out instead of cut: first the rate and the parts of the postfix, which commas separate, except the
    first one; then the bar, then the first part, and at last the description is shortened.

    In a file, a bar that is drawn again and again would be a single line of thousands of numbers. It gets lines of at
    most 80 columns without the bar, one in 20 seconds at first and, after hours, one in 5 minutes.

    Parameters
    ----------
    args, options
        As for ``tqdm``.
    """
    if type(sys.stderr).__module__.startswith("ipykernel"):
        return suitable_tqdm(*args, **options)
    kind: type[tqdm[Any]] = _Bar if sys.stderr.isatty() else _Log
    return kind(*args, **options)


class _Bar(tqdm):
    """A bar whose line is never cut in the middle of a number."""

    has_bar = True

    def __init__(self, *args: Any, **options: Any) -> None:
        terminal: dict[str, Any] = {"dynamic_ncols": "ncols" not in options, "file": beneath(sys.stderr)}
        super().__init__(*args, **terminal | options)

    def close(self) -> None:
        """Close the bar; nothing is to be done if a signal came while tqdm was still making it."""
        if hasattr(self, "start_t"):  # what tqdm sets last
            super().close()

    @property
    def format_dict(self) -> Any:
        """What a line is made of; tqdm passes it to :meth:`format_meter`."""
        return {**super().format_dict, "has_bar": self.has_bar}

    @staticmethod
    def format_meter(  # type: ignore[override]
        n: float,
        total: float | None,
        elapsed: float,
        ncols: int | None = None,
        prefix: str | None = "",
        *,
        postfix: str | None = None,
        has_bar: bool = True,
        **details: Any,
    ) -> str:
        """Return the line of a bar: the one with most details of those that fit in ``ncols`` columns."""
        columns, desc = ncols or _COLUMNS, f"{_in_a_line(prefix)}: " if prefix else ""
        parts = _in_a_line(postfix).split(", ") if postfix else []
        room = columns - cell_len(desc)

        def line(form: str, n_parts: int, has_rate: bool, width: int | None = None) -> str:
            details["bar_format"] = form.replace("{rate_fmt}", ", {rate_fmt}" if has_rate else "")
            shown = ", ".join(parts[:n_parts])
            text = tqdm.format_meter(n, total or 0, elapsed, ncols=width, postfix=shown, **details)
            return text.replace(",  ", ", ")  # tqdm aligns the rate on the right

        plain = _NO_BAR if total else _NO_TOTAL
        amounts = range(len(parts), min(1, len(parts)) - 1, -1)
        contents = [(n_parts, has_rate) for n_parts in amounts for has_rate in (True, False)]
        for some in (contents, [(0, False)]):
            for bar in range(_LEAST_BAR if has_bar and total else 0, -1, -_LEAST_BAR):
                for content in some:
                    text = line(plain, *content)
                    if cell_len(text) + bar + (2 if bar else 0) <= room:
                        return desc + (line(_BAR, *content, room) if bar else text)
        return _shortened(desc, columns - cell_len(text)) + text


class _Log(_Bar):
    """Lines in a file instead of a bar; the longer it takes, the rarer they are."""

    has_bar = False

    def __init__(self, *args: Any, **options: Any) -> None:
        seconds = {"mininterval": SECONDS_PER_LINE, "maxinterval": SECONDS_PER_LINE}
        lines: dict[str, Any] = {"file": _Lines(sys.stderr), "ncols": _COLUMNS}
        super().__init__(*args, **lines | seconds | options)

    def display(self, *args: Any, **options: Any) -> None:
        """Write a line, and decide when to write the next one."""
        pause = min(self.format_dict["elapsed"] / 30, _MOST_SECONDS_PER_LINE)
        self.mininterval = self.maxinterval = max(SECONDS_PER_LINE, pause)
        super().display(*args, **options)


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


def _in_a_line(text: str) -> str:
    return " ".join(printable(text).split("\n"))


def _shortened(desc: str, columns: int) -> str:
    """Return the beginning of a description, in as many columns as there are for it."""
    return f"{set_cell_size(desc, columns - 3).rstrip()}…: " if columns > 3 else ""
