"""What a fetch can raise; importable without the packages that fetch."""

from __future__ import annotations


class FetchError(OSError):
    """A resource on the network is not available.

    Attributes
    ----------
    url
        Its address.
    """

    def __init__(self, url: str, message: str) -> None:
        super().__init__(f"{url}: {message}")
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
