"""What is checked before a request is read: where it comes from, whether it has the key, and how large it is."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from minillm_lib.serving.errors import ApiError

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

BODY_LIMIT = 2**20
BODY_SECONDS = 30.0
_OPEN_PATHS = ("/", "/health")


def is_loopback(host: str) -> bool:
    """Return whether only programs on this machine can reach a host by this name or address."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Protection:
    """Lets only those requests through to an application that may be answered.

    A server on the loopback interface is reached by every program on the machine, and so by every page in a browser
    there. A page of another site is refused by its ``Origin``, and one whose name was made to point to this machine
    (DNS rebinding) by its ``Host``.

    Parameters
    ----------
    app
        The application behind it.
    is_local
        Whether the server listens on the loopback interface only, so that ``Host`` must be a name of that.
    api_key
        What ``Authorization: Bearer`` must give, except for the page itself and ``/health``.
    body_limit
        The largest body in bytes.
    """

    def __init__(
        self,
        app: App,
        *,
        is_local: bool = True,
        api_key: str | None = None,
        body_limit: int = BODY_LIMIT,
        open_paths: Collection[str] = _OPEN_PATHS,
    ) -> None:
        self._app, self._is_local, self._open_paths = app, is_local, open_paths
        self._key = None if api_key is None else api_key.encode()
        self._limit = body_limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            headers = dict(scope["headers"])
            self._check_place(headers)
            self._check_key(scope["path"], headers)
            body = await self._read(headers, receive)
        except ApiError as error:
            await _refuse(error, send)
            return
        if body is None:  # the client has gone
            return
        parts = [body]

        async def replay() -> Event:
            if parts:
                return {"type": "http.request", "body": parts.pop(), "more_body": False}
            return await receive()

        await self._app(scope, replay, send)

    def _check_place(self, headers: dict[bytes, bytes]) -> None:
        host = headers.get(b"host", b"").decode("latin-1")
        if self._is_local and not is_loopback(_host_name(host)):
            raise ApiError(
                403,
                f"the request was sent to {host!r}; this server only answers to localhost and 127.0.0.1",
                code="wrong_host",
            )
        origin = headers[b"origin"].decode("latin-1") if b"origin" in headers else None
        if origin is not None and _place(origin) != host:
            raise ApiError(
                403,
                f"the page of {origin!r} may not use this server, only its own page may",
                code="wrong_origin",
            )

    def _check_key(self, path: str, headers: dict[bytes, bytes]) -> None:
        if self._key is None or path in self._open_paths:
            return
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() == b"bearer" and hmac.compare_digest(given.strip(), self._key):
            return
        what = "this is not the key" if given else "no key was given"
        raise ApiError(
            401,
            f"{what} of this server; send it in the header Authorization: Bearer KEY",
            code="invalid_api_key",
            headers={"WWW-Authenticate": "Bearer"},
        )

    async def _read(self, headers: dict[bytes, bytes], receive: Receive) -> bytes | None:
        """Read the body, but not more of it than is allowed; ``None`` if the client goes before its end."""
        declared = headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > self._limit:
            raise self._too_large()
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while True:
                    event = await receive()
                    if event["type"] == "http.disconnect":
                        return None
                    body += event.get("body", b"")
                    if len(body) > self._limit:
                        raise self._too_large()
                    if not event.get("more_body", False):
                        return bytes(body)
        except TimeoutError:
            raise ApiError(
                408, f"the body did not arrive within {BODY_SECONDS:.0f} seconds", code="body_too_slow"
            ) from None

    def _too_large(self) -> ApiError:
        return ApiError(413, f"the body has more than {self._limit:,} bytes", code="body_too_large")


def _host_name(host: str) -> str:
    """Return the part of a ``Host`` before the port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _place(origin: str) -> str | None:
    """Return the host and port of an ``Origin``; ``None`` if it has none, as "null", or is malformed."""
    try:
        return urlsplit(origin).netloc or None
    except ValueError:
        return None


async def _refuse(error: ApiError, send: Send) -> None:
    content = json.dumps(error.body).encode()
    headers = {"content-type": "application/json", "content-length": str(len(content)), **error.headers}
    if error.status in (408, 413):
        headers["connection"] = "close"  # there may be more of the body to come
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": error.status, "headers": raw})
    await send({"type": "http.response.body", "body": content})
