"""Creates the OpenAPI 3.1 document of an application.

FastAPI creates the document. This module adds the error responses of each route, including the gateway's responses.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute, iter_route_contexts

from atrium.http.guarding import read_scopes
from atrium.http.problems import MEDIA_TYPE, ErrorFormat
from atrium.http.responses import (
    REQUEST_ID_HEADER,
    problem_schemas,
    reference_response,
    shared_responses,
    vendor_response,
)

_ALWAYS = (429, 500, 503)
_FRAMEWORK_SCHEMAS = ("HTTPValidationError", "ValidationError")


def name_operation(route: APIRoute) -> str:
    """Return the operation id of a route, such as `createSession` for `create_session`."""
    head, *tail = route.name.split("_")
    return head + "".join(part.capitalize() for part in tail)


def build_document(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document of an application as JSON values."""
    document = get_openapi(title=app.title, version=app.version, routes=app.routes)
    formats: Mapping[str, ErrorFormat] = app.state.error_formats
    for path, item in document["paths"].items():
        for operation in item.values():
            _complete_operation(path, operation, formats.get(path))
    _name_scopes(app, document["paths"])
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name in _FRAMEWORK_SCHEMAS:
        schemas.pop(name, None)
    schemas |= problem_schemas(*(each.body for each in formats.values()))
    document["components"]["responses"] = shared_responses()
    return _name_lists(document)


def _name_scopes(app: FastAPI, paths: dict[str, Any]) -> None:
    """Add the member `x-required-scope` to each operation that is not public.

    The value is null if any credential is sufficient.
    """
    for route in iter_route_contexts(app.routes):
        scopes = read_scopes(route.dependant) if isinstance(getattr(route, "dependant", None), Dependant) else None
        for method in (route.methods or ()) if scopes is not None else ():
            operation = paths.get(str(route.path), {}).get(method.lower())
            if scopes is not None and operation is not None:
                operation["x-required-scope"] = scopes[0] if scopes else None


def _name_lists(document: dict[str, Any]) -> dict[str, Any]:
    """Rename the schemas of pages, for example from `ListOf_Session_`, which FastAPI generates, to `SessionList`."""
    text = re.sub(r'(["/])ListOf_(\w+)_"', r'\1\2List"', json.dumps(document))
    named: dict[str, Any] = json.loads(text)
    return named


def _complete_operation(path: str, operation: dict[str, Any], error_format: ErrorFormat | None) -> None:
    responses = operation["responses"]
    for response in responses.values():
        response.setdefault("headers", {}).update(REQUEST_ID_HEADER)
    if "201" in responses:
        responses["201"]["headers"]["Location"] = {
            "description": "The URL of the new object",
            "schema": {"type": "string", "format": "uri-reference"},
        }
    if "application/json" in responses.get("422", {}).get("content", {}):
        del responses["422"]
    for status in _refusals(path, operation):
        responses.setdefault(str(status), reference_response(status))
    for status, response in responses.items():
        if set(response.get("content", ())) == {MEDIA_TYPE}:
            responses[status] = reference_response(int(status))
    if error_format is not None:
        for status in [status for status, response in responses.items() if "$ref" in response]:
            responses[status] = vendor_response(int(status), error_format.body)
    operation["responses"] = dict(sorted(responses.items()))


def _refusals(path: str, operation: dict[str, Any]) -> set[int]:
    """Return the error statuses of a route. Every route can return 422 for unknown query parameters."""
    found = {*_ALWAYS, 422}
    if "security" in operation:
        found |= {400, 401, 403}
    if "requestBody" in operation:
        found |= {400, 413, 415}
    if "{" in path:
        found.add(404)
    if any(parameter["name"] == "Idempotency-Key" for parameter in operation.get("parameters", ())):
        found.add(409)
    return found
