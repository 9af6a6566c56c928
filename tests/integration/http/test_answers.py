"""Headers of every response (request id, caching, CORS), and the access log."""

import json

import pytest
from starlette.testclient import TestClient

from tests.builders.gateway import KEY_ID, REQUEST_ID, TENANT_ID, Fields, call_as, tenant_fields
from tests.builders.runtimes import build_runtime
from tests.builders.things import build_things

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
ORIGIN = "https://app.example.org"
PREFLIGHT = {"origin": ORIGIN, "access-control-request-method": "POST"}


def client_with(fields: Fields | None = None, **environment: str) -> TestClient:
    app, _ = build_things(build_runtime(environment))
    return call_as(app, fields or tenant_fields())


@pytest.mark.parametrize("path", ["/v1/things", "/v1/nothing", "/v1/things?limit=x"])
def test_request_id_is_the_gateways(path: str) -> None:
    response = client_with().get(path, headers={"x-request-id": "the client's own"})
    assert response.headers["x-request-id"] == REQUEST_ID


@pytest.mark.parametrize("path", ["/v1/things", "/v1/nothing", "/v1/things?limit=x"])
@pytest.mark.parametrize(
    ("public_url", "header"),
    [("https://api.example.com", "max-age=31536000"), ("http://127.0.0.1:8080", None), ("", None)],
)
def test_sends_hsts_under_https(path: str, public_url: str, header: str | None) -> None:
    response = client_with(PUBLIC_URL=public_url).get(path)
    assert response.headers.get("strict-transport-security") == header


def test_creates_a_request_id_without_a_gateway() -> None:
    app, _ = build_things(build_runtime())
    bare = TestClient(app)
    first, second = (bare.get("/v1/page").headers["x-request-id"] for _ in range(2))
    assert first != second
    assert len(first) == 36


def test_trace_parent_is_echoed_and_logged(capsys: pytest.CaptureFixture[str]) -> None:
    response = client_with().get("/v1/page", headers={"traceparent": TRACE})
    assert response.headers["traceparent"] == TRACE
    assert json.loads(capsys.readouterr().out)["trace_id"] == TRACE.split("-")[1]


@pytest.mark.parametrize(
    "trace", ["x", TRACE.upper(), TRACE + "-1", "00-" + "0" * 32 + "-00f067aa0ba902b7-01", "ff" + TRACE[2:]]
)
def test_drops_an_invalid_trace_parent(trace: str, capsys: pytest.CaptureFixture[str]) -> None:
    response = client_with().get("/v1/page", headers={"traceparent": trace})
    assert "traceparent" not in response.headers
    assert "trace_id" not in json.loads(capsys.readouterr().out)


def test_answers_are_not_stored_unless_they_say_so() -> None:
    client = client_with()
    assert client.get("/v1/things").headers["cache-control"] == "no-store"
    assert client.get("/v1/nothing").headers["cache-control"] == "no-store"
    assert client.get("/v1/page").headers["cache-control"] == "public, max-age=60"


def test_any_origin() -> None:
    headers = client_with(CORS_ORIGINS="*").get("/v1/things", headers={"origin": ORIGIN}).headers
    assert headers["access-control-allow-origin"] == "*"
    assert headers["access-control-expose-headers"] == (
        "x-request-id, location, retry-after, ratelimit, ratelimit-policy, idempotency-replayed"
    )


@pytest.mark.parametrize(("origin", "allowed"), [(ORIGIN, ORIGIN), ("https://evil.example", None), (None, None)])
def test_named_origins(origin: str | None, allowed: str | None) -> None:
    client = client_with(CORS_ORIGINS=f"https://other.example.org,{ORIGIN}")
    headers = client.get("/v1/nothing", headers={"origin": origin} if origin else {}).headers
    assert headers.get("access-control-allow-origin") == allowed
    assert headers["vary"] == "Origin"


def test_a_preflight_that_arrives_is_answered() -> None:
    app, _ = build_things(build_runtime({"CORS_ORIGINS": ORIGIN}))
    response = call_as(app, None).options("/v1/things", headers=PREFLIGHT)
    assert (response.status_code, response.content) == (204, b"")
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert response.headers["access-control-allow-methods"] == "GET, POST, PUT, PATCH, DELETE, OPTIONS"
    assert response.headers["access-control-allow-headers"] == (
        "authorization, x-api-key, x-tenant-id, content-type, idempotency-key, last-event-id, traceparent, "
        "anthropic-version"
    )


def test_a_preflight_of_another_origin_allows_none() -> None:
    response = client_with(CORS_ORIGINS="https://other.example.org").options("/v1/things", headers=PREFLIGHT)
    assert "access-control-allow-origin" not in response.headers


def test_one_access_line_with_the_ids_and_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    body = {"name": "hush-hush-name", "metadata": {"x": "hush-hush"}}
    client_with().post("/v1/things?", json=body, headers={"authorization": "Bearer hush-hush"})
    lines = capsys.readouterr().out.splitlines()
    line = json.loads(lines[0])
    assert len(lines) == 1
    assert "hush" not in lines[0]
    assert line["duration_ms"] >= 0
    expected = {
        "message": "access",
        "method": "POST",
        "path": "/v1/things",
        "route": "/v1/things",
        "status": 201,
        "request_id": REQUEST_ID,
        "tenant_id": TENANT_ID,
        "principal_id": KEY_ID,
    }
    assert expected.items() <= line.items()


def test_log_lines_have_only_their_own_calls_ids(capsys: pytest.CaptureFixture[str]) -> None:
    app, _ = build_things(build_runtime())
    call_as(app, tenant_fields()).get("/v1/things")
    call_as(app, None).get("/v1/page")
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert "tenant_id" not in last


def test_a_refused_body_is_logged_under_its_tenant(capsys: pytest.CaptureFixture[str]) -> None:
    client_with().post("/v1/things", content=b"{", headers={"content-type": "application/json"})
    assert json.loads(capsys.readouterr().out)["tenant_id"] == TENANT_ID
