"""A file that arrives in pieces: what is on disk already, and whether the server can add the rest to it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

import httpx

from minillm_lib.io.atomic_write import write_atomically


def mismatch(path: Path, size: int | None, sha256: str | None) -> str | None:
    """How a file differs from the expected size in bytes and SHA-256 (hexadecimal); None if it does not."""
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
    """The file ``<path>.part`` that grows into ``path``, and a note of what it is the beginning of.

    The note holds the address and a validator: the ETag or Last-Modified of the server's file. Only where the
    validator still holds is the rest of that file the rest of this one (RFC 9110, sections 13.1.5 and 14.2).
    """

    def __init__(self, path: Path, url: str) -> None:
        self.path = path.with_name(path.name + ".part")
        self._target = path
        self._note = path.with_name(path.name + ".part.json")
        self._url = url

    @property
    def validator(self) -> str:
        """The validator of the file that was begun; empty if it cannot be continued."""
        try:
            note = json.loads(self._note.read_bytes())
            return str(note["validator"]) if note["url"] == self._url else ""
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    @property
    def size(self) -> int:
        """The number of bytes that are here and can be continued."""
        return self.path.stat().st_size if self.validator and self.path.exists() else 0

    def headers(self) -> dict[str, str]:
        """The headers of a request for the bytes that are missing."""
        wanted = {"Accept-Encoding": "identity"}
        if self.size:
            wanted |= {"Range": f"bytes={self.size}-", "If-Range": self.validator}
        return wanted

    def is_continued_by(self, response: httpx.Response) -> bool:
        """Whether a 206 response begins where the bytes here end, or a 416 says that none are missing."""
        range_ = response.headers.get("Content-Range", "")
        fits = range_.startswith(f"bytes {self.size}-") or range_ == f"bytes */{self.size}"
        return fits and _validator(response) in ("", self.validator)

    def restart(self, response: httpx.Response) -> None:
        """Forget the bytes that are here, and note what the response is the beginning of."""
        self.discard()
        note = {"url": self._url, "validator": _validator(response)}
        write_atomically(self._note, json.dumps(note).encode())

    def append(self, chunks: Iterable[bytes]) -> None:
        """Add bytes as they come."""
        with self.path.open("ab") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())

    def finish(self) -> None:
        """Give the file its final name."""
        os.replace(self.path, self._target)
        self._note.unlink()

    def discard(self) -> None:
        """Remove the bytes and the note."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)


def total_size(response: httpx.Response) -> int | None:
    """The size of the whole file that a response is about, from Content-Range or Content-Length."""
    partial = response.status_code in (206, 416)
    total = response.headers.get("Content-Range" if partial else "Content-Length", "").rpartition("/")[2]
    return int(total) if total.isdecimal() else None


def _validator(response: httpx.Response) -> str:
    """What If-Range may hold: a strong ETag, or else Last-Modified."""
    etag: str = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified", "")
