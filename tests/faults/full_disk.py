"""Full disks for tests: writes that fail at a chosen moment, a real small file system, and a limit on file sizes.

In this process, quick, for everything that writes through Python's ``open``::

    with failing_writes(folder) as counted:           # counts, fails nothing
        work()
    for at in range(1, counted.n_writes + 1):
        with failing_writes(folder, at=at) as disk, pytest.raises(OSError):
            work()                                    # this write, and all after it, fail with ENOSPC
        assert disk.has_failed

For everything, native code included (safetensors, torch, matplotlib), in this process or another; needs root on Linux,
and skips the test otherwise::

    with small_disk(tmp_path / "disk", 2 << 20) as disk:
        disk.leave(10_000)                            # fill it until 10,000 bytes are free
        work_in(disk.path)
        disk.free_all()                               # remove the filling: there is room again

For another process, native code included, without root (the error is EFBIG, and the limit is per file)::

    subprocess.run([...], preexec_fn=partial(limit_file_sizes, 4096))
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

_WRITING = set("wax+")


class Writes:
    """The writes to a folder: how many there were, and whether they fail by now.

    Each call of ``write`` on a file, each new file and folder, each ``fsync`` and each ``rename`` counts as one.

    Attributes
    ----------
    n_writes, has_failed
        How many writes were tried, and whether one of them was made to fail.
    """

    def __init__(self, folder: Path, at: int | None, error: int, lasts: bool) -> None:
        self._folder, self._at, self._error, self._lasts = os.path.realpath(folder), at, error, lasts
        self.n_writes, self.has_failed = 0, False

    def concerns(self, path: Any) -> bool:
        """Return whether a path lies in the folder."""
        if isinstance(path, int):
            try:
                path = os.readlink(f"/proc/self/fd/{path}")
            except OSError:
                return False
        found = os.path.realpath(os.fsdecode(path))
        return found == self._folder or found.startswith(self._folder + os.sep)

    def count(self, path: Any = None) -> None:
        """Count a write, and fail if its turn has come; as from the system, the error has the path if there is one."""
        self.n_writes += 1
        if self._at is not None and (self.n_writes == self._at or (self._lasts and self.n_writes > self._at)):
            self.has_failed = True
            named = () if path is None or isinstance(path, int) else (os.fsdecode(path),)
            raise OSError(self._error, os.strerror(self._error), *named)


@contextmanager
def failing_writes(
    folder: Path, at: int | None = None, error: int = errno.ENOSPC, *, lasts: bool = True
) -> Iterator[Writes]:
    """Let the ``at``-th write below a folder fail, and all after it.

    Parameters
    ----------
    at
        Number of the first write that fails, from 1; None only counts.
    error
        The error: ENOSPC, EDQUOT, EIO, EROFS, EFBIG, EACCES.
    lasts
        Whether all later writes fail too; otherwise only this one does.
    """
    writes = Writes(folder, at, error, lasts)
    really_open, really_mkdir = io.open, os.mkdir

    class Counted(io.FileIO):
        def write(self, data: Any, /) -> int:
            writes.count()
            return super().write(data)

    def open_(file: Any, mode: str = "r", buffering: int = -1, *more: Any, **options: Any) -> Any:
        if (
            isinstance(file, int)
            or "opener" in options
            or not _WRITING & set(mode)
            or not writes.concerns(file)
        ):
            return really_open(file, mode, buffering, *more, **options)
        if not os.path.exists(file):
            writes.count(file)
        raw = Counted(file, mode.replace("b", "").replace("t", ""))
        if buffering == 0:
            return raw
        buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, *more, **options)

    def counting(function: Any, place: int = 0) -> Any:
        def counted(*arguments: Any, **options: Any) -> Any:
            path = arguments[place]
            is_there_already = function is really_mkdir and os.path.lexists(path)
            if writes.concerns(path) and not is_there_already:
                writes.count(path)
            return function(*arguments, **options)

        return counted

    with (
        mock.patch.object(io, "open", open_),
        mock.patch.object(builtins, "open", open_),
        mock.patch.object(os, "fsync", counting(os.fsync)),
        mock.patch.object(os, "mkdir", counting(os.mkdir)),
        mock.patch.object(os, "rename", counting(os.rename, 1)),
        mock.patch.object(os, "replace", counting(os.replace, 1)),
    ):
        yield writes


class SmallDisk:
    """A file system of its own, of a few megabytes."""

    def __init__(self, path: Path) -> None:
        self.path, self._filling = path, path / ".filling"

    @property
    def free(self) -> int:
        """How many bytes are free."""
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize

    def leave(self, n_bytes: int) -> None:
        """Fill the disk until at most ``n_bytes`` are free (whole pages of 4,096 bytes)."""
        with self._filling.open("ab") as file:
            surplus = self.free - n_bytes
            if surplus > 0:
                os.posix_fallocate(file.fileno(), self._filling.stat().st_size, surplus)

    def free_all(self) -> None:
        """Remove what :meth:`leave` has put there."""
        self._filling.unlink(missing_ok=True)


@contextmanager
def small_disk(path: Path, n_bytes: int) -> Iterator[SmallDisk]:
    """Mount a file system of ``n_bytes`` at ``path``; where that is not permitted, the test is skipped."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("a file system can be mounted only by root, on Linux")
    path.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={n_bytes}", "none", str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True, capture_output=True)


def limit_file_sizes(n_bytes: int | None) -> None:
    """Let no file of this process, and of those that it starts, grow beyond ``n_bytes``; None lifts that."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard if n_bytes is None else n_bytes, hard))
