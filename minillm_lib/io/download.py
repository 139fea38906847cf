"""A polite HTTP client with few connections, a pause between requests, retries, and a verified cache on disk."""

from __future__ import annotations

import hashlib
import logging
import os
import random
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

from tqdm import tqdm

from minillm_lib import __version__
from minillm_lib.io.answer import check_is_plain, check_redirection, check_status, content_of, counted
from minillm_lib.io.cache import default_cache_dir, read_verified, write_verified
from minillm_lib.io.connection import Call, Watch
from minillm_lib.io.fetch_errors import DownloadError, FailedAttempt
from minillm_lib.io.optional import optional_imports
from minillm_lib.io.partial_file import PartialFile, mismatch
from minillm_lib.io.progress_bar import progress_bar
from minillm_lib.io.terminal import printable
from minillm_lib.io.unpacking import MAX_RATIO
from minillm_lib.io.wording import duration

with optional_imports("fetch", "to fetch anything from the network"):
    import httpx

USER_AGENT = (
    f"minillm-lib/{__version__} (course on topic models and language models) httpx/{httpx.__version__}"
)

_MAX_REDIRECTS = 10
# What may pass, and what it means.
_PASSING: Mapping[type[Exception], str] = {
    httpx.TimeoutException: "no answer in time",
    httpx.NetworkError: "the connection failed",
    httpx.ProxyError: "the proxy failed",
    httpx.RemoteProtocolError: "the answer breaks the rules of HTTP, or breaks off",
}
_Result = TypeVar("_Result")
_logger = logging.getLogger(__name__)


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
    max_bytes
        Largest content that :meth:`get` returns, in bytes; it is held in memory.
    max_file_bytes
        Largest file that :meth:`download_file` writes, in bytes.
    max_ratio
        How many bytes of content one compressed byte may become in :meth:`get`, beyond 16 MiB of content.
    max_seconds, max_file_seconds
        Longest time that :meth:`get` or :meth:`download_file` takes for one address with all attempts and pauses.
    min_rate
        Lowest mean rate of an answer over ``timeout`` seconds, in bytes per second, below which a request counts as
        failed; 0 for any.

    Raises
    ------
    ValueError
        If ``max_connections`` is below 1, ``retries``, ``delay``, ``backoff`` or ``min_rate`` is negative, or another
        limit is not positive.
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
        max_bytes: int = 1 << 28,
        max_file_bytes: int = 1 << 35,
        max_ratio: float = MAX_RATIO,
        max_seconds: float = 3600.0,
        max_file_seconds: float = 86_400.0,
        min_rate: float = 1000.0,
    ) -> None:
        if max_connections < 1 or retries < 0 or delay < 0 or backoff < 0:
            raise ValueError(
                "max_connections must be at least 1, and retries, delay and backoff at least 0; "
                f"got {max_connections=}, {retries=}, {delay=}, {backoff=}"
            )
        if min(max_bytes, max_file_bytes, max_ratio, max_seconds, max_file_seconds) <= 0 or min_rate < 0:
            raise ValueError(
                "max_bytes, max_file_bytes, max_ratio, max_seconds and max_file_seconds must be positive, and "
                f"min_rate at least 0; got {max_bytes=}, {max_file_bytes=}, {max_ratio=}, {max_seconds=}, "
                f"{max_file_seconds=}, {min_rate=}"
            )
        self.cache_dir = Path(cache_dir) if cache_dir is not None else default_cache_dir()
        self.max_connections = max_connections
        self._delay, self._retries, self._backoff = delay, retries, backoff
        self._max_retry_after, self._timeout, self._min_rate = max_retry_after, timeout, min_rate
        self._max_bytes, self._max_file_bytes, self._max_ratio = max_bytes, max_file_bytes, max_ratio
        self._max_seconds, self._max_file_seconds = max_seconds, max_file_seconds
        self._turn = threading.Lock()
        self._next_start = 0.0
        self._watch = Watch()
        self._client = httpx.Client(
            headers={"User-Agent": user_agent},
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
        self,
        url: str,
        *,
        validate: Callable[[bytes], object] | None = None,
        refresh: bool = False,
        max_bytes: int | None = None,
    ) -> bytes:
        """Return the content at an address, from the cache if an undamaged copy is there.

        Only the status 200 is content, and an empty body is none.

        Parameters
        ----------
        validate
            Called with the content before it is cached. A ``ValueError`` or ``RecursionError`` means that the content
            is damaged and has to be fetched again; any other exception is passed on, and nothing is cached.
        refresh
            Ask the server even if the content is in the cache.
        max_bytes
            Largest content, in bytes; None for that of the downloader.

        Raises
        ------
        DownloadError
            If the content cannot be downloaded, or exceeds a limit; the message names it and the option that raises it.
        """
        most = self._max_bytes if max_bytes is None else max_bytes
        entry = self._cache_entry(url)
        content = None if refresh else read_verified(entry)
        if content is None:
            content = self._retry(
                url, lambda: self._get_once(url, validate, most), "max_seconds", self._max_seconds
            )
            write_verified(entry, url, content)
        return content

    def _cache_entry(self, url: str) -> Path:
        try:
            host = re.sub(r"[^\w.-]", "_", urlsplit(url).netloc)
            return self.cache_dir / "http" / (host or "_") / hashlib.sha256(url.encode()).hexdigest()[:40]
        except ValueError as error:
            raise DownloadError(url, f"no web address ({error})", "check the address", 1, None) from error

    def _get_once(self, url: str, validate: Callable[[bytes], object] | None, max_bytes: int) -> bytes:
        with self._answer(url, {"Accept-Encoding": "gzip"}) as response:
            check_status(response)
            content = content_of(response, max_bytes, self._max_ratio, self._watch.check_end)
            status = response.status_code
        if validate is not None:
            try:
                validate(content)
            except (ValueError, RecursionError) as error:
                raise FailedAttempt(f"damaged content ({error})", status=status) from error
        return content

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
        its file is still the same (strong ETag, or Last-Modified, and length). A file at ``path`` that has the expected
        size and hash is left as it is.

        Parameters
        ----------
        size
            Expected size in bytes. If None, only what the server states is checked, and an empty file is an error.
        sha256
            Expected SHA-256, hexadecimal; not checked if None.

        Returns
        -------
        Path
            ``path``.

        Raises
        ------
        DownloadError
            If the file cannot be downloaded, does not have the expected size and hash, exceeds a limit, or does not fit
            on the disk.
        OSError
            If it cannot be written.
        """
        path = Path(path)
        part = PartialFile(path, url)
        if path.exists() and mismatch(path, size, sha256) is None:
            part.discard()
            return path
        path.parent.mkdir(parents=True, exist_ok=True)

        def attempt() -> None:
            continued = part.size > 0
            self._complete(url, part, size, bar)
            if problem := mismatch(part.path, size, sha256):
                part.discard()
                # If the download was resumed, the error may be in the older part: try again from the start.
                advice = "the file at this address is not the expected one"
                raise FailedAttempt(problem, advice, final=not continued)
            if size is None and sha256 is None and not part.path.stat().st_size:
                part.discard()
                raise FailedAttempt("the answer is empty")

        unit: dict[str, Any] = {"unit": "B", "unit_scale": True, "unit_divisor": 1024}
        with progress_bar(desc=path.name, total=size, disable=not progress, **unit) as bar:
            limit = ("max_file_seconds", self._max_file_seconds)
            self._retry(url, attempt, *limit, progress=lambda: part.size)
        part.finish()
        return path

    def _complete(self, url: str, part: PartialFile, size: int | None, bar: tqdm[Any]) -> None:
        """Fetch the missing bytes of a partial file in one request."""
        with self._answer(url, part.headers()) as response:
            status = response.status_code
            if status in (206, 416):
                if problem := part.problem_with(response):
                    part.discard()
                    raise FailedAttempt(problem, status=status)
                if status == 416:
                    return
            else:
                check_status(response)
            check_is_plain(response)
            total = part.total_of(response)
            if size is not None and total not in (None, size):
                problem, advice = f"{total} bytes instead of {size}", "the file at this address has changed"
                raise FailedAttempt(problem, advice, status=status, final=True)
            whole = total if size is None else size
            begun = part.size if status == 206 else 0
            if whole is not None:
                if whole > self._max_file_bytes:
                    raise self._too_large(f"{whole:,} bytes")
                part.check_room(whole - begun)
            end = part.begin(response)
            bar.reset(whole)
            bar.update(begun)
            stated = [n for n in (end, whole) if n is not None]
            too_long = FailedAttempt("the server sends more than the length that it states", is_damaged=True)
            if not stated:
                too_long = self._too_large("the file")
            most = min([*stated, self._max_file_bytes])
            try:
                part.append(counted(response.iter_raw(), most - begun, too_long, bar))
                self._watch.check_end(part.path.stat().st_size - begun)
            except FailedAttempt as failure:
                if failure.is_damaged:
                    part.discard()
                raise
            except OSError:
                if not part.validator:  # it could not be resumed: let it not fill the disk
                    part.discard()
                raise
        if whole is not None and part.path.stat().st_size < whole:
            raise FailedAttempt("the answer ended too early", status=status)

    def _too_large(self, what: str) -> FailedAttempt:
        return FailedAttempt(
            f"{what}: more than {self._max_file_bytes:,} bytes, which is what max_file_bytes allows",
            "raise max_file_bytes if you trust the server",
            final=True,
            is_damaged=True,
        )

    @contextmanager
    def _answer(self, url: str, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
        """Send a request, and yield the answer, whose body is still to be read; redirections are followed."""
        extensions = {"trace": self._watch.trace}
        try:
            request = self._client.build_request("GET", url, headers=dict(headers), extensions=extensions)
        except ValueError as error:  # such as half a surrogate
            raise FailedAttempt(f"no web address ({error})", "check the address", final=True) from error
        for _ in range(_MAX_REDIRECTS + 1):
            response = self._client.send(request, stream=True)
            try:
                if response.next_request is None:
                    yield response
                    return
            finally:
                response.close()
                self._watch.end_answer()
            check_redirection(request.url, response.next_request.url)
            request = response.next_request
        raise FailedAttempt(
            f"more than {_MAX_REDIRECTS} redirections, the last to {request.url}",
            "check the address",
            final=True,
        )

    def _retry(
        self,
        url: str,
        attempt: Callable[[], _Result],
        option: str,
        seconds: float,
        progress: Callable[[], int] = lambda: 0,
    ) -> _Result:
        """Call ``attempt`` until it succeeds, fails with no point in retrying, or fails too often without progress.

        ``option`` names what limits the time to ``seconds``. ``progress`` returns a number that grows when an attempt
        has brought something new; what comes at less than the lowest rate is no progress.
        """
        self._watch.call = call = Call(seconds, self._min_rate, self._timeout)
        failures, best = 0, progress()
        while True:
            self._wait_for_turn()
            begun = monotonic()
            try:
                return attempt()
            except FailedAttempt as error:
                failure = error
            except tuple(_PASSING) as error:
                meaning = next(words for kind, words in _PASSING.items() if isinstance(error, kind))
                failure = FailedAttempt(f"{meaning} ({type(error).__name__}: {error})")
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                failure = FailedAttempt(f"{type(error).__name__} ({error})", "check the address", final=True)
            brought = progress() - best
            if brought > 0 and brought >= self._min_rate * (monotonic() - begun):
                failures = 0
            best += max(brought, 0)
            failures += 1
            if failure.hold > self._max_retry_after:
                failure.advice = f"try again in {failure.hold:.0f} s, as the server requests"
                failure.final = True
            pause = min(60.0, self._backoff * 2 ** min(failures - 1, 20)) * random.uniform(0.5, 1.0)
            if not failure.final and max(pause, failure.hold) >= call.seconds_left:
                limit = f"{duration(seconds)}, which is what {option} allows"
                failure.reason = f"not fetched within {limit} ({failure.reason})"
                failure.advice = f"raise {option}, or try again later: what has arrived is kept"
                failure.final = True
            if failure.final or failures > self._retries:
                raise DownloadError(url, failure.reason, failure.advice, failures, failure.status)
            with self._turn:
                self._next_start = max(self._next_start, monotonic() + failure.hold)
            wait = max(pause, failure.hold)
            _logger.warning("%s: %s; trying again in %.1f s", printable(url), printable(failure.reason), wait)
            sleep(pause)

    def _wait_for_turn(self) -> None:
        with self._turn:
            now = monotonic()
            start = max(now, self._next_start)
            self._next_start = start + self._delay
        sleep(start - now)
