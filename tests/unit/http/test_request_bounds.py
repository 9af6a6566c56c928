"""Every text, number, list and object in a request body has a size limit, so stored data is limited."""

from typing import Any

import pytest
from pydantic_core import SchemaValidator, ValidationError

from tests.builders.request_fields import RequestField, Schema, nodes, request_fields

LONG: dict[str, tuple[Any, ...]] = {
    "str": ("a" * 100_001, "9" * 100_001, "::1%" + "a" * 100_001),
    "int": (10**30, -(10**30)),
    "float": (1e300,),
    "decimal": ("0." + "0" * 1_000 + "1", "1." + "1" * 1_000, "9" * 1_000, "1e1000"),
}
# An image, a file or a data set may have up to 1 000 000 characters, and so may texts in the formats of other vendors.
LARGE = (".source.data", "/v1/files body.content", "/v1/files body.content_base64", "/v1/datasets body.content")
OF_VENDORS = ("POST /v1/chat/completions ", "POST /v1/messages ", "POST /v1/messages/count_tokens ")
OWN_BOUNDS = {"check_free_json", "_read"}  # validators of free JSON and of the names of limits


def names_of(above: tuple[Schema, ...]) -> set[str]:
    """Return the names of the validator functions that enclose a schema."""
    functions = [schema["function"]["function"] for schema in above if schema["type"].startswith("function")]
    return {getattr(function, "func", function).__name__ for function in functions}


def outermost(found: RequestField, above: tuple[Schema, ...]) -> SchemaValidator:
    """Return a validator of the innermost list element or object field that contains a value."""
    holders = [
        at for at, schema in enumerate(above) if schema["type"] in {"model-fields", "model-field", "list", "dict"}
    ]
    inner = [*above, found.schema][holders[-1] + 1 if holders else 0]
    return found.validator(inner)


NODES = {
    found.name: (found, above)
    for field in request_fields() if field.name.endswith(" body")
    for found, above in nodes(field) if not OWN_BOUNDS & names_of(above)
}  # fmt: skip
VALUES = [name for name, (found, _) in NODES.items() if found.schema["type"] in LONG]
HOLDERS = [name for name, (found, _) in NODES.items() if found.schema["type"] in {"list", "dict"}]


@pytest.mark.parametrize("name", VALUES)
def test_every_value_is_bounded(name: str) -> None:
    found, above = NODES[name]
    is_large = name.endswith(LARGE) or (name.startswith(OF_VENDORS) and found.schema["type"] == "str")
    for value in LONG[found.schema["type"]]:
        with pytest.raises(ValidationError):
            outermost(found, above).validate_python(value * 10 if is_large else value)


@pytest.mark.parametrize("name", HOLDERS)
def test_every_list_or_object_is_bounded(name: str) -> None:
    assert "max_length" in NODES[name][0].schema


def test_finds_fields_of_all_kinds() -> None:
    assert "POST /v1/policies body.conditions.ip.any_of[]" in VALUES
    assert "POST /v1/agents body.max_tokens" in VALUES
    assert "PATCH /v1/settings body.features" in HOLDERS


def test_free_objects_are_bounded_json_or_limits() -> None:
    free = {
        found.name for field in request_fields() if field.name.endswith(" body")
        for found, above in nodes(field) if found.schema["type"] == "any" and not OWN_BOUNDS & names_of(above)
    }  # fmt: skip
    assert free == set()
