"""Requests are matched to routes."""

import pytest

from infra.local.gateway.routes import match_route
from tests.unit.local.builders import buffered_route

ROUTES = (
    buffered_route("GET", "/"),
    buffered_route("GET", "/docs/{proxy+}"),
    buffered_route("GET", "/v1/sessions"),
    buffered_route("POST", "/v1/sessions"),
    buffered_route("GET", "/v1/sessions/{session_id}"),
    buffered_route("POST", "/v1/sessions/search"),
    buffered_route("GET", "/v1/sessions/{session_id}/messages"),
)


@pytest.mark.parametrize(
    ("method", "path", "resource", "parameters"),
    [
        ("GET", "/", "/", {}),
        ("GET", "/v1/sessions", "/v1/sessions", {}),
        ("POST", "/v1/sessions/", "/v1/sessions", {}),
        ("GET", "/v1/sessions/ses_1", "/v1/sessions/{session_id}", {"session_id": "ses_1"}),
        ("GET", "/v1/sessions/a%2Fb", "/v1/sessions/{session_id}", {"session_id": "a/b"}),
        ("POST", "/v1/sessions/search", "/v1/sessions/search", {}),
        ("GET", "/v1/sessions/x/messages", "/v1/sessions/{session_id}/messages", {"session_id": "x"}),
        ("GET", "/docs/errors/NOT_FOUND", "/docs/{proxy+}", {"proxy": "errors/NOT_FOUND"}),
    ],
)
def test_finds_routes(method: str, path: str, resource: str, parameters: dict[str, str]) -> None:
    match = match_route(ROUTES, method, path)
    assert match is not None
    assert (match.route.method, match.route.resource, match.parameters) == (method, resource, parameters)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1"),
        ("GET", "/v1/session"),
        ("DELETE", "/v1/sessions"),
        ("GET", "/docs"),
        # The literal resource is matched before its methods are checked, and there is no greedy resource.
        ("GET", "/v1/sessions/search"),
        ("GET", "/v1/sessions/x/messages/y"),
    ],
)
def test_unknown_path_or_method(method: str, path: str) -> None:
    assert match_route(ROUTES, method, path) is None


def test_greedy_resource_serves_missing_methods() -> None:
    routes = (buffered_route("POST", "/v1/jobs"), buffered_route("GET", "/v1/{proxy+}"))
    match = match_route(routes, "GET", "/v1/jobs")
    assert match is not None
    assert match.parameters == {"proxy": "jobs"}
