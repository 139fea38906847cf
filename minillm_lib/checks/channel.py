"""Messages between the grader and the process of a submission: JSON and raw buffers, each with its length in front."""

from __future__ import annotations

import contextlib
import json
import queue
import struct
import threading
from collections.abc import Callable
from typing import Any, BinaryIO

from minillm_lib.checks.plain_values import MOST_ITEMS, Decoder, Encoder, Keeper, PlainValueError

ENDED = "it ended"
NO_MESSAGE = "it wrote into the channel of the grader"
LARGEST_MESSAGE = 128 * 2**20
_MOST_MARKS = 8 * MOST_ITEMS  # commas and brackets in the text of a message, which take more memory than text
_LENGTH = struct.Struct(">Q")


class ChannelError(Exception):
    """The other side is gone, or sends what is no message."""


class Channel:
    """Sends and receives messages, whose fields are plain values (see :mod:`~minillm_lib.checks.plain_values`)."""

    def __init__(self, reader: BinaryIO, writer: BinaryIO, keeper: Keeper) -> None:
        self._reader, self._writer, self.keeper = reader, writer, keeper

    def send(self, **fields: Any) -> None:
        """Send a message.

        Raises
        ------
        PlainValueError
            If a field cannot be sent; then nothing is sent.
        ChannelError
            If the other side is gone.
        """
        self._write(self._encoded(fields))

    def _encoded(self, fields: dict[str, Any]) -> bytes:
        encoder = Encoder(self.keeper)
        tree = {name: encoder.encode(value) for name, value in fields.items()}
        sizes = [len(buffer) for buffer in encoder.buffers]
        text = json.dumps([tree, sizes]).encode("ascii")
        if len(text) + sum(sizes) > LARGEST_MESSAGE:
            raise PlainValueError(f"it takes more than {LARGEST_MESSAGE // 2**20} MiB")
        body = b"".join([_LENGTH.pack(len(text)), text, *encoder.buffers])
        return _LENGTH.pack(len(body)) + body

    def _write(self, content: bytes) -> None:
        try:
            self._writer.write(content)
            self._writer.flush()
        except (OSError, ValueError) as error:
            raise ChannelError(str(error)) from None

    def receive(self) -> dict[str, Any]:
        """Wait for a message, and return its fields.

        Raises
        ------
        ChannelError
            If the other side is gone, or what it sends is no message.
        """
        return self.decoded(self.receive_bytes())

    def receive_bytes(self) -> bytes:
        """Wait for a message, and return it as it comes."""
        (length,) = _LENGTH.unpack(self._read(_LENGTH.size))
        if not _LENGTH.size <= length <= LARGEST_MESSAGE + _LENGTH.size:
            raise ChannelError(NO_MESSAGE)
        return self._read(length)

    def decoded(self, body: bytes) -> dict[str, Any]:
        """Return the fields of a message."""
        try:
            (length,) = _LENGTH.unpack_from(body)
            text = body[_LENGTH.size : _LENGTH.size + length]
            if sum(map(text.count, (b",", b"[", b"{"))) > _MOST_MARKS:
                raise ChannelError(NO_MESSAGE)
            tree, sizes = json.loads(text)
            place, buffers = _LENGTH.size + length, []
            for size in sizes:
                buffers.append(body[place : place + size])
                place += size
            if place != len(body) or not all(type(size) is int and size >= 0 for size in sizes):
                raise ChannelError(NO_MESSAGE)
            decoder = Decoder(buffers, self.keeper)
            return {name: decoder.decode(value) for name, value in tree.items()}
        except ChannelError:
            raise
        except Exception:  # a stranger's bytes may be anything
            raise ChannelError(NO_MESSAGE) from None

    def _read(self, size: int) -> bytes:
        parts = []
        while size:
            try:
                part = self._reader.read(min(size, 2**20))
            except (OSError, ValueError) as error:
                raise ChannelError(str(error)) from None
            if not part:
                raise ChannelError(ENDED)
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


class PatientChannel(Channel):
    """A channel of the grader: waits no longer than it is told to. Threads of its own read and write."""

    def __init__(self, reader: BinaryIO, writer: BinaryIO, keeper: Keeper) -> None:
        super().__init__(reader, writer, keeper)
        self._arrived: queue.Queue[bytes | ChannelError] = queue.Queue(maxsize=1)
        self._leaving: queue.Queue[bytes | None] = queue.Queue()
        self._left: queue.Queue[ChannelError | None] = queue.Queue()
        self._is_closed = False
        for work in (self._listen, self._speak):
            threading.Thread(target=work, daemon=True).start()

    def send_until(self, is_over: Callable[[], bool], **fields: Any) -> bool:
        """Send a message, and return True; False if the other side has not read it when the time is over.

        After that, nothing more can be sent. Otherwise as :meth:`send`.
        """
        self._leaving.put(self._encoded(fields))
        while True:
            try:
                error = self._left.get(timeout=0.05)
            except queue.Empty:
                if is_over():
                    return False
            else:
                if error is not None:
                    raise error
                return True

    def receive_until(self, is_over: Callable[[], bool]) -> dict[str, Any] | None:
        """Wait for a message, and return its fields; None if it has not come when the time is over.

        Raises
        ------
        ChannelError
            If the other side is gone, or what it sends is no message.
        """
        while True:  # in short waits, so that Ctrl-C and a time limit are noticed
            try:
                arrived = self._arrived.get(timeout=0.05)
                break
            except queue.Empty:
                if is_over():
                    return None
        if isinstance(arrived, ChannelError):
            self._arrived.put(arrived)
            raise arrived
        return self.decoded(arrived)

    def close(self) -> None:
        """Send nothing more; what waits to be received is dropped, so that no thread waits for a reader."""
        self._leaving.put(None)
        self._is_closed = True
        with contextlib.suppress(queue.Empty):
            self._arrived.get_nowait()

    def _speak(self) -> None:
        error: ChannelError | None = None
        while error is None and (content := self._leaving.get()) is not None:
            try:
                self._write(content)
            except ChannelError as failure:
                error = failure
            self._left.put(error)

    def _listen(self) -> None:
        try:
            while not self._is_closed:
                self._arrived.put(self.receive_bytes())
        except ChannelError as error:
            self._arrived.put(error)
