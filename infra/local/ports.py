"""Reserves ports of 127.0.0.1."""

import socket

from infra.local import StartFailed

HOST = "127.0.0.1"


def claim_port(port: int) -> socket.socket:
    """Return a socket that reserves a port until the front server uses the socket. Port 0 selects a free port.

    Raises StartFailed if the port is in use.
    """
    # asyncio disables Nagle's algorithm only if the protocol is given. Otherwise each response takes 40 ms longer.
    claimed = socket.socket(proto=socket.IPPROTO_TCP)
    claimed.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        claimed.bind((HOST, port))
        claimed.listen()
    except OSError as error:
        claimed.close()
        raise StartFailed(f"port {port} is in use; choose another one, for example PORT={port + 1}") from error
    return claimed


def port_of(claimed: socket.socket) -> int:
    """Return the number of a bound port."""
    return int(claimed.getsockname()[1])


def free_port() -> int:
    """Return a port that is currently free, for a child process that needs a port number."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return port_of(probe)
