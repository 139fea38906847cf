"""A checksum of each file in a folder, so that damage is found when the files are read, not in what they lead to.

The list is a file ``SHA256SUMS`` beside them, which ``sha256sum --check SHA256SUMS`` verifies as well. In lines that
sha256sum passes over, it also has a CRC-32 of each file and of itself: these are compared on loading, because that
takes a small part of the time. Both find what disks, copies and editors do to files. Neither is a protection against
somebody who changes a file and the list.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event

from isal import isal_zlib

from minillm_lib.io.atomic_write import write_atomically
from minillm_lib.io.regular_file import NotRegularFileError, check_regular, is_there

CHECKSUM_FILE = "SHA256SUMS"

_LINE = re.compile(r"(?:([0-9a-f]{64}) [ *]|# (crc32 [0-9a-f]{8})  )(?!\.{1,2}$)([^/\\\x00-\x1f\x7f]+)")
_LONGEST_LIST = 1 << 20
_CHUNK = 4 << 20  # a hash that runs beside Python code waits for the interpreter after each
_PATIENCE = 1.0  # seconds that an error waits for the verdict, which explains it better


class ChecksumError(ValueError):
    """A file is missing or differs from its checksum, or the list itself is damaged; the message names the file."""


def write_checksums(folder: str | os.PathLike[str], names: Iterable[str] | None = None) -> Path:
    """Write the checksums of files, or renew them after a file was changed on purpose.

    Parameters
    ----------
    names
        The files whose checksums are added to the list, or renewed in it. By default the list is written anew, with
        every file that lies directly in the folder and is not hidden.

    Returns
    -------
    Path
        The list.

    Raises
    ------
    ChecksumError
        If ``names`` are to be added to a list that is damaged.
    NotRegularFileError
        If one of them is not a file.
    """
    folder = Path(folder)
    exact: dict[str, str] = {}
    quick: dict[str, str] = {}
    if names is None:
        found = (path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
        names = (path.name for path in found if path.name != CHECKSUM_FILE)
    elif is_there(folder / CHECKSUM_FILE):
        exact, quick = _read(folder)
    for name in names:
        exact[name], quick[name] = _digests(folder / name)
    lines = [f"{exact[name]}  {name}\n" for name in sorted(exact)]
    lines += [f"# {quick[name]}  {name}\n" for name in sorted(quick)]
    content = "".join(lines).encode()
    content += f"# {_crc(isal_zlib.crc32(content))}  {CHECKSUM_FILE}\n".encode()
    write_atomically(folder / CHECKSUM_FILE, content)
    return folder / CHECKSUM_FILE


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file.

    Raises
    ------
    NotRegularFileError
        If it is something else, such as a named pipe, which would be waited for.
    """
    check_regular(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def renew_if_listed(folder: str | os.PathLike[str], names: Iterable[str]) -> None:
    """Renew the checksums of files that were written again, if the folder has a list.

    Raises
    ------
    ChecksumError
        If the list is damaged.
    """
    if is_there(Path(folder) / CHECKSUM_FILE):
        write_checksums(folder, names)


def read_checksums(folder: Path) -> dict[str, str] | None:
    """Return the quickest checksum that a folder's list has of each file; ``None`` if there is no list.

    Raises
    ------
    ChecksumError
        If the list is not one, or is damaged.
    """
    if not is_there(folder / CHECKSUM_FILE):
        return None
    exact, quick = _read(folder)
    return exact | quick


def listed_sha256(folder: Path) -> dict[str, str]:
    """Return the SHA-256 that a folder's list has of each file.

    Raises
    ------
    ChecksumError
        If the list is missing, is not one, or is damaged.
    """
    return _read(folder)[0]


def _read(folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Return the SHA-256 of the files in a list, and their CRC-32 if it has those."""
    path = folder / CHECKSUM_FILE
    try:
        check_regular(path, at_most=_LONGEST_LIST)
        content = path.read_bytes()
        *lines, last = content.decode().split("\n")
    except (NotRegularFileError, FileNotFoundError, UnicodeDecodeError) as error:
        raise ChecksumError(f"{path}: damaged: {error}") from error
    exact: dict[str, str] = {}
    quick: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        match = _LINE.fullmatch(line)
        if match is None or match[3] in (quick if match[2] else exact):
            raise ChecksumError(
                f"{path}: damaged: line {number} is not a checksum and the name of a file. {_advice(folder)}"
            )
        (quick if match[2] else exact)[match[3]] = match[2] or match[1]
    own = quick.pop(CHECKSUM_FILE, None)
    before = content[: content.rstrip(b"\n").rfind(b"\n") + 1]
    if (
        last
        or not exact
        or quick.keys() - exact.keys()
        or (own or _crc(isal_zlib.crc32(before))) != _crc(isal_zlib.crc32(before))
    ):
        raise ChecksumError(f"{path}: damaged: it is not what was written. {_advice(folder)}")
    if quick and own is None:
        raise ChecksumError(f"{path}: damaged: its end is missing. {_advice(folder)}")
    return exact, quick


def check_content(folder: Path, name: str, content: bytes, listed: Mapping[str, str]) -> None:
    """Check what was read of a file, if the list names it.

    Raises
    ------
    ChecksumError
        If it is not what the list says.
    """
    expected = listed.get(name)
    if expected is None:
        return
    found = _crc(isal_zlib.crc32(content)) if _is_quick(expected) else hashlib.sha256(content).hexdigest()
    if found != expected:
        raise ChecksumError(_changed(folder, name))


def check_files(folder: Path, listed: Mapping[str, str], stop: Event | None = None) -> None:
    """Check that every file of a list is there, and is what it was; files that are not listed do not matter.

    Parameters
    ----------
    stop
        Ends the check early, without a verdict, once it is set.

    Raises
    ------
    ChecksumError
        If a file is missing, is not a file, or differs.
    """
    for name, expected in listed.items():
        try:
            exact, quick = _digests(folder / name, stop, only_quick=_is_quick(expected))
        except FileNotFoundError:
            message = f"{folder / name}: missing, though {CHECKSUM_FILE} lists it. {_advice(folder)}"
            raise ChecksumError(message) from None
        except NotRegularFileError as error:
            raise ChecksumError(str(error)) from error
        if stop is not None and stop.is_set():
            return
        if expected not in (exact, quick):
            raise ChecksumError(_changed(folder, name))


def _digests(path: Path, stop: Event | None = None, *, only_quick: bool = False) -> tuple[str, str]:
    """Return the SHA-256 of a regular file, unless only the quick one is asked for, and its CRC-32.

    Raises
    ------
    NotRegularFileError
        If it is something else.
    """
    size = check_regular(path)
    exact, quick, buffer = hashlib.sha256(), 0, memoryview(bytearray(min(size, _CHUNK) or 1))
    with path.open("rb", buffering=0) as file:
        while not (stop is not None and stop.is_set()) and (n := file.readinto(buffer)):
            quick = isal_zlib.crc32(buffer[:n], quick)
            if not only_quick:
                exact.update(buffer[:n])
    return "" if only_quick else exact.hexdigest(), _crc(quick)


def _crc(number: int) -> str:
    return f"crc32 {number:08x}"


def _is_quick(checksum: str) -> bool:
    return checksum.startswith("crc32 ")


@contextmanager
def verified(folder: Path, listed: Mapping[str, str]) -> Iterator[None]:
    """Check the files of a list in another thread while the block reads them.

    Raises
    ------
    ChecksumError
        If one is damaged, also in place of the block's own error, of which that is the reason.
    """
    with alongside(partial(check_files, folder, listed)):
        yield


@contextmanager
def alongside(check: Callable[[Event], None]) -> Iterator[None]:
    """Run a check in another thread beside the block; its error takes precedence over the block's.

    Parameters
    ----------
    check
        Given an event that tells it to stop: after an error of the block, it is not waited for for long.
    """
    stop = Event()
    with ThreadPoolExecutor(max_workers=1) as pool:
        verdict = pool.submit(check, stop)
        try:
            yield
            verdict.result()
        except Exception:
            wait([verdict], timeout=_PATIENCE)
            if verdict.done():
                verdict.result()
            raise
        finally:
            stop.set()


def _changed(folder: Path, name: str) -> str:
    return f"{folder / name}: damaged or changed: its checksum is not the one in {CHECKSUM_FILE}. {_advice(folder)}"


def _advice(folder: Path) -> str:
    return (
        "Copy the folder again from where it came from. If a file was changed on purpose, renew the list with "
        f"minillm_lib.io.write_checksums({str(folder)!r}), or load with verify=False (--no-verify)"
    )
