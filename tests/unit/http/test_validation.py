"""Validation errors: every kind of error that a request can cause has a message of its own."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from atrium.http import validation
from atrium.http.validation import SENTENCES, describe_error, from_validation
from atrium.kernel.errors import PATTERN_TEXTS, ValidationFailed, invalid_field
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import ValidationError

from tests.builders.request_fields import RequestField, Schema, nodes, request_fields

# Type of schema -> the error types that it can report, without the errors of its limits.
KINDS: dict[str, set[str]] = {
    "str": {"string_type", "string_unicode"},
    "int": {"int_type", "int_parsing", "int_parsing_size", "int_from_float"},
    "float": {"float_type", "finite_number"},
    "bool": {"bool_type", "bool_parsing"},
    "decimal": {"decimal_type", "decimal_parsing"},
    "datetime": {"datetime_type"},
    "date": {"date_type", "date_from_datetime_parsing", "date_from_datetime_inexact"},
    "literal": {"literal_error"},
    "list": {"list_type"},
    "dict": {"dict_type"},
    "model": {"model_type"},
    "none": {"none_required"},
    "model-fields": {"model_attributes_type", "extra_forbidden", "missing"},
    "json-or-python": {"is_instance_of"},
    "tagged-union": {"union_tag_invalid", "union_tag_not_found"},
    "function-before": {"value_error"},
    "function-after": {"value_error"},
    **{name: set[str]() for name in ("any", "chain", "default", "function-wrap", "model-field", "nullable")},
}
BOUNDS = {
    ("str", "min_length"): "string_too_short", ("str", "max_length"): "string_too_long",
    ("str", "pattern"): "string_pattern_mismatch", ("list", "min_length"): "too_short",
    ("list", "max_length"): "too_long", ("dict", "min_length"): "too_short", ("dict", "max_length"): "too_long",
    ("decimal", "decimal_places"): "decimal_max_places",
    **{(kind, short): long for kind in ("int", "float", "decimal") for short, long in (
        ("ge", "greater_than_equal"), ("gt", "greater_than"), ("le", "less_than_equal"), ("lt", "less_than"))},
}  # fmt: skip
BODIES = [field for field in request_fields() if field.name.endswith(" body")]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


def kinds_of(schema: Schema) -> Iterator[str]:
    """Yield the error types of a schema. Raise `KeyError` if the type of the schema is not in `KINDS`."""
    yield from KINDS[schema["type"]]
    for (kind, bound), reported in BOUNDS.items():
        if kind == schema["type"] and bound in schema:
            yield reported


def test_every_error_type_of_a_request_has_a_message() -> None:
    possible = {kind for field in request_fields() for found, _ in nodes(field) for kind in kinds_of(found.schema)}
    assert possible - {"value_error", "string_pattern_mismatch"} <= set(SENTENCES)


def test_every_pattern_has_a_description() -> None:
    unnamed = {
        found.name.rpartition(".")[2] for field in request_fields() if " path." not in field.name
        for found, _ in nodes(field)
        if found.schema.get("pattern") and found.schema["pattern"] not in PATTERN_TEXTS
    }  # fmt: skip
    assert unnamed == set()


@given(st.sampled_from(BODIES), st.data())
@settings(max_examples=300)
def test_sends_no_text_of_the_library(field: RequestField, data: st.DataObject) -> None:
    names = {found.name.removeprefix(field.name + ".").partition(".")[0] for found, _ in nodes(field)}
    body = data.draw(st.dictionaries(st.sampled_from(sorted(names)) | st.text(max_size=3), JSON, max_size=4) | JSON)
    try:
        field.validator(field.schema).validate_python(body)
    except ValidationError as refused:
        for error in refused.errors():
            sentence = describe_error({**error, "loc": ("body", *error["loc"])})
            assert sentence != validation._OTHERWISE, error
            assert error["msg"] not in sentence or error["type"] not in SENTENCES, error
            assert "Input" not in sentence


@pytest.mark.parametrize(
    ("errors", "detail"),
    [
        ([{"type": "missing", "loc": ("body", "email")}], "`email`: is required"),
        ([{"type": "extra_forbidden", "loc": ("body", "limits", "x")}], "`limits.x`: is not a field of this request"),
        ([{"type": "list_type", "loc": ("body", "tools", 3, "x")}], "`tools[3].x`: must be a list"),
        ([{"type": "model_type", "loc": ("body",)}], "the body: must be an object"),
        ([{"type": "greater_than_equal", "loc": ("query", "limit"), "ctx": {"ge": 1}}],
         "query parameter `limit`: must be at least 1"),
        ([{"type": "int_type", "loc": ("header", "last-event-id")}] * 3,
         "header `last-event-id`: must be a whole number (and 2 more in `errors`)"),
        ([{"type": "string_too_short", "loc": ("body", "a"), "ctx": {"min_length": 1}}], "`a`: must not be empty"),
        ([{"type": "literal_error", "loc": ("body", "a"), "ctx": {"expected": "'x' or 'y'"}}],
         "`a`: must be one of `x` or `y`"),
        ([{"type": "value_error", "loc": ("body", "a"), "ctx": {"error": ValueError("must be so")}}],
         "`a`: must be so"),
        ([{"type": "a_new_one", "loc": ("body", "a"), "msg": "Input should be {x}"}], "`a`: is not valid"),
    ],
)  # fmt: skip
def test_detail_names_the_field_and_valid_values(errors: list[dict[str, Any]], detail: str) -> None:
    failure = from_validation([{"msg": "Input should be", **error} for error in errors])
    assert isinstance(failure, ValidationFailed)
    assert failure.detail == detail
    assert "Input" not in json.dumps(failure.extensions["errors"])


def test_errors_of_services_have_the_same_format() -> None:
    assert invalid_field("name", "is taken").detail == "`name`: is taken"
    assert invalid_field("from", "is late", place="query").detail == "query parameter `from`: is late"
    assert ValidationFailed().detail == ValidationFailed.title
