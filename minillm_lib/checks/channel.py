"""Messages between the grader and the process of a submission: JSON and raw buffers, each with its length in front."""

from __future__ import annotations

import json
import queue
import struct
import threading
import time
from typing import Any, BinaryIO

from minillm_lib.checks.plain_values import Decoder, Encoder, Keeper, PlainValueError

ENDED = "it ended"
NO_MESSAGE = "it wrote into the channel of the grader"
LARGEST_MESSAGE = 512 * 2**20
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
        encoder = Encoder(self.keeper)
        tree = {name: encoder.encode(value) for name, value in fields.items()}
        sizes = [len(buffer) for buffer in encoder.buffers]
        text = json.dumps([tree, sizes]).encode("ascii")
        if len(text) + sum(sizes) > LARGEST_MESSAGE:
            raise PlainValueError(f"it takes more than {LARGEST_MESSAGE // 2**20} MiB")
        body = b"".join([_LENGTH.pack(len(text)), text, *encoder.buffers])
        try:
            self._writer.write(_LENGTH.pack(len(body)) + body)
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
            tree, sizes = json.loads(body[_LENGTH.size : _LENGTH.size + length])
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
    """A channel of the grader: waits no longer than it is told to. A thread of its own reads."""

    def __init__(self, reader: BinaryIO, writer: BinaryIO, keeper: Keeper) -> None:
        super().__init__(reader, writer, keeper)
        self._arrived: queue.Queue[bytes | ChannelError] = queue.Queue(maxsize=4)
        threading.Thread(target=self._listen, daemon=True).start()

    def receive_within(self, seconds: float) -> dict[str, Any] | None:
        """Wait for a message, and return its fields; None if it has not come after this many seconds.

        Raises
        ------
        ChannelError
            If the other side is gone, or what it sends is no message.
        """
        deadline = time.monotonic() + seconds
        while True:  # in short waits, so that Ctrl-C and a time limit are noticed
            try:
                arrived = self._arrived.get(timeout=max(0.0, min(0.1, deadline - time.monotonic())))
                break
            except queue.Empty:
                if time.monotonic() >= deadline:
                    return None
        if isinstance(arrived, ChannelError):
            self._arrived.put(arrived)
            raise arrived
        return self.decoded(arrived)

    def _listen(self) -> None:
        try:
            while True:
                self._arrived.put(self.receive_bytes())
        except ChannelError as error:
            self._arrived.put(error)
