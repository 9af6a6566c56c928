"""Errors of invalid requests over HTTP: the status, the code, the common format, and the documentation page."""

from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Stack, Tenant

_MEMBERS = {"type", "title", "status", "detail", "code", "request_id", "retryable"}


def _check(answer: httpx.Response, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    problem = answer.json()
    assert set(problem) >= _MEMBERS
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["type"].endswith(f"/docs/errors/{code}")
    assert answer.headers["x-request-id"]


def _mistyped(key: str) -> str:
    last = "A" if key[-1] != "A" else "B"
    return key[:-1] + last


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer nonsense"},
        {"authorization": "Basic YTpi"},
        {"x-api-key": "atr_dev_tooshort"},
        {"authorization": "Bearer " + "a" * 9_000},
        {"authorization": "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJ1c3IifQ."},
    ],
)
@pytest.mark.parametrize("path", ["/v1/sessions", "/v1/runs"])
def test_bad_credentials(stack: Stack, headers: dict[str, str], path: str) -> None:
    answer = httpx.get(stack.base_url + path, headers=headers)
    _check(answer, 401, "UNAUTHENTICATED")
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_key_with_one_letter_changed(stack: Stack, pro: Tenant) -> None:
    answer = httpx.get(f"{stack.base_url}/v1/sessions", headers={"x-api-key": _mistyped(pro.api_key)})
    _check(answer, 401, "UNAUTHENTICATED")


def test_a_revoked_key(stack: Stack, pro: Tenant) -> None:
    made = pro.http.post("/v1/keys", json={"name": "short-lived"})
    assert made.status_code == 201, made.text
    assert pro.http.post(f"/v1/keys/{made.json()['id']}/revoke", json={}).status_code == 200
    answer = httpx.get(f"{stack.base_url}/v1/sessions", headers={"x-api-key": made.json()["key"]})
    _check(answer, 401, "UNAUTHENTICATED")


def test_a_key_without_the_scope(stack: Stack, pro: Tenant) -> None:
    made = pro.http.post("/v1/keys", json={"name": "reader", "scopes": ["sessions:read"]}).json()
    answer = httpx.post(f"{stack.base_url}/v1/chat", headers={"x-api-key": made["key"]}, json={"message": "hi"})
    _check(answer, 403, "SCOPE_REQUIRED")


@pytest.mark.parametrize("path", ["/v1/chat", "/v1/chat/stream"])
@pytest.mark.parametrize(
    ("content", "content_type", "status", "code"),
    [
        (b"{not json", "application/json", 400, "MALFORMED"),
        (b'{"message": "\xff\xfe"}', "application/json", 400, "MALFORMED"),
        (b'{"message": "hi"}', "text/plain", 415, "UNSUPPORTED_MEDIA_TYPE"),
        (b'{"message": "' + b"a" * 1_100_000 + b'"}', "application/json", 413, "PAYLOAD_TOO_LARGE"),
        (b'{"message": "hi", "surprise": 1}', "application/json", 422, "VALIDATION_FAILED"),
        (b'{"message": 7}', "application/json", 422, "VALIDATION_FAILED"),
        (b'{"message": ""}', "application/json", 422, "VALIDATION_FAILED"),
        (b'{"message": "' + b"a" * 100_001 + b'"}', "application/json", 422, "VALIDATION_FAILED"),
        (b"{}", "application/json", 422, "VALIDATION_FAILED"),
        (b'{"message": "hi", "model": "gpt-nothing"}', "application/json", 422, "VALIDATION_FAILED"),
    ],
)
def test_bad_bodies(pro: Tenant, path: str, content: bytes, content_type: str, status: int, code: str) -> None:
    answer = pro.http.post(path, content=content, headers={"content-type": content_type})
    _check(answer, status, code)


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"session_id": "ses_00000000000000000000000000"}, 404, "NOT_FOUND"),
        ({"session_id": "nothing"}, 404, "NOT_FOUND"),
        ({"agent_id": "agt_00000000000000000000000000"}, 404, "NOT_FOUND"),
        ({"provider": "openai"}, 422, "PROVIDER_UNSUPPORTED"),
    ],
)
def test_unknown_things(pro: Tenant, fields: dict[str, Any], status: int, code: str) -> None:
    sessions = pro.http.get("/v1/sessions?limit=1").json()["data"][:1]
    _check(pro.http.post("/v1/chat", json={"message": "hi", **fields}), status, code)
    assert pro.http.get("/v1/sessions?limit=1").json()["data"][:1] == sessions


@pytest.mark.parametrize("path", ["/v1/chat", "/v1/chat/stream", "/v1/limits/check"])
def test_a_header_beyond_ascii_changes_nothing(pro: Tenant, path: str) -> None:
    answer = pro.http.post(path, json={"message": ""}, headers={b"x-name": "Zo\u00eb".encode()})
    _check(answer, 422, "VALIDATION_FAILED")


def test_a_model_that_the_plan_does_not_allow(free: Tenant) -> None:
    answer = free.http.post("/v1/chat", json={"message": "hi", "model": "claude-opus-5-5"})
    _check(answer, 403, "MODEL_NOT_ALLOWED")


def test_a_made_up_cursor(pro: Tenant) -> None:
    _check(pro.http.get("/v1/sessions?cursor=abc"), 400, "INVALID_CURSOR")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/nothing"), ("GET", "/nothing"), ("PUT", "/v1/sessions"), ("GET", "/v1/chat"), ("DELETE", "/v1/runs")],
)
def test_unknown_paths_and_methods(pro: Tenant, method: str, path: str) -> None:
    _check(pro.http.request(method, path), 404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("directive", "status", "code"),
    [("[[status=500]]", 502, "MODEL_FAILED"), ("[[disconnect]]", 502, "MODEL_FAILED")],
)
def test_a_model_that_fails(pro: Tenant, directive: str, status: int, code: str) -> None:
    _check(pro.http.post("/v1/chat", json={"message": f"{directive} hi"}, timeout=300), status, code)


def test_a_model_that_hangs(pro: Tenant) -> None:
    body = {"message": "[[hang]] hi", "limits": {"max_seconds": 3}}
    _check(pro.http.post("/v1/chat", json=body, timeout=300), 504, "MODEL_TIMEOUT")


def test_a_model_that_fails_twice_is_asked_again(pro: Tenant) -> None:
    assert pro.chat("[[status=529]] [[times=2]] Try again.")["response"]


def test_a_platform_route_is_not_for_a_tenant(pro: Tenant) -> None:
    _check(pro.http.get("/v1/tenants"), 403, "SCOPE_REQUIRED")


def test_a_suspended_tenant(stack: Stack, pro: Tenant) -> None:
    del pro
    with httpx.Client(
        base_url=stack.base_url, headers={"x-api-key": stack.description["platform_api_key"]}, timeout=300
    ) as platform:
        body = {
            "name": "suspended-soon",
            "plan": "free",
            "admin": {"email": "a@b.example", "password": "correct horse"},
        }
        made = platform.post("/v1/tenants", json=body)
        assert made.status_code == 201, made.text
        tenant = made.json()
        key = {"x-api-key": tenant["api_key"]}
        assert platform.post(f"/v1/tenants/{tenant['id']}/suspend", json={"reason": "unpaid"}).status_code == 200
        _check(httpx.get(f"{stack.base_url}/v1/sessions", headers=key), 403, "TENANT_INACTIVE")
        assert platform.post(f"/v1/tenants/{tenant['id']}/activate", json={}).status_code == 200
        assert platform.delete(f"/v1/tenants/{tenant['id']}").status_code == 204


def test_every_code_has_its_page(stack: Stack) -> None:
    page = httpx.get(f"{stack.base_url}/docs/errors/SESSION_BUSY")
    assert page.status_code == 200
    assert "SESSION_BUSY" in page.text
