"""Bars for a terminal, and lines for a file."""

from __future__ import annotations

import gc
import io
import re
import sys

import pytest
from rich.cells import cell_len
from tqdm.std import tqdm

from minillm_lib.io import progress_bar as module
from minillm_lib.io.progress_bar import progress_bar

POSTFIX = "loss 3.512, 12,345 tokens/s, perplexity 33.5, MFU 12%"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(monkeypatch, stream):
    monkeypatch.setattr(sys, "stderr", stream)
    with progress_bar(total=5000, desc="working") as bar:
        for _ in range(5000):
            bar.update()
    return stream.getvalue()


def drawn(monkeypatch, columns, desc="pretrain", postfix=POSTFIX, total=1000):
    """The last drawing of a bar in a terminal that is so wide."""
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    with progress_bar(total=total, desc=desc, ncols=columns, unit="step", mininterval=1e9) as bar:
        bar.set_postfix_str(postfix, refresh=False)
        bar.update(300)
    return stream.getvalue().split("\r")[-1].strip()


def test_a_file_gets_a_few_lines(monkeypatch):
    lines = shown(monkeypatch, io.StringIO()).splitlines()
    assert 1 < len(lines) <= 3
    assert lines[-1].startswith("working: 100% 5000/5000 [")
    assert not any("\r" in line for line in lines)


def test_a_line_is_written_now_and_then(monkeypatch):
    monkeypatch.setattr(module, "SECONDS_PER_LINE", 0.0)
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    for _ in progress_bar(range(7), desc="working", miniters=1):
        pass
    shares = list(dict.fromkeys(line[: len("working: 100%")] for line in stream.getvalue().splitlines()))
    assert shares == [f"working: {round(100 * n / 7):3d}%" for n in range(8)]


def test_a_day_in_a_file_is_some_hundred_lines(monkeypatch):
    clock, stream = [0.0], io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr("tqdm.std.time", lambda: clock[0])
    with progress_bar(total=86_400) as bar:
        bar._time = lambda: clock[0]
        for _ in range(86_400):
            clock[0] += 1.0
            bar.update()
    lines = stream.getvalue().splitlines()
    assert 200 < len(lines) < 600
    assert "20/86400" in lines[1]
    assert lines[-1].startswith("100% 86400/86400")


def test_a_terminal_gets_a_bar_that_is_drawn_in_place(monkeypatch):
    text = shown(monkeypatch, Terminal())
    assert text.count("\n") == 1
    assert "\r" in text


def test_a_bar_that_is_switched_off_says_nothing(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    assert list(progress_bar([1, 2], disable=True)) == [1, 2]
    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    "desc", ["pretrain", "packing a-file-with-quite-a-long-name-for-its-age.bin", "整理文本" * 9]
)
@pytest.mark.parametrize("total", [1000, None])
@pytest.mark.parametrize("columns", [40, 60, 80, 120, 200])
def test_a_line_fits_the_terminal_and_no_detail_is_cut(monkeypatch, columns, total, desc):
    line = drawn(monkeypatch, columns, desc, total=total)
    assert cell_len(line) <= columns
    details = re.fullmatch(r".*\[[\d:]+(?:<[\d:?]+)?(.*)\]", line)[1]
    allowed = ["", *(f", {', '.join(POSTFIX.split(', ')[:n])}" for n in range(1, 5))]
    assert re.sub(r"^, +[\d.?]+step/s", "", details) in allowed


def test_the_first_details_are_kept_longest(monkeypatch):
    assert "12,345 tokens/s]" in drawn(monkeypatch, 80)
    assert "loss 3.512]" in drawn(monkeypatch, 60)
    everything = drawn(monkeypatch, 140)
    assert "step/s, loss" in everything
    assert everything.endswith("MFU 12%]")
    assert "%|" in everything


@pytest.mark.parametrize("stream", [Terminal, io.StringIO])
def test_a_bar_that_is_interrupted_while_it_is_made_says_nothing(monkeypatch, stream):
    said = []

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(sys, "stderr", stream())
    monkeypatch.setattr(sys, "unraisablehook", said.append)
    monkeypatch.setattr(tqdm, "_get_free_pos", interrupted)
    try:
        progress_bar(total=5)
    except KeyboardInterrupt as error:
        error.__traceback__ = None  # which holds the bar
    gc.collect()
    assert said == []
