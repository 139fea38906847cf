from __future__ import annotations

import io
import os
import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given, strategies as st
from rich.table import Table
from rich.text import Text
from tqdm import tqdm

from minillm_lib.io.terminal import (
    PrintableConsole,
    PrintableStream,
    beneath,
    data_output,
    make_output_safe,
    printable,
    styled,
)


@given(st.text(st.characters(codec=None)))
def test_no_control_character_is_left_but_tabs_and_line_feeds(text: str) -> None:
    shown = printable(text)
    assert not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") and c not in "\t\n" for c in shown)
    assert not set(shown) & set("\u202e\u2066\u2069")


SELECTORS = "".join(map(chr, [*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)]))


@given(st.text(st.characters(categories=("L", "M", "N", "P", "S", "Zs"), exclude_characters=SELECTORS)))
def test_writing_of_any_script_stays_as_it_is(text: str) -> None:
    assert printable(text) == text


def test_invisible_characters_stay_where_they_join_and_are_shown_where_they_hide() -> None:
    for joined in ("❤\ufe0f\u200d🔥", "می\u200cخواهم", "葛\U000e0100", "so\u00adft", "\ufeffstart"):
        assert printable(joined) == joined
    assert printable("a" + "\u200b\u200c\u200b" + "b") == r"a\u200b\u200c\u200bb"
    assert printable("say \U000e0068\U000e0069") == r"say \U000e0068\U000e0069"


def test_escapes_are_those_that_python_would_read() -> None:
    hostile = "red \x1b[31m, bell \x07, back\x08, return\r, C1 \x9b2J, turned \u202e, half \udce9"
    assert printable(hostile).encode().decode("unicode_escape") == hostile


def test_the_console_shows_escapes_in_texts_and_in_tables_and_keeps_its_own_colours() -> None:
    stream = io.StringIO()
    console = PrintableConsole(file=stream, force_terminal=True, color_system="standard", width=60)
    table = Table("title")
    table.add_row("a\x1b]0;owned\x07b")
    console.print(table)
    console.print("[bold]c\x1b[2Jd[/bold]", highlight=False, markup=True)
    shown = stream.getvalue()
    assert "\x1b]0;" not in shown
    assert "\x1b[2J" not in shown
    assert r"a\x1b]0;owned\x07b" in shown
    assert "\x1b[1m" in shown


def test_other_streams_than_files_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    make_output_safe()


def test_closed_streams_can_be_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    make_output_safe()
    print("for nobody")
    assert not sys.stdout.isatty()
    for stream in (sys.stdout, sys.stderr):
        stream.close()


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "gbk", "utf-8"])
def test_any_text_can_be_printed_in_any_encoding(encoding: str) -> None:
    text = "主题 · naïve … ± ┏━┓ \U0001f600"
    code = f"from minillm_lib.io.terminal import make_output_safe; make_output_safe(); print({text!r})"
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
        check=True,
    )
    shown = result.stdout.decode(encoding).strip()
    if encoding == "utf-8":
        assert shown == text
    if encoding == "ascii":
        assert shown.startswith(r"\u4e3b\u9898 * na\xefve ... +/- ")
    if encoding == "gbk":
        assert shown.startswith("主题")


def test_a_stream_shows_all_it_is_given_piece_by_piece_and_there_is_no_way_around_it() -> None:
    below = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="\n")
    stream = PrintableStream(below)
    for piece in ("title \x1b", "]0;x", "\x07\n", ""):
        assert stream.write(piece) == len(piece)
    stream.writelines(["\r", "\x9b"])
    stream.flush()
    assert below.buffer.getvalue().decode() == "title \\x1b]0;x\\x07\n\\x0d\\x9b"
    assert not hasattr(stream, "buffer")
    assert stream.encoding == "utf-8"
    assert beneath(stream) is below
    with pytest.raises(TypeError, match="a text is needed, not bytes"):
        stream.write(b"\x1b")  # type: ignore[arg-type]


def test_a_bar_begins_its_line_again_but_nothing_overwrites_a_text() -> None:
    below = io.StringIO()
    stream = PrintableStream(below, has_bars=True)
    for piece in ("\r10%", "\r20%", "\n", "error: ", "\rall is well", "\n", "\r30%"):
        stream.write(piece)
    assert below.getvalue() == "\r10%\r20%\nerror: \\x0dall is well\n\r30%"


def test_bars_of_the_stream_and_texts_written_between_them_know_of_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.StringIO())
    make_output_safe()
    with tqdm(total=9, file=beneath(sys.stderr)) as bar:
        assert bar.fp == sys.stderr
        tqdm.write("a text")
        assert beneath(sys.stderr).getvalue().count("\r") > 2  # it was cleared, and drawn again


def test_a_console_writes_beneath_the_stream_and_the_stream_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    make_output_safe()
    make_output_safe()
    console = PrintableConsole(force_terminal=True, color_system="standard", width=70)
    console.print(styled("a [b] ", ("c\x1b[2J", "bold")))
    console.print("[red]d[/red] :bug: e", highlight=False)
    console.print(Text.assemble("f", ("g\x1b]0;", "red"), "h"))
    print("\x1b[1mi")
    lines = beneath(sys.stdout).getvalue().splitlines()  # type: ignore[attr-defined]
    assert lines[0] == "a [b] \x1b[1mc\\x1b[2J\x1b[0m"
    assert lines[1] == "[red]d[/red] :bug: e"
    assert lines[2] == "f\x1b[31mg\x1b[0m\\x1b\x1b[31m]0;\x1b[0mh"
    assert lines[3] == r"\x1b[1mi"


def test_what_is_going_on_is_shown_without_markup() -> None:
    stream = io.StringIO()
    console = PrintableConsole(file=stream, force_terminal=True, width=60)
    with console.status("Reading [red]run\x1b]0;x …"):
        pass
    assert r"Reading [red]run\x1b]0;x …" in stream.getvalue()


def test_data_is_unchanged_in_a_pipe_and_shown_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    for stream, expected in ((io.StringIO(), "a\x1b[2J"), (Screen(), r"a\x1b[2J")):
        monkeypatch.setattr(sys, "stdout", stream)
        make_output_safe()
        data_output().write("a\x1b[2J")
        assert stream.getvalue() == expected
