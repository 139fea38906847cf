"""Whatever goes wrong ends in one line, with an exit status, and nothing of it is lost."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import struct
import tempfile
from pathlib import Path

import pytest

from minillm_lib.cli import failures
from minillm_lib.cli.failures import status_of
from minillm_lib.io.optional import MissingPackageError
from minillm_lib.io.write_errors import WriteError


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """The folder for tracebacks, and a command line."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setattr("sys.argv", ["minillm", "lda", "a b.txt"])
    monkeypatch.delenv("MINILLM_DEBUG", raising=False)
    return folder


def nested_too_deeply():
    value = []
    value.append(value)
    return RecursionError("maximum recursion depth exceeded")


class WithoutWordsError(Exception):
    def __str__(self):
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (KeyError("loss"), "KeyError: 'loss'"),
        (struct.error("unpack requires 4 bytes"), "error: unpack requires 4 bytes"),
        (RuntimeError("shapes\nin two lines \x1b[2J"), r"RuntimeError: shapes in two lines \x1b[2J"),
        (nested_too_deeply(), "RecursionError: something is nested too deeply: maximum"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "UnicodeDecodeError: 'utf-8'"),
        (json.JSONDecodeError("Expecting value", "", 0), "JSONDecodeError: Expecting value"),
        (AssertionError(), "AssertionError. This is"),
        (WithoutWordsError(), "WithoutWordsError: its message cannot be shown"),
        (TypeError("x" * 5000), "TypeError: xxx"),
    ],
)
def test_a_mistake_of_the_program_says_what_to_report(temporary, capsys, error, words):
    with pytest.raises(type(error)) as caught:
        raise error
    assert status_of(caught.value) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {words}")
    assert "This is a mistake of the program, not yours. Please report it with the version (" in line
    assert "the command (minillm lda 'a b.txt')" in line
    assert len(line) < 1200
    (file,) = temporary.iterdir()
    assert f"the file {file}, which holds the traceback" in line
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "test_a_mistake_of_the_program_says_what_to_report" in file.read_text()


def test_without_a_place_for_the_traceback_that_is_said_and_the_error_is_not_lost(
    temporary, capsys, monkeypatch
):
    monkeypatch.setattr(failures, "default_cache_dir", lambda: Path("/dev/null/cache"))

    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    assert status_of(KeyError("loss")) == 1
    line = capsys.readouterr().err
    assert line.startswith("error: KeyError: 'loss'. This is a mistake of the program")
    assert "the traceback, which MINILLM_DEBUG=1 before the command prints" in line
    assert list(temporary.iterdir()) == []


def test_the_traceback_is_not_put_where_the_user_works(temporary, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(temporary)
    monkeypatch.setattr(failures, "default_cache_dir", lambda: tmp_path / "cache")
    assert status_of(KeyError("loss")) == 1
    assert list(temporary.iterdir()) == []
    assert len(list((tmp_path / "cache").iterdir())) == 1


class OutOfMemoryError(RuntimeError):
    """As torch names it."""


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("n_topics is 0; it must be positive"), "n_topics is 0; it must be positive"),
        (FileNotFoundError(2, "No such file or directory", "a.txt"), "a.txt: no such file or directory"),
        (OSError(errno.EXDEV, "Invalid link", "a", None, "b"), "a → b: invalid link"),
        (
            OSError(errno.ENOSPC, "No space left"),
            "standard output, or a file that the system does not name: no ",
        ),
        (OSError("in words already"), "in words already"),
        (
            WriteError(errno.ENOSPC, "the disk is full", "a.pt"),
            "a.pt could not be written: the disk is full (",
        ),
        (MissingPackageError("gguf is missing"), "gguf is missing"),
        (
            UnicodeEncodeError("utf-8", "a\ud800", 1, 2, "surrogates"),
            r"a text holds '\ud800', half a character",
        ),
        (MemoryError(), "the memory of this machine is not enough; use"),
        (
            OutOfMemoryError("CUDA out of memory."),
            "the memory of this machine is not enough (CUDA out of memory.)",
        ),
        (
            RuntimeError("[enforce fail] can't allocate memory: you tried 9 GB"),
            "the memory of this machine is not",
        ),
    ],
)
def test_what_the_user_or_the_machine_can_mend_is_no_mistake_of_the_program(temporary, capsys, error, words):
    assert status_of(error) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {words}")
    assert list(temporary.iterdir()) == []


def test_ctrl_c_is_said(capsys):
    assert status_of(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == "\ninterrupted\n"


def test_with_the_variable_for_it_errors_are_raised(monkeypatch):
    monkeypatch.setenv("MINILLM_DEBUG", "1")
    with pytest.raises(KeyError):
        status_of(KeyError("loss"))


def test_the_command_ends_in_words_whatever_is_raised(minillm, monkeypatch, temporary, tmp_path):
    def fail(*_, **__):
        raise struct.error("unpack requires a buffer of 4 bytes")

    monkeypatch.setattr("minillm_lib.demo.run_demo", fail)
    result = minillm("demo", cwd=tmp_path)
    assert result.returncode == 1
    assert re.match(
        r"error: error: unpack requires .* the command \(minillm demo\) and the file ", result.stderr
    )
    assert len(list(temporary.iterdir())) == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_standard_output_on_a_full_disk_is_named(capsys, monkeypatch):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr("sys.stdout", full)
        monkeypatch.setattr(failures, "_send_output_nowhere", lambda: None)
        full.write("a")
        assert failures.flushed(0) == 2
        monkeypatch.undo()
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())
    assert "error: standard output: no space left on device" in capsys.readouterr().err
