"""What a request must be before its route sees it: JSON in UTF-8 where a body is taken, and no unknown query.

The framework would parse UTF-16, accept NaN, keep lone surrogates that no store can write, and ignore a query
parameter that nobody reads.
"""

import json
from collections.abc import Callable
from math import isfinite
from typing import Any

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.params import Form
from fastapi.routing import APIRoute
from pydantic import BaseModel

from atrium.http.validation import UNKNOWN_PARAMETER
from atrium.kernel.errors import Malformed, UnsupportedMediaType, ValidationFailed
from atrium.kernel.media_types import read_media_type

# API Gateway hands a text body on as JSON, so bytes that are not UTF-8 have become this by then (ADR 0031).
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_ANY_QUERY_MARK = "__atrium_any_query__"


def takes_any_query[E: Callable[..., Any]](endpoint: E) -> E:
    """Mark an endpoint whose protocol says that unknown parameters are ignored."""
    setattr(endpoint, _ANY_QUERY_MARK, True)
    return endpoint


async def require_json_body(request: Request) -> None:
    """Refuse a body of another type (415), or one that is not strictly JSON in UTF-8 (400)."""
    route = request.scope["route"]
    if not isinstance(route, APIRoute) or route.body_field is None or isinstance(route.body_field.field_info, Form):
        return
    body = await request.body()
    if not body:
        return
    if not _is_json(request.headers.get("content-type", "")):
        raise UnsupportedMediaType
    _check_json(body)


async def refuse_unknown_query(request: Request) -> None:
    """Refuse query parameters that the route does not declare, as bodies refuse unknown fields."""
    route = request.scope["route"]
    if not request.query_params or not isinstance(route, APIRoute) or hasattr(route.endpoint, _ANY_QUERY_MARK):
        return
    unknown = sorted(set(request.query_params) - _declared_query(route.dependant))
    if unknown:
        raise ValidationFailed(
            extensions={
                "errors": [
                    {"loc": ["query", name[:100]], "msg": UNKNOWN_PARAMETER, "type": "extra_forbidden"}
                    for name in unknown[:20]
                ]
            }
        )


def _is_json(content_type: str) -> bool:
    media_type, charset = read_media_type(content_type)
    return media_type == "application/json" and charset in {"", "utf-8", "utf8"}


def _check_json(body: bytes) -> None:
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise Malformed("The body is not UTF-8") from error
    if _REPLACEMENT in text:
        raise Malformed("The body is not UTF-8, or holds U+FFFD, which JSON can spell \\ufffd")
    try:
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_read_finite)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise Malformed("The body is not valid JSON") from error


def _read_finite(text: str) -> float:
    value = float(text)
    if not isfinite(value):
        raise ValueError("a number is out of range")
    return value


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _declared_query(dependant: Dependant) -> set[str]:
    names: set[str] = set()
    for field in dependant.query_params:
        kind = field.field_info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            names |= {inner.alias or name for name, inner in kind.model_fields.items()}
        else:
            names.add(field.alias)
    return names.union(*(_declared_query(inner) for inner in dependant.dependencies))
