"""A file is absent, as it was before, or complete."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time

import pytest

from minillm_lib.io.atomic_write import open_atomically, write_atomically


def test_folders_are_made_and_the_file_looks_like_any_other(tmp_path):
    path = tmp_path / "a" / "b.bin"
    write_atomically(path, b"first")
    write_atomically(path, b"second")
    assert path.read_bytes() == b"second"
    (tmp_path / "plain").write_bytes(b"")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)
    assert [p.name for p in path.parent.iterdir()] == ["b.bin"]


def test_a_failure_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, b"before")

    def full_disk(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"after")
    assert path.read_bytes() == b"before"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_block_that_fails_leaves_what_was_there_and_sees_it_until_the_end(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, b"before")

    def interrupted():
        with open_atomically(path) as file:
            file.write(b"half")
            assert path.read_bytes() == b"before"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"before"
    with open_atomically(path) as file:
        file.write(b"?nd")
        file.seek(0)
        file.write(b"a")
    assert path.read_bytes() == b"and"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_folder_is_no_file_to_write(tmp_path):
    with pytest.raises(IsADirectoryError, match="is a folder; give the name of a file"):
        write_atomically(tmp_path, b"content")
    assert list(tmp_path.iterdir()) == []


def test_a_killed_writer_never_leaves_half_a_file(tmp_path):
    code = (
        "import sys; from minillm_lib.io.atomic_write import write_atomically\n"
        "while True:\n    for byte in b'ab': write_atomically(sys.argv[1], bytes([byte]) * 3_000_000)"
    )
    path = tmp_path / "file"
    for wait in (0.01, 0.03, 0.07, 0.11):
        process = subprocess.Popen([sys.executable, "-c", code, str(path)])
        while not path.exists():
            time.sleep(0.01)
        time.sleep(wait)
        process.kill()
        process.wait()
        content = path.read_bytes()
        assert content in (b"a" * 3_000_000, b"b" * 3_000_000)
