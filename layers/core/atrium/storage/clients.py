"""The AWS clients of a function, with their timeouts and retries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from botocore.config import Config
    from types_boto3_sts.type_defs import CredentialsTypeDef

    from atrium.storage.table import PhysicalTable

SHORT_CONNECT_SECONDS = 0.4
SHORT_READ_SECONDS = 0.9
SHORT_ATTEMPTS = 2
# botocore's mode `standard` waits at most a second between two attempts.
SHORT_SECONDS_MAX = SHORT_ATTEMPTS * (SHORT_CONNECT_SECONDS + SHORT_READ_SECONDS) + (SHORT_ATTEMPTS - 1) * 1.0

_READ_SECONDS = {"dynamodb": 3, "sts": 2}


def open_client(service: Any, credentials: CredentialsTypeDef | None = None) -> Any:
    """Return a client with the function's own role, or with the given credentials."""
    import boto3

    session: Any = {
        "aws_access_key_id": credentials["AccessKeyId"],
        "aws_secret_access_key": credentials["SecretAccessKey"],
        "aws_session_token": credentials["SessionToken"],
    } if credentials else {}  # fmt: skip
    return boto3.client(service, **session, config=client_config(1, _READ_SECONDS.get(service, 10), 3))


def open_short_timeout_table(name: str) -> PhysicalTable:
    """Return the table over a client that fails within `SHORT_SECONDS_MAX`, for the authorizer's 5 s time-out."""
    import boto3

    from atrium.storage.table import PhysicalTable

    config = client_config(SHORT_CONNECT_SECONDS, SHORT_READ_SECONDS, SHORT_ATTEMPTS)
    return PhysicalTable(boto3.client("dynamodb", config=config), name)


def client_config(connect_seconds: float, read_seconds: float, attempts: int) -> Config:
    """Return a client's configuration; `attempts` includes the first."""
    from botocore.config import Config

    return Config(
        connect_timeout=connect_seconds,
        read_timeout=read_seconds,
        retries={"mode": "standard", "total_max_attempts": attempts},
        tcp_keepalive=True,
        max_pool_connections=16,
    )
