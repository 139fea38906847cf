"""Faults of servers, as a table: what a server does wrong, and what must become of it.

:data:`FAULTS` is a list of :class:`DownloadFault`, each with a name of its own. ``play(fault, folder)`` plays one in a
folder of its own and returns, or raises AssertionError if it did harm; it takes well under a second for most. Set
``NO_PROXY=127.0.0.1`` before, in case there is a proxy; nothing else is needed.

A fault is survived if the content arrives exactly as it is (``expected`` is "content"), or if there is a
:class:`~minillm_lib.io.fetch_errors.DownloadError` whose message fits the pattern ``message`` (``expected`` is
"error"), with nothing under the final name and nothing in the cache; in both cases in a few seconds and, where the
server sends much (``is_large``), in a few megabytes.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import time
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from faults.fault_server import Answer, FaultServer

BODY = random.Random(0).randbytes(20_000)
SHA256 = hashlib.sha256(BODY).hexdigest()
ETAG = '"first"'
HALF = 8000
_LONGEST = 60.0  # on a busy machine
_MOST_BYTES = 96 << 20
_QUICK: Mapping[str, Any] = {
    "delay": 0,
    "backoff": 0.001,
    "timeout": 3.0,
    "retries": 2,
    "max_seconds": 30,
    "max_file_seconds": 30,
}


@dataclass(frozen=True)
class DownloadFault:
    """What a server does wrong, and what must become of it.

    Attributes
    ----------
    answers
        Its first, second, … answer; the last one stays.
    how
        Whether the client gets a page, fetches a file, or resumes a file of which ``HALF`` bytes are on disk.
    message
        Pattern of the error.
    content
        What must arrive.
    options
        Of the downloader.
    known
        Size and hash that the client knows of a file.
    is_large
        Whether so much is sent that the memory is measured, which takes time.
    prepare
        Changes what is on disk before a file is resumed; called with the paths of the partial file and of its note.
    """

    name: str
    answers: Sequence[Answer]
    expected: Literal["content", "error"]
    how: Literal["get", "file", "resume"] = "get"
    message: str = ""
    content: bytes = BODY
    options: Mapping[str, Any] = field(default_factory=dict)
    known: Mapping[str, Any] = field(default_factory=dict)
    is_large: bool = False
    prepare: Callable[[Path, Path], object] | None = None


def play(fault: DownloadFault, folder: Path) -> None:
    """Play a fault in an empty folder.

    Raises
    ------
    AssertionError
        If it did harm.
    """
    from minillm_lib.io.download import Downloader
    from minillm_lib.io.fetch_errors import DownloadError

    path, error, content = folder / "data.bin", None, None
    begun = time.monotonic()
    if fault.is_large:
        tracemalloc.start()
    with (
        FaultServer(fault.answers) as server,
        Downloader(folder / "cache", **{**_QUICK, **fault.options}) as downloader,
    ):
        url = f"{server.url}/page"
        if fault.how == "resume":
            _begin(path, url, fault)
        try:
            if fault.how == "get":
                content = downloader.get(url)
            else:
                content = downloader.download_file(url, path, progress=False, **fault.known).read_bytes()
        except DownloadError as caught:
            error = str(caught)
    most = tracemalloc.get_traced_memory()[1]
    if fault.is_large:
        tracemalloc.stop()
    seconds = time.monotonic() - begun
    if fault.expected == "content":
        assert error is None, f"{fault.name}: the content arrives on another attempt, but: {error}"
        assert content == fault.content, f"{fault.name}: other content was taken, {_shown(content)}"
    else:
        assert error is not None, f"{fault.name}: taken for content: {_shown(content)}"
        assert re.search(fault.message, error), f"{fault.name}: the error does not say why: {error}"
        assert "Traceback" not in error
        assert error.isprintable(), f"{fault.name}: the error would reach the terminal raw: {error!r}"
        assert not path.exists(), f"{fault.name}: there is a bad file"
    cached = [
        file.read_bytes() for file in (folder / "cache").rglob("*") if file.is_file() and not file.suffix
    ]
    right = [fault.content] if fault.expected == "content" and fault.how == "get" else []
    assert cached == right, f"{fault.name}: bad content is in the cache"
    assert seconds < _LONGEST, f"{fault.name}: it took {seconds:.1f} s"
    assert most < _MOST_BYTES, f"{fault.name}: it took {most >> 20} MiB of memory"


def _begin(path: Path, url: str, fault: DownloadFault) -> None:
    """Leave on disk what a killed process leaves."""
    part, note = path.with_name("data.bin.part"), path.with_name("data.bin.part.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(BODY[:HALF])
    note.write_text(json.dumps({"url": url, "validator": ETAG, "length": len(BODY)}))
    if fault.prepare is not None:
        fault.prepare(part, note)


def _shown(content: bytes | None) -> str:
    return f"{len(content or b'')} bytes, {(content or b'')[:40]!r}"


def _all_faults() -> list[DownloadFault]:
    from faults.download_fault_table import bodies, framing, redirections, resumed, silence, statuses

    return [*statuses(), *bodies(), *framing(), *redirections(), *silence(), *resumed()]


FAULTS: list[DownloadFault] = _all_faults()
