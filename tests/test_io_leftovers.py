"""Temporary files of killed processes go, and those of living ones stay."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest

from minillm_lib.io.atomic_write import write_atomically
from minillm_lib.io.leftovers import held, remove_leftovers, temporary_beside

pytest.importorskip("fcntl")

WRITER = """
import sys, time
from minillm_lib.io.atomic_write import open_atomically
with open_atomically(sys.argv[1]) as file:
    file.write(b"half")
    file.flush()
    print("writing", flush=True)
    time.sleep(60)
"""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_a_killed_process_leaves_is_removed_and_not_before(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / "model.pt")], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "writing\n"
        left = names(tmp_path)
        assert len(left) == 1
        assert remove_leftovers(tmp_path) == []
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    assert names(tmp_path) == left, "a kill leaves it"
    assert [path.name for path in remove_leftovers(tmp_path)] == left
    assert names(tmp_path) == []


def test_only_our_own_names_are_removed(tmp_path):
    kept = (
        ".model.pt",
        ".model.pt.0123",
        ".model.pt.0123456789abcdeg",
        "model.pt.0123456789abcdef",
        ".DS_Store",
    )
    for name in kept:
        (tmp_path / name).write_bytes(b"")
    (tmp_path / ".link.0123456789abcdef").symlink_to(tmp_path / "model.pt.0123456789abcdef")
    ours, folder = temporary_beside(tmp_path / "model.pt"), temporary_beside(tmp_path / "step-000001")
    ours.write_bytes(b"half")
    (folder / "trainer_state").mkdir(parents=True)
    assert remove_leftovers(tmp_path, "other.pt") == []
    assert remove_leftovers(tmp_path, "model.pt") == [ours]
    with held(folder):
        assert remove_leftovers(tmp_path) == []
    assert remove_leftovers(tmp_path) == [folder]
    assert names(tmp_path) == sorted([*kept, ".link.0123456789abcdef"])
    assert remove_leftovers(tmp_path / "nowhere") == []


def test_a_process_has_time_to_hold_what_it_makes(tmp_path):
    ours = temporary_beside(tmp_path / "model.pt")
    ours.write_bytes(b"half")
    is_looked_at = threading.Event()

    def hold():
        time.sleep(0.05)
        with held(ours):
            is_looked_at.wait()

    writer = threading.Thread(target=hold)
    writer.start()
    try:
        assert remove_leftovers(tmp_path, at_age=0.5) == []
    finally:
        is_looked_at.set()
        writer.join()
    assert remove_leftovers(tmp_path, at_age=0.5) == [ours]


def test_writing_a_file_again_at_once_removes_what_a_kill_left_of_it(tmp_path):
    path = tmp_path / "model.pt"
    temporary_beside(path).write_bytes(b"half")
    other = temporary_beside(tmp_path / "other.pt")
    other.write_bytes(b"half")
    write_atomically(path, b"whole")
    assert names(tmp_path) == sorted([other.name, "model.pt"])
