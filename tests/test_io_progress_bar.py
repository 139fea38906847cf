"""Bars for a terminal, and lines for a file."""

from __future__ import annotations

import io
import sys

from minillm_lib.io import progress_bar as module
from minillm_lib.io.progress_bar import progress_bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(monkeypatch, stream):
    monkeypatch.setattr(sys, "stderr", stream)
    with progress_bar(total=5000, desc="working") as bar:
        for _ in range(5000):
            bar.update()
    return stream.getvalue()


def test_a_file_gets_a_few_lines(monkeypatch):
    lines = shown(monkeypatch, io.StringIO()).splitlines()
    assert 1 < len(lines) <= 3
    assert lines[-1].startswith("working: 100%")
    assert not any("\r" in line for line in lines)


def test_a_line_is_written_now_and_then(monkeypatch):
    monkeypatch.setattr(module, "SECONDS_PER_LINE", 0.0)
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    for _ in progress_bar(range(7), desc="working", miniters=1):
        pass
    shares = list(dict.fromkeys(line.partition("|")[0] for line in stream.getvalue().splitlines()))
    assert shares == [f"working: {round(100 * n / 7):3d}%" for n in range(8)]


def test_a_terminal_gets_a_bar_that_is_drawn_in_place(monkeypatch):
    text = shown(monkeypatch, Terminal())
    assert text.count("\n") == 1
    assert "\r" in text


def test_a_bar_that_is_switched_off_says_nothing(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    assert list(progress_bar([1, 2], disable=True)) == [1, 2]
    assert stream.getvalue() == ""
