"""The merged contract follows the conventions of api.md, and the committed document is current."""

import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
from atrium.http.idempotency import is_sealed
from fastapi.routing import iter_route_contexts

from infra.openapi.__main__ import main
from infra.openapi.merge import merge_documents
from infra.openapi.sources import FUNCTIONS, read_documents
from infra.runtime.template import ROOT

type Document = dict[str, Any]

# Routes without an idempotency key: they create nothing, or need a password or a token that is valid once.
WITHOUT_IDEMPOTENCY_KEY = {
    *("/v1/limits/check", "/v1/messages/count_tokens"),
    *("/v1/auth/login", "/v1/auth/refresh", "/v1/auth/logout", "/v1/auth/password", "/v1/auth/invitations/accept"),
}
PUBLIC = {
    *("/v1/health", "/v1/health/ready", "/v1/openapi.json", "/.well-known/jwks.json"),
    *("/v1/auth/login", "/v1/auth/invitations/accept", "/v1/auth/refresh"),
    *("/v1/auth/{provider}/authorize", "/v1/auth/{provider}/callback"),
    *("/oauth/token", "/oauth/revoke", "/oauth/introspect", "/.well-known/oauth-authorization-server"),
    *("/.well-known/openid-configuration", "/.well-known/oauth-protected-resource"),
}

SECRETS = {"key", "api_key", "client_secret", "invite_token", "reset_token", "secret", "access_token", "refresh_token"}


@pytest.fixture(scope="module")
def document() -> Document:
    return merge_documents(read_documents())


def operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def parameters(operation: Document) -> dict[str, Document]:
    return {parameter["name"]: parameter for parameter in operation.get("parameters", [])}


def answer_fields(document: Document, operation: Document) -> set[str]:
    """Return the names of the fields in an operation's successful response."""
    found: set[str] = set()
    for status in ("200", "201"):
        content = operation["responses"].get(status, {}).get("content", {}).get("application/json", {})
        reference = content.get("schema", {}).get("$ref", "")
        found |= set(document["components"]["schemas"].get(reference.rpartition("/")[2], {}).get("properties", {}))
    return found


def test_the_committed_document_is_current() -> None:
    assert main(["--check"]) == 0


def test_every_operation_has_a_description(document: Document) -> None:
    silent = [operation["operationId"] for _, _, operation in operations(document) if not operation.get("description")]
    assert silent == []


def test_every_post_takes_an_idempotency_key(document: Document) -> None:
    without = {
        path
        for path, method, operation in operations(document)
        if method == "post" and "Idempotency-Key" not in parameters(operation) and not path.startswith("/oauth/")
    }
    assert without <= WITHOUT_IDEMPOTENCY_KEY


def test_lists_are_paged(document: Document) -> None:
    for _, _, operation in operations(document):
        if "next_cursor" in answer_fields(document, operation):
            assert {"limit", "cursor"} <= parameters(operation).keys(), operation["operationId"]


def test_ids_in_paths_have_a_pattern(document: Document) -> None:
    for path, _, operation in operations(document):
        for parameter in parameters(operation).values():
            if parameter["in"] == "path":
                assert "pattern" in parameter["schema"], (path, parameter["name"])


def test_every_object_in_a_body_refuses_unknown_fields(document: Document) -> None:
    schemas = document["components"]["schemas"]
    for _, _, operation in operations(document):
        body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
        if "$ref" in body:
            assert schemas[body["$ref"].rpartition("/")[2]]["additionalProperties"] is False, operation["operationId"]


def test_public_operations_are_those_of_the_contract(document: Document) -> None:
    public = {path for path, _, operation in operations(document) if "security" not in operation}
    assert public == PUBLIC


def test_an_answer_with_a_secret_is_sealed(document: Document) -> None:
    sealed, shown = set(), set()
    for name in FUNCTIONS:
        for route in iter_route_contexts(import_module(f"functions.{name}.app").app.routes):
            if route.endpoint is not None and is_sealed(route.endpoint):
                sealed.add(str(route.unique_id))
    for _, _, operation in operations(document):
        if "Idempotency-Key" in parameters(operation) and SECRETS & answer_fields(document, operation):
            shown.add(operation["operationId"])
    assert shown
    assert sealed == shown


def test_every_path_is_called_by_tests_of_its_own(document: Document) -> None:
    """The isolation tests call every route but check only permissions. Other tests must check the responses."""
    tests = "\n".join(path.read_text() for path in (ROOT / "tests/integration").rglob("*.py"))
    without = [path for path in document["paths"] if not re.search(_called(path), tests)]
    assert without == []


def _called(path: str) -> str:
    """Return a pattern for the path in a string literal, with any text in place of its parameters."""
    return re.sub(r"\\\{\w+\\\}", r"[^/\"?\\s]+", re.escape(path)) + r"[\"'?]"
