"""A command of ``minillm`` in a terminal of its own, within the process of the test."""

from __future__ import annotations

import io
import os
import re
import sys
import threading

import pytest

OWN_CONTROLS = re.compile(r"\x1b\[[0-9;]*m|\x1b\[\?25[lh]|\x1b\[[012]?K|\x1b\[\d*A|\r\n|\n")
"""What this program itself sends: colours, its cursor, erased lines, bars above one another, ends of lines."""


def in_a_terminal(arguments: list[str], typed: str = "", start=None) -> str:
    """Return all that a command writes, to standard output and standard error, where both are one terminal."""
    from minillm_lib.cli.main import main

    keyboard, screen = os.openpty()
    shown: list[bytes] = []

    def read() -> None:
        try:
            while piece := os.read(keyboard, 1 << 16):
                shown.append(piece)
        except OSError:  # the other end was closed
            pass

    reader = threading.Thread(target=read)
    reader.start()
    with pytest.MonkeyPatch.context() as patched:
        for name in ("stdout", "stderr"):
            patched.setattr(sys, name, os.fdopen(os.dup(screen), "w", encoding="utf-8", newline="\n"))
        patched.setattr(sys, "stdin", io.StringIO(typed))
        patched.setattr(sys, "argv", ["minillm", *arguments])
        patched.setenv("TERM", "xterm-256color")
        streams = sys.stdout, sys.stderr
        try:
            (start or main)()
        except SystemExit:
            pass
        finally:
            for stream in streams:
                stream.close()
    os.close(screen)
    reader.join()
    os.close(keyboard)
    return b"".join(shown).decode("utf-8", "surrogateescape")
