"""The JSON Schemas (2020-12) of HTTP tools, and the validation of arguments.

Only the keywords below are accepted: without references and patterns, a validation compares each value of the arguments
at most once with each subschema. `jsonschema` takes 100 ms to import, so it is imported by the first use.
"""

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

SCHEMA_BYTES_MAX = 16_000
SUBSCHEMAS_MAX = 200
DEPTH_MAX = 10
ARGUMENTS_BYTES_MAX = 32_000
VALUES_MAX = 2_000
_PROBLEMS_SHOWN = 10
_PROBLEM_CHARACTERS = 200
_LISTS, _MAPS = ("anyOf", "oneOf", "allOf", "prefixItems"), ("properties",)
_ONES = ("items", "additionalProperties", "not")
KEYWORDS = frozenset({
    *_LISTS, *_MAPS, *_ONES, "$schema", "title", "description", "default", "examples", "deprecated", "format", "type",
    "enum", "const", "required", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength",
    "minItems", "maxItems", "minProperties", "maxProperties",
})  # fmt: skip


def check_schema(schema: Mapping[str, Any]) -> None:
    """Raise `ValueError` with the reason if a schema is not accepted."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    if schema.get("type") != "object":
        raise ValueError("must have the `type` `object`")
    if len(json.dumps(schema, ensure_ascii=False).encode()) > SCHEMA_BYTES_MAX:
        raise ValueError(f"must have at most {SCHEMA_BYTES_MAX} bytes")
    for number, (subschema, depth) in enumerate(_subschemas(schema, 1)):
        if number >= SUBSCHEMAS_MAX or depth > DEPTH_MAX:
            raise ValueError(f"must have at most {SUBSCHEMAS_MAX} subschemas, nested at most {DEPTH_MAX} levels deep")
        for keyword in subschema:
            if keyword not in KEYWORDS:
                raise ValueError(f"must use only the keywords {', '.join(sorted(KEYWORDS))}")
    try:
        Draft202012Validator.check_schema(dict(schema))
    except SchemaError as error:
        place = "/".join(map(str, error.path)) or "the top level"
        raise ValueError(f"is not a valid JSON Schema (2020-12) at {place}") from error


def find_problems(schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> list[tuple[tuple[str | int, ...], str]]:
    """Return the path and text of the first problems of the arguments."""
    from jsonschema import Draft202012Validator

    if len(json.dumps(arguments)) > ARGUMENTS_BYTES_MAX:
        return [((), f"the arguments must have at most {ARGUMENTS_BYTES_MAX} bytes")]
    if _count(arguments) > VALUES_MAX:
        return [((), f"the arguments must have at most {VALUES_MAX} values")]
    errors = islice(Draft202012Validator(dict(schema)).iter_errors(dict(arguments)), _PROBLEMS_SHOWN)
    return [(tuple(error.absolute_path), error.message[:_PROBLEM_CHARACTERS]) for error in errors]


def _count(value: object) -> int:
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return 1 + sum(map(_count, inner))


def _subschemas(schema: object, depth: int) -> Iterator[tuple[Mapping[str, Any], int]]:
    """Yield a schema and its subschemas with their depths. Values of wrong types are left to `check_schema`."""
    if not isinstance(schema, Mapping):
        return
    yield schema, depth
    inner: list[object] = [schema.get(name) for name in _ONES]
    for name in _LISTS:
        inner += schema[name] if isinstance(schema.get(name), list) else ()
    for name in _MAPS:
        inner += schema[name].values() if isinstance(schema.get(name), Mapping) else ()
    for each in inner:
        yield from _subschemas(each, depth + 1)
