"""A threaded HTTP/1.1 server on a free port of 127.0.0.1 for many small responses.

Nagle's algorithm is disabled and responses are buffered. Otherwise each call would wait 40 ms for an acknowledgement.
"""

import contextlib
import socket
import socketserver
import sys
import threading
from http.server import BaseHTTPRequestHandler
from typing import Any


class LoopbackHandler(BaseHTTPRequestHandler):
    """A request handler that keeps connections open, sends each response in one write and does not log."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, format: str, *args: object) -> None:
        """Do not log. The callers log what is relevant."""

    def answer(
        self, status: int, body: bytes = b"", headers: dict[str, str] | None = None, *, length: int | None = None
    ) -> None:
        """Send a complete response. `length` is the Content-Length of a response to a HEAD request."""
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def acknowledge_at_once(self) -> None:
        """Acknowledge the next packet immediately. The kernel resets this option, so it must be set each time.

        A client with Nagle's algorithm enabled, such as the web adapter, waits up to 40 ms for the acknowledgement
        before it sends the second packet.
        """
        if hasattr(socket, "TCP_QUICKACK"):
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def read_body(self) -> bytes:
        """Read the body according to Content-Length. Without this header, the body is empty."""
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))


class _Server(socketserver.ThreadingTCPServer):
    """A server that tracks its open connections, so that it can close idle connections when it stops."""

    allow_reuse_address = True
    daemon_threads = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], handler: type[LoopbackHandler]) -> None:
        super().__init__(address, handler)
        self._open: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def close_connections(self) -> None:
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class LoopbackServer:
    """A server that runs a handler class in threads until the server is stopped."""

    def __init__(self, handler: type[LoopbackHandler], port: int = 0) -> None:
        self._server = _Server(("127.0.0.1", port), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def port(self) -> int:
        """Return the server's port."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Start the thread that accepts connections."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening, close open connections and wait until the accepting thread has ended."""
        self._server.shutdown()
        self._server.close_connections()
        self._server.server_close()
        self._thread.join()
