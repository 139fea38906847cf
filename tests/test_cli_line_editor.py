"""Keys that are pressed, and the messages that they make."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest
from prompt_toolkit.history import FileHistory
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from minillm_lib.cli.line_editor import LineEditor, history_file

ENTER, ALT_ENTER, BACKSPACE, UP, CTRL_C, CTRL_D = "\r", "\x1b\r", "\x7f", "\x1b[A", "\x03", "\x04"


def paste(text):
    """What a terminal sends when a text is pasted."""
    return f"\x1b[200~{text}\x1b[201~"


def messages(*keys, history=None):
    """Type the keys, and return the messages and ends that they make."""
    with create_pipe_input() as keyboard:
        editor = LineEditor(history, input=keyboard, output=DummyOutput())
        made = []
        for each in keys:
            keyboard.send_text(each)
            try:
                made.append(editor())
            except (EOFError, KeyboardInterrupt) as end:
                made.append(type(end))
        return made


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (f"what?{ENTER}", "what?"),
        (f"什么呢{BACKSPACE}{BACKSPACE}么{ENTER}", "什么"),
        (f"one{ALT_ENTER}two{ENTER}", "one\ntwo"),
        (f"one\\{ENTER}two{ENTER}", "one\ntwo"),
        (f'"""{ENTER}one{ENTER}two"""{ENTER}', '"""\none\ntwo"""'),
        (f'"""one"""{ENTER}', '"""one"""'),
        (paste("one\r\ntwo\rthree\n") + ENTER, "one\ntwo\nthree\n"),
        (f"never sent{CTRL_C}what?{ENTER}", "what?"),
        (f"a \\ b{ENTER}", "a \\ b"),
    ],
)
def test_what_is_typed_becomes_one_message(keys, message):
    assert messages(keys) == [message]


def test_in_an_empty_line_ctrl_c_and_ctrl_d_are_passed_on():
    assert messages(CTRL_C, CTRL_D, f"what?{ENTER}") == [KeyboardInterrupt, EOFError, "what?"]


def test_messages_come_back_the_next_time_from_a_file_that_only_its_owner_can_read(tmp_path):
    path = tmp_path / "state" / "minillm" / "chat_history"
    assert messages(f"one{ALT_ENTER}二{ENTER}", history=path) == ["one\n二"]
    if sys.platform != "win32":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        path.chmod(0o644)
    assert messages(f"new{ENTER}", f"{UP}{ENTER}", history=path) == ["new", "new"]
    assert list(FileHistory(str(path)).load_history_strings()) == ["new", "one\n二"]
    if sys.platform != "win32":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_without_a_file_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert messages(f"secret{ENTER}") == ["secret"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other folders")
def test_the_file_is_in_the_folder_for_state(monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", "/elsewhere")
    assert history_file() == Path("/elsewhere/minillm/chat_history")
    monkeypatch.delenv("XDG_STATE_HOME")
    assert history_file() == Path.home() / ".local" / "state" / "minillm" / "chat_history"


def test_a_history_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        LineEditor(tmp_path / "file" / "history", output=DummyOutput())
