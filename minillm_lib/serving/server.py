"""A server from its start to its end: the socket, the signals, and what is said about it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import signal
import socket
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, Literal

import torch

from minillm_lib.io.optional import optional_imports
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.model.devices import has_bf16_instructions
from minillm_lib.model.quantization import is_quantized
from minillm_lib.serving.app import Service, make_app
from minillm_lib.serving.engine import Engine
from minillm_lib.serving.protection import is_loopback

with optional_imports("serve", "to serve a model"):
    import uvicorn

GRACE_SECONDS = 5.0


class Server(uvicorn.Server):
    """A server that finishes the answers it has begun, and refuses others meanwhile, before it ends.

    Parameters
    ----------
    engine
        It is started and stopped with the server.
    listener
        A socket, as :func:`listen` returns it.
    grace
        How many seconds the answers have to finish.
    """

    def __init__(
        self, engine: Engine, service: Service, listener: socket.socket, *, grace: float = GRACE_SECONDS
    ) -> None:
        config = uvicorn.Config(
            make_app(engine, service),
            log_level="warning",
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=2,
            server_header=False,
        )
        super().__init__(config)
        self._engine, self._listener, self._grace = engine, listener, grace

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer requests until :meth:`stop_soon` or a signal."""
        self._loop, self._ending = asyncio.get_running_loop(), None
        try:
            await super().serve(sockets or [self._listener])
        finally:
            self._engine.stop()

    def stop_soon(self) -> None:
        """Refuse new texts, and end when those in the batch are finished or time is up; from any thread."""
        self._loop.call_soon_threadsafe(self._begin_to_end)

    def _begin_to_end(self) -> None:
        if self._ending is None:
            self._ending = self._loop.create_task(self._end())

    async def _end(self) -> None:
        self._engine.drain()
        deadline = self._loop.time() + self._grace
        while self._engine.n_running and self._loop.time() < deadline:
            await asyncio.sleep(0.02)
        await asyncio.to_thread(self._engine.stop)  # tells what is unfinished that it will not be
        self.should_exit = True

    _loop: asyncio.AbstractEventLoop
    _ending: asyncio.Task[None] | None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End gracefully at the first signal and at once at the second; uvicorn would then raise it again."""

        def handle(number: int, frame: FrameType | None) -> None:
            if self._ending is not None:
                self.should_exit = self.force_exit = True
            else:
                self.stop_soon()

        try:
            before = {each: signal.signal(each, handle) for each in (signal.SIGINT, signal.SIGTERM)}
        except ValueError:  # not the main thread, which alone receives signals
            yield
            return
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; port 0 takes a free one.

    Raises
    ------
    ValueError
        If the port is in use, or the host is not one of this machine.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=256)
    except OverflowError:
        raise ValueError(f"--port {port}: a port is a number from 0 to 65535") from None
    except socket.gaierror as error:
        raise ValueError(f"--host {host!r} is not known here: {error.strerror}") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ValueError(
                f"port {port} of {host} is in use; give another one with --port, or --port 0 for one that is free"
            ) from None
        if error.errno == errno.EACCES:
            raise ValueError(f"port {port} may not be used by this user; give one above 1023") from None
        raise ValueError(f"cannot listen on {host}, port {port}: {error.strerror}") from None


def check_reach(host: str, api_key: str | None) -> None:
    """Check that a server which other machines can reach has a key.

    Raises
    ------
    ValueError
        If it has none, or one that cannot be sent in a header.
    """
    if api_key is not None and not (
        api_key.isascii() and api_key.isprintable() and api_key.strip() == api_key != ""
    ):
        raise ValueError("the key must be of printable ASCII characters, without spaces around them")
    if not is_loopback(host) and api_key is None:
        raise ValueError(
            f"--host {host} lets other machines use this server, so it needs a key: give --api-key, or set "
            "MINILLM_API_KEY, which other users of this machine do not see"
        )


def serve(
    model: MiniLLM,
    service: Service,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    max_batch: int = 32,
    max_queue: int = 128,
    precision: Literal["auto", "float32", "bf16"] = "auto",
    on_start: Callable[[str], Any] | None = None,
) -> None:
    """Serve a model until Ctrl-C or SIGTERM; answers that have begun are finished, within some seconds.

    Parameters
    ----------
    model
        A model with a tokenizer, in eval mode.
    service
        What is offered; whether it is local follows from ``host``.
    host, port
        Where to listen; port 0 takes a free one.
    max_batch, max_queue
        As in :class:`~minillm_lib.serving.engine.Engine`.
    precision
        In what texts that are written together are computed; ``"float32"`` is whatever type the model has, and
        ``"auto"`` what :func:`computes_in_bf16` finds to be faster.
    on_start
        Called with the address when the server is ready.

    Raises
    ------
    ValueError
        If the model has no tokenizer, ``host`` needs a key and there is none, the port is in use, or a model with
        weights in 8 bits is to be computed in bfloat16.
    """
    from dataclasses import replace

    check_reach(host, service.api_key)
    if precision == "bf16" and is_quantized(model):
        raise ValueError(
            "the weights of this model are in 8 bits, which are not computed in bf16; allowed: auto, float32"
        )
    if model.tokenizer is None:
        raise ValueError("this checkpoint has no tokenizer, without which no text can be served")
    with listen(host, port) as listener:
        bf16 = precision == "bf16" or (precision == "auto" and computes_in_bf16(model))
        engine = Engine(model, max_batch=max_batch, max_queue=max_queue, bf16=bf16)
        engine.start()
        server = Server(engine, replace(service, is_local=is_loopback(host)), listener)
        if on_start is not None:
            on_start(address(host, listener))
        asyncio.run(server.serve())


def computes_in_bf16(model: MiniLLM) -> bool:
    """Return whether a float32 model is served faster in bfloat16: on a CPU with instructions for it."""
    weight = model.embed_tokens.weight
    is_float32 = weight.dtype == torch.float32 and not is_quantized(model)
    return is_float32 and weight.device.type == "cpu" and has_bf16_instructions()


def address(host: str, listener: socket.socket) -> str:
    """Return the address of the page of a server."""
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{listener.getsockname()[1]}"
