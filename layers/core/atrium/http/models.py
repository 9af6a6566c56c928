"""Base models of request and response bodies. They have strict types, reject unknown fields and are immutable.

JSON has no time and decimal types, so `Timestamp` and `Money` accept only strings and parse them.
"""

import json
import re
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, JsonValue, PlainSerializer, WithJsonSchema

from atrium.kernel.clock import format_time, parse_time
from atrium.kernel.errors import named_pattern
from atrium.kernel.ids import TWICE, ULID_PATTERN

_MONEY = re.compile(r"(?:0|[1-9]\d{0,11})(?:\.\d{1,6})?")
_DEPTH_MAX = 16
_JSON_BYTES_MAX = 32_000


class StrictModel(BaseModel):
    """Base class of all requests and responses."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)


class ListOf[Item](StrictModel):
    """A page of a list. `next_cursor` is null on the last page."""

    data: list[Item]
    """The items of this page, at most `limit`."""
    next_cursor: str | None
    """Value of `cursor` for the next page. Null on the last page."""

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        return f"{params[0].__name__}List"


def read_decimal_text(value: object) -> object:
    """Convert the decimal digits of a query parameter to an integer. Reject other formats, such as `+1` or `1.0`."""
    if isinstance(value, str):
        if not (value.isascii() and value.isdecimal() and len(value) <= 18):
            raise ValueError("must be a whole number of at most 18 decimal digits")
        return int(value)
    return value


def read_flag_text(value: object) -> object:
    """Convert the query parameter value `true` or `false` to a boolean. Reject other values, such as `1` or `True`."""
    if isinstance(value, str):
        if value not in {"true", "false"}:
            raise ValueError("must be true or false")
        return value == "true"
    return value


def _read_time(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("must be an RFC 3339 time as a string, such as `2026-11-21T08:50:47Z`")  # noqa: TRY004 - pydantic reports ValueError
    return parse_time(value)


def _read_money(value: object) -> object:
    if not isinstance(value, str) or not _MONEY.fullmatch(value):
        raise ValueError("must be a decimal number as a string with at most six decimals, such as `12.50`")
    return Decimal(value)


def check_free_json[Value](value: Value, bytes_max: int = _JSON_BYTES_MAX, depth_max: int = _DEPTH_MAX) -> Value:
    """Return a JSON value. Raise `ValueError` if it is too large or nested too deeply."""
    if _depth(value) > depth_max:
        raise ValueError(f"must not be nested deeper than {depth_max} levels")
    if len(json.dumps(value, ensure_ascii=False).encode()) > bytes_max:
        raise ValueError(f"must not be larger than {bytes_max} bytes")
    return value


def _depth(value: object) -> int:
    """Return the nesting depth of a JSON value. The recursion is safe, because the parser limits the depth."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, inner), default=0) if isinstance(value, dict | list) else 0


Timestamp = Annotated[
    datetime,
    BeforeValidator(_read_time),
    PlainSerializer(format_time, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""A time in a request, in RFC 3339 format with a time zone."""

Money = Annotated[
    Decimal,
    BeforeValidator(_read_money),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "pattern": f"^{_MONEY.pattern}$"}),
]
"""An amount in USD as a decimal string, in a request."""

FreeJson = Annotated[dict[str, JsonValue], AfterValidator(check_free_json)]
"""A JSON object, such as settings or metadata, with limited depth and size. It is stored as JSON text."""

AnyJson = Annotated[JsonValue, AfterValidator(check_free_json)]
"""A JSON value with the same limits. It is stored as JSON text."""


def id_pattern(prefix: str) -> str:
    """Return the pattern of ids with this prefix, for path parameters.

    A request with an id that does not match the pattern receives a 404 response.
    """
    pattern = f"^{prefix}_{ULID_PATTERN}{ULID_PATTERN if prefix in TWICE else ''}$"
    return named_pattern(pattern, f"must be an id, such as `{prefix}_…`")
