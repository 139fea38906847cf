from __future__ import annotations

import io
import os
import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given, strategies as st
from rich.table import Table

from minillm_lib.io.terminal import PrintableConsole, make_output_safe, printable


@given(st.text(st.characters(codec=None)))
def test_no_control_character_is_left_but_tabs_and_line_feeds(text: str) -> None:
    shown = printable(text)
    assert not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") and c not in "\t\n" for c in shown)
    assert not set(shown) & set("\u202e\u2066\u2069")


@given(st.text(st.characters(categories=("L", "M", "N", "P", "S", "Zs"))))
def test_writing_of_any_script_stays_as_it_is(text: str) -> None:
    assert printable(text) == text


def test_escapes_are_those_that_python_would_read() -> None:
    hostile = "red \x1b[31m, bell \x07, back\x08, return\r, C1 \x9b2J, turned \u202e, half \udce9"
    assert printable(hostile).encode().decode("unicode_escape") == hostile


def test_the_console_shows_escapes_in_texts_and_in_tables_and_keeps_its_own_colours() -> None:
    stream = io.StringIO()
    console = PrintableConsole(file=stream, force_terminal=True, color_system="standard", width=60)
    table = Table("title")
    table.add_row("a\x1b]0;owned\x07b")
    console.print(table)
    console.print("[bold]c\x1b[2Jd[/bold]", highlight=False)
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
