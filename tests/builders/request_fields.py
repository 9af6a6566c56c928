"""All fields of all requests: their location and pydantic schema, read from the routes of the functions."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts
from pydantic_core import SchemaValidator

from infra.openapi.sources import FUNCTIONS

type Schema = Mapping[str, Any]

_WRAPPERS = (
    "function-before",
    "function-after",
    "function-wrap",
    "nullable",
    "default",
    "model-field",
    "typed-dict-field",
)


@dataclass(frozen=True)
class RequestField:
    """A field of a route's request. `name` is the route and the location, such as `POST /v1/users body.limits`."""

    name: str
    schema: Schema
    definitions: Mapping[str, Schema]

    def inside(self, name: str, schema: Schema) -> "RequestField":
        return RequestField(name, schema, self.definitions)

    def validator(self, schema: Schema) -> SchemaValidator:
        """Return a validator of a schema that may use the definitions of this field."""
        definitions = list(self.definitions.values())
        return SchemaValidator({"type": "definitions", "schema": schema, "definitions": definitions})


@cache
def request_fields() -> tuple[RequestField, ...]:
    """Return every parameter and body of every route."""
    return tuple(_read_all())


def nodes(field: RequestField, above: tuple[Schema, ...] = ()) -> Iterator[tuple[RequestField, tuple[Schema, ...]]]:
    """Yield each schema inside a field, with the schemas that enclose it (outermost first)."""
    schema = field.schema
    if schema["type"] == "definition-ref":
        target = field.definitions[schema["schema_ref"]]
        if any(target is each for each in above):
            return  # a recursive schema
        schema = target
        field = field.inside(field.name, schema)
    yield field, above
    for label, inner in _below(schema):
        yield from nodes(field.inside(field.name + label, inner), (*above, schema))


def _below(schema: Schema) -> Iterator[tuple[str, Schema]]:
    match schema["type"]:
        case "model-fields" | "typed-dict":
            for name, each in schema["fields"].items():
                yield f".{each.get('validation_alias', name)}", each
        case "dict":
            yield "{key}", schema.get("keys_schema", {"type": "any"})
            yield "{}", schema.get("values_schema", {"type": "any"})
        case "list" | "tuple" | "set":
            yield "[]", schema.get("items_schema", {"type": "any"})
        case "union" | "tagged-union":
            choices = schema["choices"]
            for each in choices.values() if isinstance(choices, dict) else choices:
                yield "", each[0] if isinstance(each, tuple) else each
        case "json-or-python" | "lax-or-strict":
            yield "", schema.get("json_schema", schema.get("strict_schema"))
        case "chain":
            for each in schema["steps"]:
                yield "", each
        case _:
            if "schema" in schema:
                yield "", schema["schema"]


def _read_all() -> Iterator[RequestField]:
    for function in FUNCTIONS:
        app = import_module(f"functions.{function}.app").app
        for route in iter_route_contexts(app.routes):
            dependant = getattr(route, "dependant", None)
            if isinstance(dependant, Dependant):
                where = f"{sorted(route.methods or ())[0]} {route.path}"
                yield from _read(dependant, where, {"path": "path", "query": "query", "header": "header"})
                if route.body_field is not None:
                    yield _field(f"{where} body", route.body_field)


def _read(dependant: Dependant, where: str, places: Mapping[str, str]) -> Iterator[RequestField]:
    for place in places:
        for each in getattr(dependant, f"{place}_params"):
            yield _field(f"{where} {place}.{each.alias}", each)
    for inner in dependant.dependencies:
        yield from _read(inner, where, places)


def _field(name: str, field: Any) -> RequestField:
    schema = field._type_adapter.core_schema
    definitions: dict[str, Schema] = {}
    while schema["type"] == "definitions":
        definitions |= {each["ref"]: each for each in schema["definitions"]}
        schema = schema["schema"]
    return RequestField(name, schema, definitions)
