"""Every route in the OpenAPI documents of the functions, with the parameters and body fields that can contain ids."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from infra.openapi.sources import read_documents

type Place = Literal["path", "query", "body"]

_PARAMETER = re.compile(r"\{(\w+)\}")
_METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True)
class Field:
    """A parameter, or a field of the body by its dotted path. The part `[]` means any item of a list."""

    place: Place
    name: str

    @property
    def last(self) -> str:
        return [part for part in self.name.split(".") if part != "[]"][-1]


@dataclass(frozen=True)
class Route:
    """One method of one path. `required` contains the query parameters without a default."""

    function: str
    method: str
    path: str
    fields: tuple[Field, ...]
    required: tuple[Field, ...]
    needs_body: bool
    has_key: bool

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def is_read(self) -> bool:
        return self.method == "GET"

    @property
    def is_paged(self) -> bool:
        return Field("query", "cursor") in self.fields

    @property
    def parameters(self) -> list[str]:
        return _PARAMETER.findall(self.path)


@cache
def read_routes() -> tuple[Route, ...]:
    """Return every documented route, sorted by path and method."""
    found = [
        _read_route(function, document, method, path, item[method])
        for function, document in read_documents()
        for path, item in document["paths"].items()
        for method in _METHODS
        if method in item
    ]
    return tuple(sorted(found, key=lambda route: (route.path, route.method)))


def _read_route(function: str, document: dict[str, Any], method: str, path: str, operation: dict[str, Any]) -> Route:
    parameters = operation.get("parameters", [])
    fields = [Field(each["in"], each["name"]) for each in parameters if each["in"] in ("path", "query")]
    body = operation.get("requestBody", {})
    for content in body.get("content", {}).values():
        fields += [Field("body", name) for name in _body_fields(document, content.get("schema", {}), ())]
    return Route(
        function=function,
        method=method.upper(),
        path=path,
        fields=tuple(dict.fromkeys(fields)),
        required=tuple(
            Field("query", each["name"]) for each in parameters if each["in"] == "query" and each["required"]
        ),
        needs_body=bool(body.get("required")),
        has_key=any(each["name"].lower() == "idempotency-key" for each in parameters),
    )


def _body_fields(document: dict[str, Any], schema: dict[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    if len(path) > 8:
        return  # a recursive schema
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    for kind in ("anyOf", "oneOf", "allOf"):
        for choice in schema.get(kind, ()):
            yield from _body_fields(document, choice, path)
    if "items" in schema:
        yield from _body_fields(document, schema["items"], (*path, "[]"))
    for name, part in schema.get("properties", {}).items():
        yield ".".join((*path, name))
        yield from _body_fields(document, part, (*path, name))
