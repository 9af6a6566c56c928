"""Validates requests more strictly than FastAPI, and translates validation errors to the platform's messages.

FastAPI accepts UTF-16, NaN, unpaired surrogates (which cannot be stored) and unknown query parameters. Each error type
of pydantic has a message that follows the field's name, such as "`limit`: must be at most 100". Pydantic's own messages
are never sent.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Any

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.params import Form
from fastapi.routing import APIRoute
from pydantic import BaseModel

from atrium.kernel.errors import PATTERN_TEXTS, AtriumError, Malformed, NotFound, UnsupportedMediaType, ValidationFailed
from atrium.kernel.media_types import read_media_type

_ERRORS_MAX = 20
_PART_MAX = 100
UNKNOWN_PARAMETER = "is not a query parameter of this route"
_UNNAMED_PATTERN = "does not match the format of this field"
_OTHERWISE = "is not valid"

SENTENCES: Mapping[str, str] = {
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "date_from_datetime_inexact": "must be a date such as `2026-11-21`",
    "date_from_datetime_parsing": "must be a date such as `2026-11-21`",
    "date_type": "must be a date such as `2026-11-21`",
    "datetime_type": "must be an RFC 3339 time, such as `2026-11-21T08:50:47Z`",
    "decimal_max_places": "must have at most {decimal_places} decimals",
    "decimal_parsing": "must be a decimal number as a string",
    "decimal_type": "must be a decimal number as a string",
    "dict_type": "must be an object",
    "extra_forbidden": "is not a field of this request",
    "finite_number": "must be a finite number",
    "float_type": "must be a number",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number of at most 18 digits",
    "int_type": "must be a whole number",
    "is_instance_of": "must be a JSON value",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "list_type": "must be a list",
    "literal_error": "must be one of {expected}",
    "missing": "is required",
    "none_required": "must be null",
    "model_attributes_type": "must be an object",
    "model_type": "must be an object",
    "recursion_loop": "is nested too deeply",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must have at least {min_length} characters",
    "string_type": "must be a string",
    "string_unicode": "must be valid Unicode text",
    "too_long": "must have at most {max_length} entries",
    "too_short": "must have at least {min_length} entries",
    "union_tag_invalid": "must have a {discriminator} that is one of {expected_tags}",
    "union_tag_not_found": "must have the field {discriminator}",
}
# API Gateway passes a body to the function as JSON text and replaces invalid UTF-8 by this character (ADR 0031).
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_ANY_QUERY_MARK = "__atrium_any_query__"


def from_validation(errors: Sequence[Mapping[str, Any]]) -> AtriumError:
    """Return the error for schema violations. The error does not contain the input.

    Invalid JSON becomes `Malformed`. An invalid path parameter becomes `NotFound`, because no object has such an id.
    """
    if any(error["type"] == "json_invalid" for error in errors):
        return Malformed("The body is not valid JSON")
    if any(error["loc"][:1] == ("path",) for error in errors):
        return NotFound()
    return ValidationFailed(extensions={"errors": [_describe(error) for error in errors[:_ERRORS_MAX]]})


def describe_error(error: Mapping[str, Any]) -> str:
    """Return the platform's message for a validation error of pydantic."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "value_error":
        return str(context.get("error", _OTHERWISE))  # raised by the platform's validators
    if "reason" in context:
        return str(context["reason"])
    if kind == "string_pattern_mismatch":
        return PATTERN_TEXTS.get(context.get("pattern", ""), _UNNAMED_PATTERN)
    if context.get("min_length") == 1:
        return "must not be empty"
    sentence = SENTENCES.get(kind, _OTHERWISE)
    return sentence.format_map({name: str(value).replace("'", "`") for name, value in context.items()})


def _describe(error: Mapping[str, Any]) -> dict[str, Any]:
    return {"loc": [_shorten(part) for part in error["loc"]], "msg": describe_error(error), "type": error["type"]}


def _shorten(part: object) -> int | str:
    return part if isinstance(part, int) else str(part)[:_PART_MAX]


def takes_any_query[E: Callable[..., Any]](endpoint: E) -> E:
    """Mark an endpoint whose protocol requires that unknown query parameters are ignored."""
    setattr(endpoint, _ANY_QUERY_MARK, True)
    return endpoint


async def require_json_body(request: Request) -> None:
    """Raise an error if the body has another media type (415) or is not valid JSON in UTF-8 (400)."""
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
    """Raise `ValidationFailed` for query parameters that the route does not declare."""
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
        raise Malformed("The body must be UTF-8") from error
    if _REPLACEMENT in text:
        raise Malformed("The body is not valid UTF-8 or contains U+FFFD. Write this character as \\ufffd.")
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
