"""A web server in a process of its own that sends one file slowly, and continues it where a client left off."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from faults.forked import end_with_the_parent

_PIECES = 30


@contextmanager
def dripping(body: bytes, seconds: float) -> Iterator[str]:
    """Yield the address of a file whose sending takes some seconds; it has an ETag, and Range is obeyed."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
            if start >= len(body):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(body)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            self.send_header("ETag", '"the-file"')
            self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            size = -(-len(body) // _PIECES)
            for place in range(start, len(body), size):
                self.wfile.write(body[place : place + size])
                time.sleep(seconds / _PIECES)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            pass  # a client that was killed

    server = Server(("127.0.0.1", 0), Handler)
    process = os.fork()
    if process == 0:
        try:
            end_with_the_parent()
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.alarm(0)
            server.serve_forever()
        finally:
            os._exit(0)
    port = server.server_address[1]
    server.socket.close()
    try:
        yield f"http://127.0.0.1:{port}/file.bin"
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
