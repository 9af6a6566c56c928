"""How the SDK's clients are made: one place for what each call costs in CPU.

- No parameter validation: requests are built by this package alone, and the service checks them.
- A fixed user agent: the SDK would build one of eight parts twice a call.
- DynamoDB's values are left as they came: `items.py` reads them, and the SDK would walk each value through its model of
  ten possible types. If a later botocore does not ask `_handle_structure`, values are walked again, and read the same.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import boto3
from botocore import __version__, session
from botocore.config import Config
from botocore.parsers import JSONParser, ResponseParserFactory

USER_AGENT = f"Atrium Botocore/{__version__}"


class _ItemParser(JSONParser):
    def _handle_structure(self, shape: Any, value: Any) -> Any:
        if shape.name == "AttributeValue":
            return value
        return super()._handle_structure(shape, value)  # type: ignore[misc]


class _ParserFactory(ResponseParserFactory):
    def create_parser(self, protocol_name: str) -> Any:
        return _ItemParser() if protocol_name == "json" else super().create_parser(protocol_name)


def open_client(service: Any, *, attempts: int, credentials: Any = None, **options: Any) -> Any:
    """Return a client that tries a call so often in all; `options` are those of botocore's `Config`."""
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
