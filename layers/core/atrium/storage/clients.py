"""The AWS clients of a function, with their retries and timeouts.

The authorizer needs short ones: Lambda ends it after 5 s, and with it the container and its cached verdicts, so the
next call would start cold during an outage. It must fail before that, with a 503.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from atrium.storage.table import PhysicalTable

SHORT_CONNECT_SECONDS = 0.4
SHORT_READ_SECONDS = 0.9
SHORT_ATTEMPTS = 2
# botocore's mode `standard` waits at most a second between two attempts.
SHORT_SECONDS_MAX = SHORT_ATTEMPTS * (SHORT_CONNECT_SECONDS + SHORT_READ_SECONDS) + (SHORT_ATTEMPTS - 1) * 1.0


def open_client(service: Any, *, attempts: int, credentials: dict[str, str] | None = None, **options: Any) -> Any:
    """Return a client that makes at most `attempts` attempts per call; `options` are those of botocore's `Config`."""
    import boto3
    from botocore.config import Config

    retries: Any = {"mode": "standard", "total_max_attempts": attempts}
    arguments: Any = {"config": Config(retries=retries, tcp_keepalive=True, **options), **(credentials or {})}
    return boto3.client(service, **arguments)


def open_short_timeout_table(name: str) -> PhysicalTable:
    """Return the table over a client that fails within `SHORT_SECONDS_MAX`, for the authorizer's 5 s time-out."""
    from atrium.storage.table import PhysicalTable

    client = open_client(
        "dynamodb", attempts=SHORT_ATTEMPTS, connect_timeout=SHORT_CONNECT_SECONDS, read_timeout=SHORT_READ_SECONDS
    )
    return PhysicalTable(client, name)
