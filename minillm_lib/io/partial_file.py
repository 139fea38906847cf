"""Partially downloaded files: what is already on disk, and whether the server can send the rest of it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from minillm_lib.io.atomic_write import write_atomically

if TYPE_CHECKING:
    import httpx


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

    The note holds the address and a validator: the ETag or Last-Modified of the server's file. Only while the
    validator still matches can the rest be requested from the server (RFC 9110, sections 13.1.5 and 14.2).

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

    @property
    def validator(self) -> str:
        """The validator of the partial file; empty if the download cannot be resumed."""
        try:
            note = json.loads(self._note.read_bytes())
            return str(note["validator"]) if note["url"] == self._url else ""
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    @property
    def size(self) -> int:
        """The number of bytes on disk to which the rest can be added; 0 if the download cannot be resumed."""
        return self.path.stat().st_size if self.validator and self.path.exists() else 0

    def headers(self) -> dict[str, str]:
        """Return the headers of a request for the missing bytes."""
        wanted = {"Accept-Encoding": "identity"}
        if self.size:
            wanted |= {"Range": f"bytes={self.size}-", "If-Range": self.validator}
        return wanted

    def is_continued_by(self, response: httpx.Response) -> bool:
        """Check whether a 206 response begins where the partial file ends, or a 416 reports that it is complete."""
        range_ = response.headers.get("Content-Range", "")
        fits = range_.startswith(f"bytes {self.size}-") or range_ == f"bytes */{self.size}"
        return fits and _validator(response) in ("", self.validator)

    def restart(self, response: httpx.Response) -> None:
        """Discard the bytes on disk and record which file the response begins."""
        self.discard()
        note = {"url": self._url, "validator": _validator(response)}
        write_atomically(self._note, json.dumps(note).encode())

    def append(self, chunks: Iterable[bytes]) -> None:
        """Append bytes as they arrive."""
        with self.path.open("ab") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())

    def finish(self) -> None:
        """Rename the partial file to its final name and remove the note."""
        os.replace(self.path, self._target)
        self._note.unlink()

    def discard(self) -> None:
        """Remove the bytes and the note."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)


def total_size(response: httpx.Response) -> int | None:
    """Return the size in bytes of the complete file, from Content-Range or Content-Length; None if not stated."""
    partial = response.status_code in (206, 416)
    total = response.headers.get("Content-Range" if partial else "Content-Length", "").rpartition("/")[2]
    return int(total) if total.isdecimal() else None


def _validator(response: httpx.Response) -> str:
    """Return a value that If-Range accepts: a strong ETag, or else Last-Modified; empty if there is neither."""
    etag: str = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified", "")
