"""What a fetch can raise; importable without the packages that fetch."""

from __future__ import annotations

from dataclasses import dataclass

from minillm_lib.io.terminal import printable


class FetchError(OSError):
    """A resource on the network is not available.

    Attributes
    ----------
    url
        Its address.
    """

    def __init__(self, url: str, message: str) -> None:
        super().__init__(printable(f"{url}: {message}"))
        self.url = url


class DownloadError(FetchError):
    """An address could not be downloaded.

    Attributes
    ----------
    attempts
        How often it was tried.
    status
        HTTP status of the last attempt; None if it is not known.
    """

    def __init__(self, url: str, reason: str, advice: str, attempts: int, status: int | None) -> None:
        super().__init__(url, f"{reason} after {attempts} attempt{'s' * (attempts > 1)}; {advice}")
        self.attempts = attempts
        self.status = status


@dataclass(eq=False)
class FailedAttempt(Exception):  # noqa: N818 (it never leaves this room)
    """One failed request.

    Attributes
    ----------
    hold
        How long the server asks the client to wait before the next request, in seconds.
    final
        Whether trying again is pointless.
    is_damaged
        Whether what has arrived cannot be trusted.
    """

    reason: str
    advice: str = "check the connection, or try again later: what has arrived is kept"
    status: int | None = None
    hold: float = 0.0
    final: bool = False
    is_damaged: bool = False
