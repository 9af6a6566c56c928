"""Ports of 127.0.0.1: the one that was asked for, and free ones for what nobody needs to know."""

import socket

from infra.local.failures import StartFailed

HOST = "127.0.0.1"


def claim_port(port: int) -> socket.socket:
    """Bind the port that the front will listen on, so that nobody else gets it meanwhile; 0 takes a free one."""
    # asyncio turns Nagle's algorithm off only where the protocol is named: otherwise each answer waits some 40 ms.
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
    """Return a port that was free a moment ago, for a child that must be told one."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return port_of(probe)
