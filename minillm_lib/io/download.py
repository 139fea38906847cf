"""A polite HTTP client with few connections, a pause between requests, retries, and a verified cache on disk."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import random
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

from tqdm import tqdm

from minillm_lib import __version__
from minillm_lib.io.atomic_write import write_atomically
from minillm_lib.io.cache import default_cache_dir
from minillm_lib.io.fetch_errors import DownloadError
from minillm_lib.io.optional import optional_imports
from minillm_lib.io.partial_file import PartialFile, mismatch, total_size
from minillm_lib.io.progress_bar import progress_bar

with optional_imports("fetch", "to fetch anything from the network"):
    import httpx

USER_AGENT = (
    f"minillm-lib/{__version__} (course on topic models and language models) httpx/{httpx.__version__}"
)

_PASSING = (
    httpx.TimeoutException,
    httpx.NetworkError,
    httpx.ProxyError,
    httpx.RemoteProtocolError,
    httpx.DecodingError,
)
_Result = TypeVar("_Result")
_logger = logging.getLogger(__name__)


@dataclass(eq=False)
class _FailedAttempt(Exception):  # noqa: N818 (it never leaves this module)
    """One failed request.

    Attributes
    ----------
    hold
        How long the server asks the client to wait before the next request, in seconds.
    final
        Whether trying again is pointless.
    """

    reason: str
    advice: str = "check the connection, or try again later: what has arrived is kept"
    status: int | None = None
    hold: float = 0.0
    final: bool = False


class Downloader:
    """An HTTP client that does not burden public servers, with a cache that survives crashes.

    Threads may share it. What :meth:`get` has fetched is kept in ``cache_dir`` and not requested again. Use it as a
    context manager, or call :meth:`close`.

    Parameters
    ----------
    cache_dir
        Folder of the cache; :func:`~minillm_lib.io.cache.default_cache_dir` if None.
    delay
        Minimum time between the starts of two requests, over all threads, in seconds.
    max_connections
        Maximum number of connections open at the same time.
    timeout
        How long the server may be silent, in seconds, before a request counts as failed.
    retries
        How often a failed request is repeated. In :meth:`download_file`, only failures in succession that brought no
        new bytes count.
    backoff
        Pause after the first failure, in seconds; it doubles with each further failure, up to a minute.
    max_retry_after
        Longest wait, in seconds, that is accepted when the server requests one (``Retry-After``).
    user_agent
        How the client identifies itself.

    Raises
    ------
    ValueError
        If ``max_connections`` is below 1, or ``retries``, ``delay`` or ``backoff`` is negative.
    """

    def __init__(
        self,
        cache_dir: str | os.PathLike[str] | None = None,
        *,
        delay: float = 0.5,
        max_connections: int = 2,
        timeout: float = 30.0,
        retries: int = 5,
        backoff: float = 1.0,
        max_retry_after: float = 300.0,
        user_agent: str = USER_AGENT,
    ) -> None:
        if max_connections < 1 or retries < 0 or delay < 0 or backoff < 0:
            raise ValueError(
                "max_connections must be at least 1, and retries, delay and backoff at least 0; "
                f"got {max_connections=}, {retries=}, {delay=}, {backoff=}"
            )
        self.cache_dir = Path(cache_dir) if cache_dir is not None else default_cache_dir()
        self.max_connections = max_connections
        self._delay, self._retries, self._backoff = delay, retries, backoff
        self._max_retry_after = max_retry_after
        self._turn = threading.Lock()
        self._next_start = 0.0
        self._client = httpx.Client(
            headers={"User-Agent": user_agent},
            follow_redirects=True,
            limits=httpx.Limits(max_connections=max_connections),
            timeout=httpx.Timeout(timeout, pool=None),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def get(
        self, url: str, *, validate: Callable[[bytes], object] | None = None, refresh: bool = False
    ) -> bytes:
        """Return the content at an address, from the cache if an undamaged copy is there.

        Parameters
        ----------
        validate
            Called with the content before it is cached. A ``ValueError`` means that the content is damaged and has to
            be fetched again; any other exception is passed on, and nothing is cached.
        refresh
            Ask the server even if the content is in the cache.

        Raises
        ------
        DownloadError
            If the content cannot be downloaded.
        """
        host = re.sub(r"[^\w.-]", "_", urlsplit(url).netloc)
        entry = self.cache_dir / "http" / (host or "_") / hashlib.sha256(url.encode()).hexdigest()[:40]
        content = None if refresh else _read_verified(entry)
        if content is None:
            content = self._retry(url, lambda: self._get_once(url, validate))
            _write_verified(entry, url, content)
        return content

    def _get_once(self, url: str, validate: Callable[[bytes], object] | None) -> bytes:
        # httpx raises RemoteProtocolError for a body that ends before its Content-Length or its last chunk.
        response = self._client.get(url)
        _check_status(response)
        if validate is not None:
            try:
                validate(response.content)
            except ValueError as error:
                raise _FailedAttempt(f"damaged content ({error})", status=response.status_code) from error
        return response.content

    def download_file(
        self,
        url: str,
        path: str | os.PathLike[str],
        *,
        size: int | None = None,
        sha256: str | None = None,
        progress: bool = True,
    ) -> Path:
        """Download a file of any size to ``path``, where it appears only once it is complete and verified.

        The bytes go to ``<path>.part``. If that file exists already, the server is asked for the rest, provided that
        its file is still the same (strong ETag, or Last-Modified). A file at ``path`` that has the expected size and
        hash is left as it is.

        Parameters
        ----------
        size
            Expected size in bytes; not checked if None.
        sha256
            Expected SHA-256, hexadecimal; not checked if None.

        Returns
        -------
        Path
            ``path``.

        Raises
        ------
        DownloadError
            If the file cannot be downloaded, or does not have the expected size and hash.
        """
        path = Path(path)
        if path.exists() and mismatch(path, size, sha256) is None:
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        part = PartialFile(path, url)

        def attempt() -> None:
            continued = part.size > 0
            self._complete(url, part, size, bar)
            if problem := mismatch(part.path, size, sha256):
                part.discard()
                # If the download was resumed, the error may be in the older part: try again from the start.
                advice = "the file at this address is not the expected one"
                raise _FailedAttempt(problem, advice, final=not continued)

        unit: dict[str, Any] = {"unit": "B", "unit_scale": True, "unit_divisor": 1024}
        with progress_bar(desc=path.name, total=size, disable=not progress, **unit) as bar:
            self._retry(url, attempt, lambda: part.size)
        part.finish()
        return path

    def _complete(self, url: str, part: PartialFile, size: int | None, bar: tqdm[Any]) -> None:
        """Fetch the missing bytes of a partial file in one request."""
        with self._client.stream("GET", url, headers=part.headers()) as response:
            status, total = response.status_code, total_size(response)
            if status in (206, 416) and not part.is_continued_by(response):
                part.discard()
                raise _FailedAttempt("the answer does not continue the partial file", status=status)
            if status == 416:
                return
            _check_status(response)
            if size is not None and total is not None and total != size:
                problem, advice = f"{total} bytes instead of {size}", "the file at this address has changed"
                raise _FailedAttempt(problem, advice, status=status, final=True)
            if status != 206:
                part.restart(response)
            bar.reset(total)
            bar.update(part.size)
            part.append(_counted(response.iter_raw(), bar))
        expected = total if size is None else size
        if expected is not None and part.path.stat().st_size < expected:
            raise _FailedAttempt("the answer ended too early", status=status)

    def _retry(
        self, url: str, attempt: Callable[[], _Result], progress: Callable[[], int] = lambda: 0
    ) -> _Result:
        """Call ``attempt`` until it succeeds, fails with no point in retrying, or fails too often without progress.

        ``progress`` returns a number that grows when an attempt has brought something new.
        """
        failures, best = 0, progress()
        while True:
            self._wait_for_turn()
            try:
                return attempt()
            except _FailedAttempt as error:
                failure = error
            except _PASSING as error:
                failure = _FailedAttempt(f"{type(error).__name__} ({error})")
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                failure = _FailedAttempt(f"{type(error).__name__} ({error})", "check the address", final=True)
            if progress() > best:
                failures, best = 0, progress()
            failures += 1
            if failure.hold > self._max_retry_after:
                failure.advice = f"try again in {failure.hold:.0f} s, as the server requests"
                failure.final = True
            if failure.final or failures > self._retries:
                raise DownloadError(url, failure.reason, failure.advice, failures, failure.status)
            with self._turn:
                self._next_start = max(self._next_start, monotonic() + failure.hold)
            pause = min(60.0, self._backoff * 2 ** (failures - 1)) * random.uniform(0.5, 1.0)
            _logger.warning("%s: %s; trying again in %.1f s", url, failure.reason, max(pause, failure.hold))
            sleep(pause)

    def _wait_for_turn(self) -> None:
        with self._turn:
            now = monotonic()
            start = max(now, self._next_start)
            self._next_start = start + self._delay
        sleep(start - now)


def _counted(chunks: Iterable[bytes], bar: tqdm[Any]) -> Iterator[bytes]:
    for chunk in chunks:
        yield chunk
        bar.update(len(chunk))


def _check_status(response: httpx.Response) -> None:
    status = response.status_code
    reason = f"HTTP {status} {response.reason_phrase}".rstrip()
    if status in (408, 429) or status >= 500:
        raise _FailedAttempt(reason, status=status, hold=_retry_after(response))
    if status >= 400:
        gone = status in (404, 410)
        advice = "nothing exists there: check the address and the year" if gone else "check the address"
        raise _FailedAttempt(reason, advice, status=status, final=True)


def _retry_after(response: httpx.Response) -> float:
    """Return the wait that the server requests, in seconds (RFC 9110, section 10.2.3: a number or a date)."""
    value = response.headers.get("Retry-After", "")
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return 0.0


def _read_verified(entry: Path) -> bytes | None:
    """Return the content of a cache entry, or None if it is absent, truncated or altered."""
    try:
        facts = json.loads(entry.with_suffix(".json").read_bytes())
        content = entry.read_bytes()
        intact = len(content) == facts["size"] and hashlib.sha256(content).hexdigest() == facts["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return content if intact else None


def _write_verified(entry: Path, url: str, content: bytes) -> None:
    digest = hashlib.sha256(content).hexdigest()
    facts = {"url": url, "size": len(content), "sha256": digest, "fetched": datetime.now(UTC).isoformat()}
    write_atomically(entry, content)
    write_atomically(entry.with_suffix(".json"), json.dumps(facts).encode())
