"""HTTP methods of every route. Public GET routes also accept HEAD. Any other method returns 405 with `Allow`."""

from importlib import import_module
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts
from starlette.testclient import TestClient

from infra.checks.routes import PUBLIC, read_routes
from infra.openapi.sources import FUNCTIONS
from infra.runtime.template import read_template
from tests.builders.deployments import Deployment
from tests.builders.gateway import call_as, tenant_fields
from tests.builders.runtimes import build_runtime

FUNCTION_OF = {
    (route.method, route.path): route.function.removesuffix("Function").lower()
    for route in read_routes(read_template())
}
PUBLIC_READS = sorted(path for method, path in PUBLIC if method == "GET")
QUERIES = {"/v1/auth/{provider}/authorize": "?tenant=acme&code_challenge=" + "A" * 43}
VARYING = {"set-cookie", "location", "x-request-id", "content-length"}


def fill(path: str) -> str:
    filled = path.replace("{provider}", "google").replace("{proxy+}", "errors/NOT_FOUND")
    return filled + QUERIES.get(path, "")


@pytest.fixture
def clients(deployment: Deployment) -> dict[str, TestClient]:
    deployment.onboard()
    built = {name: import_module(f"functions.{name}.app").build for name in ("console", "identity")}
    return {name: call_as(build(lambda: deployment.runtime), None) for name, build in built.items()}


@pytest.mark.parametrize("path", PUBLIC_READS)
def test_head_answers_as_get_without_a_body(clients: dict[str, TestClient], path: str) -> None:
    assert FUNCTION_OF["HEAD", path] == FUNCTION_OF["GET", path]
    client = clients[FUNCTION_OF["GET", path]]
    got, head = client.get(fill(path), follow_redirects=False), client.head(fill(path), follow_redirects=False)
    assert (head.status_code, head.content) == (got.status_code, b"")
    assert _steady(head) == _steady(got)
    assert ("content-length" in head.headers) == ("content-length" in got.headers)


def _steady(response: Any) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name not in VARYING}


def test_head_does_not_complete_a_sign_in(clients: dict[str, TestClient]) -> None:
    """Otherwise, a HEAD request by a link scanner would use the state, and the user could not sign in."""
    path = "/v1/auth/google/callback?state=a-state&code=a-code"
    head = clients["identity"].head(path)
    assert (head.status_code, head.headers["allow"]) == (405, "GET")
    assert clients["identity"].get(path).status_code == 400


@pytest.mark.parametrize("function", FUNCTIONS)
def test_another_method_is_405_and_names_all_that_there_are(function: str) -> None:
    app = import_module(f"functions.{function}.app").build(build_runtime())
    routes = list(iter_route_contexts(app.routes))
    client = call_as(app, tenant_fields())
    for path in {str(route.path) for route in routes}:
        # `/v1/policies/evaluate` is also a path of `/v1/policies/{policy_id}`
        known = set[str]().union(*(route.methods or () for route in routes if route.path_regex.match(path)))
        expected = sorted(known | ({"HEAD"} if "GET" in known else set()))
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "FOO"} - known:
            answer = client.request(method, fill(path))
            code = answer.json()["error"]["code"].upper() if path in app.state.error_formats else answer.json()["code"]
            assert (answer.status_code, code) == (405, "METHOD_NOT_ALLOWED"), f"{method} {path}"
            assert answer.headers["allow"] == ", ".join(expected)
