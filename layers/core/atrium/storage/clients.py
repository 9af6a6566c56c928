"""Creates the AWS clients of a function, with their retries and timeouts, and reduces the CPU time of each call.

- Parameters are not validated by the SDK, because only this package builds requests, and AWS validates them.
- The user agent is constant. Otherwise the SDK would build the user agent from eight parts twice per call.
- The SDK does not parse DynamoDB values, because it would try ten types for each value. `writes.py` parses the values.
  If a later version of botocore does not call `_handle_structure`, the SDK parses the values. `writes.py` accepts both
  formats.

The authorizer needs short timeouts. After 5 s, Lambda stops the authorizer together with its container and the cached
decisions, so the next call during an outage would need a cold start. The client must therefore fail earlier, so that
the authorizer can return a response.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
from botocore import __version__, session
from botocore.config import Config
from botocore.parsers import JSONParser, ResponseParserFactory

if TYPE_CHECKING:
    from atrium.storage.table import PhysicalTable

SHORT_CONNECT_SECONDS = 0.4
SHORT_READ_SECONDS = 0.9
SHORT_ATTEMPTS = 2
# botocore's mode `standard` waits at most one second between two attempts.
SHORT_SECONDS_MAX = SHORT_ATTEMPTS * (SHORT_CONNECT_SECONDS + SHORT_READ_SECONDS) + (SHORT_ATTEMPTS - 1) * 1.0
USER_AGENT = f"Atrium Botocore/{__version__}"


class _ItemParser(JSONParser):
    def _handle_structure(self, shape: Any, value: Any) -> Any:
        if shape.name == "AttributeValue":
            return value
        return super()._handle_structure(shape, value)  # type: ignore[misc]  # the stubs lack it


class _ParserFactory(ResponseParserFactory):
    def create_parser(self, protocol_name: str) -> Any:
        return _ItemParser() if protocol_name == "json" else super().create_parser(protocol_name)


def open_client(service: Any, *, attempts: int, credentials: Any = None, **options: Any) -> Any:
    """Return an AWS client that makes at most `attempts` attempts per call.

    `options` are passed to botocore's `Config`.
    """
    config = Config(
        retries={"mode": "standard", "total_max_attempts": attempts},
        parameter_validation=False,
        user_agent=USER_AGENT,
        tcp_keepalive=True,
        **options,
    )
    return _session().client(service, config=config, **(credentials or {}))


@cache
def _session() -> boto3.Session:
    core = session.get_session()
    core.register_component("response_parser_factory", _ParserFactory())
    return boto3.Session(botocore_session=core)


def open_short_timeout_table(name: str) -> PhysicalTable:
    """Return a table whose client fails within `SHORT_SECONDS_MAX`, because the authorizer has a timeout of 5 s."""
    from atrium.storage.table import PhysicalTable

    client = open_client(
        "dynamodb", attempts=SHORT_ATTEMPTS, connect_timeout=SHORT_CONNECT_SECONDS, read_timeout=SHORT_READ_SECONDS
    )
    return PhysicalTable(client, name)
