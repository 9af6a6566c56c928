"""The network backend of outbound calls.

The backend resolves a host name once, checks all its addresses, and connects to a checked address. This prevents DNS
rebinding. TLS and the `Host` header use the host name.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from queue import Empty, SimpleQueue
from ssl import SSLContext
from typing import Any

from httpcore2 import (
    SOCKET_OPTION,
    ConnectError,
    ConnectTimeout,
    NetworkBackend,
    NetworkStream,
    ReadTimeout,
    SyncBackend,
    WriteError,
    WriteTimeout,
)

from atrium.egress.addresses import is_public
from atrium.egress.destination import Rules
from atrium.egress.failures import OutboundFailed, OutboundRefused

ADDRESSES_MAX = 4

type Resolver = Callable[[str, int], Sequence[str]]


class Deadline:
    """A point in time on the monotonic clock."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self, failure: type[Exception], most: float | None = None) -> float:
        """Return the remaining seconds, at most `most`; raise `failure` if the deadline has passed."""
        seconds = self._end - time.monotonic()
        if seconds <= 0:
            raise failure("the deadline has passed")
        return seconds if most is None else min(seconds, most)


def resolve_name(host: str, port: int) -> Sequence[str]:
    """Return the numeric addresses of a host name; raise `OSError` if it has no address."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(address[4][0]) for address in found))


class PinnedAddressBackend(NetworkBackend):
    """A network backend that connects only to checked addresses, and whose calls fail after the deadline."""

    def __init__(self, rules: Rules, resolve: Resolver, scheme: str, deadline: Deadline) -> None:
        self._rules, self._resolve, self._ports, self._deadline = rules, resolve, rules.ports[scheme], deadline
        self._plain = SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> NetworkStream:
        """Connect to the first address that accepts a connection.

        Raises `OutboundRefused` if any address of the host is not allowed.
        """
        failure: Exception = ConnectError("the host name has no address")
        for address in self._checked_addresses(host, port)[:ADDRESSES_MAX]:
            try:
                left = self._deadline.left(ConnectTimeout, timeout)
                stream = self._plain.connect_tcp(address, port, left, local_address, socket_options)
            except (ConnectError, ConnectTimeout) as error:
                failure = error
            else:
                return DeadlineStream(stream, self._deadline)
        raise failure

    def _checked_addresses(self, host: str, port: int) -> Sequence[str]:
        """Return the addresses of a host; raise `OutboundRefused` if any address is not allowed."""
        addresses = self._addresses(host, port)
        for address in addresses:
            if address in self._rules.local_addresses:
                continue
            if not is_public(address):
                raise OutboundRefused("address", "the host must have only addresses of the public internet")
            if port not in self._ports:
                raise OutboundRefused(
                    "port", f"port {port} is not allowed; allowed ports are {', '.join(map(str, sorted(self._ports)))}"
                )
        return addresses

    def _addresses(self, host: str, port: int) -> Sequence[str]:
        """Resolve a host name in a separate thread, because the system's resolver has no timeout."""
        answers: SimpleQueue[Sequence[str] | OSError | UnicodeError] = SimpleQueue()

        def resolve() -> None:
            try:
                answers.put(self._resolve(host, port))
            except (OSError, UnicodeError) as error:
                answers.put(error)

        threading.Thread(target=resolve, name="resolve", daemon=True).start()
        try:
            answer = answers.get(timeout=self._deadline.left(ConnectTimeout))
        except Empty:
            raise ConnectTimeout("resolving the name timed out") from None
        if isinstance(answer, Exception) or not answer:
            raise OutboundFailed("resolve", "the host name cannot be resolved")
        return answer


class DeadlineStream(NetworkStream):
    """A network stream whose reads and writes fail after the deadline."""

    def __init__(self, stream: NetworkStream, deadline: Deadline) -> None:
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, timeout=self._deadline.left(ReadTimeout, timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write all bytes. The timeout of each chunk is computed from the remaining time."""
        connection: socket.socket = self._stream.get_extra_info("socket")
        view = memoryview(buffer)
        while view:
            connection.settimeout(self._deadline.left(WriteTimeout, timeout))
            try:
                view = view[connection.send(view) :]
            except TimeoutError as error:
                raise WriteTimeout from error
            except OSError as error:
                raise WriteError from error

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> NetworkStream:
        left = self._deadline.left(ConnectTimeout, timeout)
        return DeadlineStream(self._stream.start_tls(ssl_context, server_hostname, timeout=left), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
