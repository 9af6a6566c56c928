"""Public resources: the OpenAPI document, its page, the health routes, HEAD requests, and preflight requests."""

import httpx

from infra.checks.routes import PUBLIC
from tests.e2e.conftest import Stack


def test_openapi_docs_and_health(stack: Stack) -> None:
    document = httpx.get(f"{stack.base_url}/v1/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    operations = [
        operation["operationId"]
        for path in document["paths"].values()
        for method, operation in path.items()
        if method in {"get", "post", "patch", "put", "delete"}
    ]
    assert len(operations) == len(set(operations)) >= 25
    assert httpx.get(f"{stack.base_url}/docs", follow_redirects=True).status_code == 200
    assert httpx.get(f"{stack.base_url}/v1/health").status_code == 200
    ready = httpx.get(f"{stack.base_url}/v1/health/ready")
    assert ready.status_code == 200, ready.text
    assert httpx.get(f"{stack.base_url}/.well-known/jwks.json").json()["keys"]


def test_head_passes_the_gateway_on_every_public_route(stack: Stack) -> None:
    for method, path in sorted(PUBLIC):
        if method != "HEAD":
            continue
        address = stack.base_url + path.replace("{provider}", "google").replace("{proxy+}", "errors/NOT_FOUND")
        head, got = httpx.head(address, timeout=300), httpx.get(address, timeout=30)
        assert (head.status_code, head.content) == (got.status_code, b""), path
    unknown = httpx.head(f"{stack.base_url}/v1/users", timeout=300)
    assert unknown.status_code == 404


def test_preflight(stack: Stack) -> None:
    for path in ("/v1/chat/stream", "/v1/sessions"):
        answer = httpx.options(
            stack.base_url + path,
            headers={
                "origin": "http://127.0.0.1:3000",
                "access-control-request-method": "POST",
                "access-control-request-headers": "authorization,content-type,idempotency-key",
            },
        )
        assert answer.status_code in {200, 204}, answer.text
        assert "idempotency-key" in answer.headers["access-control-allow-headers"].lower()
        assert answer.headers["access-control-allow-origin"]
