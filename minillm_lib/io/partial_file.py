"""Partially downloaded files: what is already on disk, and whether the server can send the rest of it."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from minillm_lib.io.answer import number_in, stated_length
from minillm_lib.io.atomic_write import write_atomically
from minillm_lib.io.fetch_errors import FailedAttempt
from minillm_lib.io.write_errors import free_room, named_write_errors

if TYPE_CHECKING:
    import httpx

_CONTENT_RANGE = re.compile(r"bytes (?:([0-9]+)-([0-9]+)|\*)/([0-9]+|\*)")


def mismatch(path: Path, size: int | None, sha256: str | None) -> str | None:
    """Describe how a file differs from the expected size and hash; None if it does not differ.

    Parameters
    ----------
    size
        Expected size in bytes; not checked if None.
    sha256
        Expected SHA-256, hexadecimal; not checked if None.
    """
    found = path.stat().st_size
    if size is not None and found != size:
        return f"{found} bytes instead of {size}"
    if sha256 is not None:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != sha256.lower():
            return f"SHA-256 {digest} instead of {sha256}"
    return None


class PartialFile:
    """The file ``<path>.part`` that grows into ``path``, and a note that identifies the file being downloaded.

    The note holds the address, the length of the server's file if the first answer stated it, and a validator: its
    ETag or Last-Modified. Only while these still match can the rest be requested from the server (RFC 9110, sections
    13.1.5 and 14.2).

    Parameters
    ----------
    path
        Where the complete file will be.
    url
        The address that it is downloaded from.
    """

    def __init__(self, path: Path, url: str) -> None:
        self.path = path.with_name(path.name + ".part")
        self._target = path
        self._note = path.with_name(path.name + ".part.json")
        self._url = url
        self.validator, self.length = self._noted()

    def _noted(self) -> tuple[str, int | None]:
        """Return the validator and the length of the server's file: none if the download cannot be resumed."""
        try:
            note = json.loads(self._note.read_bytes())
            validator, length = note["validator"], note.get("length")
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return "", None
        is_sound = isinstance(validator, str) and (length is None or type(length) is int)
        return (validator, length) if is_sound and note["url"] == self._url else ("", None)

    @property
    def size(self) -> int:
        """The number of bytes on disk to which the rest can be added; 0 if the download cannot be resumed."""
        return self.path.stat().st_size if self.validator and self.path.is_file() else 0

    def headers(self) -> dict[str, str]:
        """Return the headers of a request for the missing bytes."""
        wanted = {"Accept-Encoding": "identity"}
        if self.size:
            wanted |= {"Range": f"bytes={self.size}-", "If-Range": self.validator}
        return wanted

    def problem_with(self, response: httpx.Response) -> str | None:
        """Describe why a 206 does not continue the partial file, or a 416 does not say that it is complete.

        Returns
        -------
        str or None
            None if it fits: it begins where the partial file ends, and its server's file is still the same, as far as
            validator and length tell.
        """
        answer, size = _Range.of(response), self.size
        if not size:
            return "a part of the file was sent, and none was asked for"
        if answer is None:
            return "the answer does not say which part of the file it is"
        total = self.length if answer.total is None else answer.total
        if self.length not in (None, total):
            return f"the file has changed on the server: it has {total:,} bytes, and had {self.length:,}"
        is_complete = response.status_code == 416 and self.length == size
        if not is_complete and not _is_same(response, self.validator):
            return "the file has changed on the server"
        if response.status_code == 416:
            return None if answer.start is None and total == size else "the server does not send the rest"
        if answer.start != size or answer.end is None or answer.end < size:
            return f"another part of the file was sent than that from byte {size:,} on"
        if total is None or answer.end >= total or (answer.total is None and answer.end + 1 != total):
            return "the answer does not say where the file ends, or says it wrongly"
        if stated_length(response) not in (None, answer.end + 1 - size):
            return "the length of the answer is not that of the part that it says it is"
        return None

    def total_of(self, response: httpx.Response) -> int | None:
        """Return the size of the complete file in bytes, as this answer or an earlier one states it, or None."""
        if response.status_code == 200:
            return stated_length(response)
        answer = _Range.of(response)
        return self.length if answer is None or answer.total is None else answer.total

    def begin(self, response: httpx.Response) -> int | None:
        """Get ready for the body of an answer, and return how many bytes the file has after it; None if not stated.

        If the answer is the whole file, the bytes on disk are discarded, and what identifies the file is noted.
        """
        if response.status_code == 206:
            answer = _Range.of(response)
            assert answer is not None
            assert answer.end is not None
            if self.length is None:
                self._write_note(self.validator, answer.total)
            return answer.end + 1
        self.discard()
        self._write_note(_validator(response), stated_length(response))
        return self.length

    def _write_note(self, validator: str, length: int | None) -> None:
        note: dict[str, Any] = {"url": self._url, "validator": validator, "length": length}
        write_atomically(self._note, json.dumps(note).encode())
        self.validator, self.length = validator, length

    def check_room(self, n: int) -> None:
        """Check that ``n`` more bytes fit on the disk.

        Raises
        ------
        FailedAttempt
            If they do not.
        """
        if n > (free := free_room(self.path)):
            raise FailedAttempt(
                f"{n:,} bytes are missing, and {self.path.parent} has room for {free:,}",
                "make room there: what has arrived is kept",
                final=True,
            )

    def append(self, chunks: Iterable[bytes]) -> None:
        """Append bytes as they arrive.

        Raises
        ------
        WriteError
            If they cannot be written, as when the disk is full. What was written stays.
        """
        with named_write_errors(self.path), self.path.open("ab", buffering=0) as file:
            for chunk in chunks:
                while chunk:
                    chunk = chunk[file.write(chunk) :]
            os.fsync(file.fileno())

    def finish(self) -> None:
        """Rename the partial file to its final name and remove the note."""
        os.replace(self.path, self._target)
        self._note.unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove the bytes and the note."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)
        self.validator, self.length = "", None


class _Range(NamedTuple):
    """What Content-Range says: the first and the last byte of a part, and the size of the whole file."""

    start: int | None
    end: int | None
    total: int | None

    @classmethod
    def of(cls, response: httpx.Response) -> _Range | None:
        """Return the range of an answer; None if it states none, or one that cannot be understood."""
        match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
        if match is None:
            return None
        return cls(*(None if text in (None, "*") else number_in(text) for text in match.groups()))


def _is_same(response: httpx.Response, validator: str) -> bool:
    """Whether a partial answer is of the file with this validator.

    It must repeat an ETag; a date it may leave out, as the request made the server compare it.
    """
    if validator.startswith('"'):
        return bool(response.headers.get("ETag", "") == validator)
    return response.headers.get("Last-Modified", validator) == validator


def _validator(response: httpx.Response) -> str:
    """Return a value that If-Range accepts: a strong ETag, or else Last-Modified; empty if there is neither."""
    etag: str = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified", "")
