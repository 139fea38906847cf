"""A file is absent, as it was before, or complete."""

from __future__ import annotations

import errno
import io
import stat
import subprocess
import sys
import time

import pytest
import torch
from faults.full_disk import failing_writes, small_disk
from safetensors.torch import save_file

from minillm_lib.io.atomic_write import append_whole, open_atomically, replaced_at_end, write_atomically
from minillm_lib.io.write_errors import WriteError, named_write_errors


def test_folders_are_made_and_the_file_looks_like_any_other(tmp_path):
    path = tmp_path / "a" / "b.bin"
    write_atomically(path, b"first")
    write_atomically(path, b"second")
    assert path.read_bytes() == b"second"
    (tmp_path / "plain").write_bytes(b"")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)
    assert [p.name for p in path.parent.iterdir()] == ["b.bin"]


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ENOSPC, r"the disk is full \(.* free, and more is needed\)"),
        (errno.EDQUOT, "the disk quota of this user is used up"),
        (errno.EIO, "the disk reports an input/output error"),
        (errno.EROFS, "the file system is read-only"),
        (errno.EFBIG, "no file may be that large here"),
        (errno.EACCES, "there is no permission to write there"),
    ],
)
def test_every_write_that_fails_leaves_what_was_there_and_names_the_file(tmp_path, number, reason):
    path = tmp_path / "file"
    write_atomically(path, b"before")
    with failing_writes(tmp_path) as counted:
        write_atomically(path, b"before")
    assert counted.n_writes >= 4, "a new file, its content, fsync, rename"
    for at in range(1, counted.n_writes + 1):
        with (
            failing_writes(tmp_path, at=at, error=number),
            pytest.raises(WriteError, match=f"{path} could not be written: {reason}") as failed,
        ):
            write_atomically(path, b"after")
        assert failed.value.errno == number
        assert path.read_bytes() == b"before"
        assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_line_is_appended_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "lines"
    append_whole(path, b"first\n")

    class HalfFull(io.FileIO):
        def write(self, data):
            if len(data) < 8:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data[:5])

    monkeypatch.setattr("builtins.open", lambda file, mode, buffering: HalfFull(file, mode))
    with pytest.raises(WriteError, match="lines could not be written: the disk is full"):
        append_whole(path, b"second line\n")
    monkeypatch.undo()
    append_whole(path, b"third\n")
    assert path.read_bytes() == b"first\nthird\n"


def test_a_file_in_a_temporary_folder_is_named_as_what_the_folder_becomes(tmp_path):
    path = tmp_path / "step-000001"
    inside = tmp_path / ".step-000001.0123456789abcdef" / "model.safetensors"
    for named, file in ((path, inside), (tmp_path / "other", tmp_path / "other")):
        with (
            pytest.raises(WriteError, match=f"^{named} could not be written: the disk is full"),
            named_write_errors(path),
        ):
            raise WriteError(errno.ENOSPC, "the disk is full", str(file))


def test_what_fails_for_another_reason_is_not_blamed_on_the_file(tmp_path):
    """A corpus that is read while tokens are written has its own name, and a server its own words."""

    def write_while(doing):
        with open_atomically(tmp_path / "file"):
            doing()

    def lose_connection():
        raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")

    with pytest.raises(FileNotFoundError, match=r"corpus\.txt"):
        write_while((tmp_path / "corpus.txt").read_bytes)
    with pytest.raises(ConnectionResetError):
        write_while(lose_connection)
    with pytest.raises(RuntimeError, match=r"^something else$"):
        write_while(lambda: exec("raise RuntimeError('something else')"))


@pytest.mark.slow
def test_on_a_disk_that_is_really_full_every_library_names_the_file(tmp_path):
    tensors = {"a": torch.randn(100_000)}
    with small_disk(tmp_path / "disk", 200_000) as disk:
        path = disk.path / "file"
        write_atomically(path, b"before")

        def with_safetensors():
            with replaced_at_end(path) as temporary:
                save_file(tensors, temporary)

        def with_torch(open_first):
            with replaced_at_end(path) as temporary:
                if open_first:
                    with temporary.open("wb") as file:
                        torch.save(tensors, file)
                else:
                    torch.save(tensors, temporary)

        for work in (
            with_safetensors,
            lambda: with_torch(True),
            lambda: with_torch(False),
            lambda: write_atomically(path, bytes(400_000)),
        ):
            with pytest.raises(WriteError, match=f"^{path} could not be written: the disk is full"):
                work()
            assert [each.name for each in disk.path.iterdir()] == ["file"]
            assert path.read_bytes() == b"before"


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
