"""The AWS clients of a function: their retries and timeouts, and what each call costs in CPU.

- No parameter validation: requests are built by this package alone, and the service checks them.
- A fixed user agent: the SDK would build one of eight parts twice a call.
- The SDK does not parse values of DynamoDB, which would try its model of ten types for each: `writes.py` reads them. If
  a later botocore does not call `_handle_structure`, the SDK parses the values, and `writes.py` reads the same.

The authorizer needs short timeouts: Lambda ends it after 5 s, and with it the container and its cached verdicts, so the
next call would start cold during an outage. It must fail before that, with a 503.
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
# botocore's mode `standard` waits at most a second between two attempts.
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
    """Return a client that makes at most `attempts` attempts per call; `options` are those of botocore's `Config`."""
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
    """Return the table over a client that fails within `SHORT_SECONDS_MAX`, for the authorizer's 5 s time-out."""
    from atrium.storage.table import PhysicalTable

    client = open_client(
        "dynamodb", attempts=SHORT_ATTEMPTS, connect_timeout=SHORT_CONNECT_SECONDS, read_timeout=SHORT_READ_SECONDS
    )
    return PhysicalTable(client, name)
