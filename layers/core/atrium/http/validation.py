"""What is wrong with a request, in our own words: a sentence for each kind of error that the schema library reports.

A sentence goes on from the field's name: "`limit`: must be at most 100". The library's own texts are never sent.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from atrium.kernel.errors import PATTERN_TEXTS, AtriumError, Malformed, NotFound, ValidationFailed

_ERRORS_MAX = 20
_PART_MAX = 100
UNKNOWN_PARAMETER = "is not a parameter of this route"
_UNNAMED_PATTERN = "does not have the form that this field needs"
_OTHERWISE = "is not valid"

SENTENCES: Mapping[str, str] = {
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "date_from_datetime_inexact": "must be a day as 2026-11-21",
    "date_from_datetime_parsing": "must be a day as 2026-11-21",
    "date_type": "must be a day as 2026-11-21",
    "datetime_type": "must be an RFC 3339 time, as `2026-11-21T08:50:47Z`",
    "decimal_max_places": "must have at most {decimal_places} decimals",
    "decimal_parsing": "must be a decimal number as text",
    "decimal_type": "must be a decimal number as text",
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
    "is_instance_of": "must be a value of JSON",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "list_type": "must be a list",
    "literal_error": "must be one of {expected}",
    "missing": "is required",
    "model_attributes_type": "must be an object",
    "model_type": "must be an object",
    "recursion_loop": "is nested too deep",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must have at least {min_length} characters",
    "string_type": "must be a string",
    "string_unicode": "must be valid Unicode text",
    "too_long": "must have at most {max_length} entries",
    "too_short": "must have at least {min_length} entries",
}


def from_validation(errors: Sequence[Mapping[str, Any]]) -> AtriumError:
    """Return the failure for what the schema refused. The input itself is not repeated.

    JSON that does not parse is `Malformed`; a path that cannot be an id names nothing, so it is `NotFound`.
    """
    if any(error["type"] == "json_invalid" for error in errors):
        return Malformed("The body is not valid JSON")
    if any(error["loc"][:1] == ("path",) for error in errors):
        return NotFound()
    return ValidationFailed(extensions={"errors": [_describe(error) for error in errors[:_ERRORS_MAX]]})


def say(error: Mapping[str, Any]) -> str:
    """Return the sentence for an error of the schema library."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "value_error":
        return str(context.get("error", _OTHERWISE))  # raised by our own validators
    if "reason" in context:
        return str(context["reason"])
    if kind == "string_pattern_mismatch":
        return PATTERN_TEXTS.get(context.get("pattern", ""), _UNNAMED_PATTERN)
    if context.get("min_length") == 1:
        return "must not be empty"
    sentence = SENTENCES.get(kind, _OTHERWISE)
    return sentence.format_map({name: str(value).replace("'", "`") for name, value in context.items()})


def _describe(error: Mapping[str, Any]) -> dict[str, Any]:
    return {"loc": [_shorten(part) for part in error["loc"]], "msg": say(error), "type": error["type"]}


def _shorten(part: object) -> int | str:
    return part if isinstance(part, int) else str(part)[:_PART_MAX]
