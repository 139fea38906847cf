"""A polite HTTP client: few connections, a pause between requests, retries, and a verified cache on disk."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import random
import re
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import httpx
from tqdm.auto import tqdm

from minillm_lib import __version__
from minillm_lib.io.atomic_write import write_atomically
from minillm_lib.io.partial_file import PartialFile, mismatch, total_size

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


class FetchError(OSError):
    """Something on the network could not be had. ``url`` is its address."""

    def __init__(self, url: str, message: str) -> None:
        super().__init__(f"{url}: {message}")
        self.url = url


class DownloadError(FetchError):
    """An address that could not be downloaded: the number of ``attempts`` and the last HTTP ``status``."""

    def __init__(self, url: str, reason: str, advice: str, attempts: int, status: int | None) -> None:
        super().__init__(url, f"{reason} after {attempts} attempt{'s' * (attempts > 1)}; {advice}")
        self.attempts = attempts
        self.status = status


@dataclass(eq=False)
class _FailedAttempt(Exception):  # noqa: N818 (it never leaves this module)
    """One failed request; ``hold`` is how many seconds the server asks to be left alone before the next."""

    reason: str
    advice: str = "check the connection, or run the same again later: what has arrived is kept"
    status: int | None = None
    hold: float = 0.0
    final: bool = False


def default_cache_dir() -> Path:
    """``$MINILLM_CACHE``, or the folder ``minillm`` in the platform's cache directory of this user."""
    if chosen := os.environ.get("MINILLM_CACHE"):
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "minillm"
    variable = "LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME"
    return Path(os.environ.get(variable) or Path.home() / ".cache") / "minillm"


class Downloader:
    """An HTTP client that is no burden to a public server, and a cache that survives a crash.

    It may be shared by threads. What ``get`` has fetched lies in ``cache_dir`` and is not asked for again.

    Parameters
    ----------
    cache_dir
        Folder of the cache; ``default_cache_dir()`` if None.
    delay
        Least time between the starts of two requests, over all threads, in seconds.
    max_connections
        Most connections open at a time.
    timeout
        Longest silence of the server, in seconds, before a request counts as failed.
    retries
        How often a request is repeated after a failure (for a large file: that brought nothing new).
    backoff
        Pause after the first failure in seconds; it doubles with each further one, up to a minute.
    max_retry_after
        Longest wait in seconds that is accepted when the server asks for one (``Retry-After``).
    user_agent
        How the client introduces itself.
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
        """Return what lies at an address, from the cache where it is there and undamaged.

        ``validate`` sees the content before it is cached. A ``ValueError`` from it means that the content is
        damaged and has to be fetched again; any other exception passes through, and nothing is cached.
        ``refresh`` asks the server even if the cache has an answer. Raises ``DownloadError``.
        """
        host = re.sub(r"[^\w.-]", "_", urlsplit(url).netloc)
        entry = self.cache_dir / "http" / (host or "_") / hashlib.sha256(url.encode()).hexdigest()[:40]
        content = None if refresh else _read_verified(entry)
        if content is None:
            content = self._retry(url, lambda: self._get_once(url, validate))
            _write_verified(entry, url, content)
        return content

    def _get_once(self, url: str, validate: Callable[[bytes], object] | None) -> bytes:
        # A body that ends before its Content-Length or its last chunk is a RemoteProtocolError of httpx.
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
        """Download a file of any size to ``path``, which exists only once it is complete and verified.

        The bytes go to ``<path>.part``. If some are there already, the server is asked for the rest, on the
        condition that its file is still the same (strong ETag, or Last-Modified). A file at ``path`` that has
        the right ``size`` (bytes) and ``sha256`` (hexadecimal) is left as it is. Raises ``DownloadError``.
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
                # The fault may lie in the half that was here before: then once more, from zero.
                advice = "the file at this address is not the expected one"
                raise _FailedAttempt(problem, advice, final=not continued)

        unit: dict[str, Any] = {"unit": "B", "unit_scale": True, "unit_divisor": 1024}
        with tqdm(desc=path.name, total=size, disable=not progress, **unit) as bar:
            self._retry(url, attempt, lambda: part.size)
        part.finish()
        return path

    def _complete(self, url: str, part: PartialFile, size: int | None, bar: tqdm[Any]) -> None:
        """Fetch what a partial file lacks, in one request."""
        with self._client.stream("GET", url, headers=part.headers()) as response:
            status, total = response.status_code, total_size(response)
            if status in (206, 416) and not part.is_continued_by(response):
                part.discard()
                raise _FailedAttempt("the server does not continue the file that it began", status=status)
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
            raise _FailedAttempt("the body was cut short", status=status)

    def _retry(
        self, url: str, attempt: Callable[[], _Result], progress: Callable[[], int] = lambda: 0
    ) -> _Result:
        """Call ``attempt`` until it succeeds, fails for good, or fails too often without ``progress``."""
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
                failure.advice = f"run the same again in {failure.hold:.0f} s, as the server asks"
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
        advice = "nothing is there: check the address and the year" if gone else "check the address"
        raise _FailedAttempt(reason, advice, status=status, final=True)


def _retry_after(response: httpx.Response) -> float:
    """The wait that the server asks for, in seconds (RFC 9110, section 10.2.3: a number or a date)."""
    value = response.headers.get("Retry-After", "")
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return 0.0


def _read_verified(entry: Path) -> bytes | None:
    """The content of a cache entry, or None if it is absent, cut short or altered."""
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
