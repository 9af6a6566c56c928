"""Invocations of the built functions with every event in tests/events.

A function can import only its artifact, its layers and the standard library.
"""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from infra.runtime.functions import read_functions, short_name
from infra.runtime.results import Invocation
from infra.runtime.template import Resolver, read_template
from tests.artifacts.running import Fleet, list_events, read_event, running_fleet

pytestmark = pytest.mark.loopback

# Event name -> status of the HTTP response, and some fields of its body.
HTTP: dict[str, tuple[int, dict[str, object]]] = {
    "identity/me": (200, {"plan": "pro", "role": None}),
    "identity/jwks": (200, {}),
    "identity/refresh_made_up": (401, {"code": "TOKEN_INVALID"}),
    "identity/logout_of_a_key": (403, {"code": "FORBIDDEN"}),
    "chat/answer": (200, {"stop_reason": "end_turn", "degraded": False}),
    "chat/check_limits": (200, {"admitted": True, "binding": None}),
    "chat/empty_message": (422, {"code": "VALIDATION_FAILED"}),
    "chat/unknown_session": (404, {"code": "NOT_FOUND"}),
    "chat/forged_context": (404, {"code": "NOT_FOUND"}),
    "chat/runs": (200, {}),
    "chat/unknown_run": (404, {"code": "NOT_FOUND"}),
    "chat/cancel_unknown_run": (404, {"code": "NOT_FOUND"}),
    "sessions/list": (200, {}),
    "sessions/create": (201, {"title": "From an event", "metadata": {"origin": "tests/events"}}),
    "sessions/read": (200, {"id": "ses_01m6b5cjm0cnv6avkmec000005"}),
    "sessions/rename": (200, {"title": "Renamed"}),
    "sessions/messages": (200, {"next_cursor": None}),
    "sessions/other_tenant": (404, {"code": "NOT_FOUND"}),
    "sessions/made_up_cursor": (400, {"code": "INVALID_CURSOR"}),
    "identity/login_unknown": (401, {"code": "UNAUTHENTICATED"}),
    "identity/accept_made_up": (401, {"code": "INVITATION_INVALID"}),
    "identity/password_of_a_key": (403, {"code": "FORBIDDEN"}),
    "identity/unlock_unknown": (404, {"code": "NOT_FOUND"}),
    "admin/list_users": (200, {"next_cursor": None}),
    "admin/create_user": (201, {"email": "from-an-event@example.org", "status": "active", "invite_token": None}),
    "admin/list_keys": (200, {"next_cursor": None}),
    "admin/create_key": (201, {"name": "from an event", "scopes": ["chat"]}),
    "admin/list_agents": (200, {"next_cursor": None}),
    "admin/read_agent": (200, {"id": "agt_01m6b5cjm0cnv6avkmec000004", "is_default": True}),
    "admin/unknown_model": (422, {"code": "VALIDATION_FAILED"}),
    "platform/list_tenants": (200, {"next_cursor": None}),
    "platform/read_tenant": (200, {"name": "events", "plan": "pro", "status": "active"}),
    "platform/create_tenant": (201, {"name": "from-an-event", "plan": "free"}),
    "platform/replace_limits": (200, {"plan": "pro"}),
    "platform/rebuild_counters": (202, {"status": "queued"}),
    "platform/not_the_platform": (403, {"code": "SCOPE_REQUIRED"}),
    "tools/list": (200, {"next_cursor": None}),
    "usage/totals": (200, {}),
    "usage/limits": (200, {"plan": "pro"}),
    "console/health": (200, {}),
    "console/ready": (200, {}),
    "console/openapi": (200, {"openapi": "3.1.0"}),
}
PAGES = {"console/docs", "console/error_page"}
ALLOWED = {"authorizer/key", "authorizer/key_in_header", "authorizer/platform_key"}
UNAUTHORIZED = {"authorizer/none", "authorizer/mistyped_key", "authorizer/unsigned_token"}
OTHERS = {
    "chat/stream", "sweep/minute", "usage_stream/settled", "usage_stream/other_items", "drift/hour",
    "archive/five_minutes",
    "rebuild/asked_before", "jobs_worker/deleted_run", "jobs_worker/unreadable",
}  # fmt: skip


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with running_fleet() as running:
        yield running


def run(fleet: Fleet, name: str) -> Invocation:
    return fleet.invoke(name.partition("/")[0], json.dumps(read_event(name)).encode())


def succeed(fleet: Fleet, name: str) -> Invocation:
    result = run(fleet, name)
    assert (result.status, result.error) == ("succeeded", None)
    return result


def http_answer(result: Invocation) -> tuple[int, dict[str, str], bytes]:
    """Return the status, headers and body of a response from a streaming or buffered function."""
    if result.prelude is not None:
        return result.prelude.status, dict(result.prelude.headers), result.payload
    answer: Any = result.json()
    body = base64.b64decode(answer["body"]) if answer.get("isBase64Encoded") else answer["body"].encode()
    headers = {name: values[-1] for name, values in (answer.get("multiValueHeaders") or {}).items()}
    return answer["statusCode"], {name.lower(): value for name, value in {**headers, **answer["headers"]}.items()}, body


def test_the_jobs_worker_returns_only_unreadable_messages(fleet: Fleet) -> None:
    (record,) = read_event("jobs_worker/unreadable")["Records"]
    assert succeed(fleet, "jobs_worker/deleted_run").json() == {"batchItemFailures": []}
    failures = [{"itemIdentifier": record["messageId"]}]
    assert succeed(fleet, "jobs_worker/unreadable").json() == {"batchItemFailures": failures}


def test_every_event_is_run() -> None:
    assert set(list_events()) == HTTP.keys() | PAGES | ALLOWED | UNAUTHORIZED | OTHERS


def test_every_function_has_an_event() -> None:
    functions = {short_name(function) for function in read_functions(Resolver(read_template())).values()}
    assert {name.partition("/")[0] for name in list_events()} == functions


@pytest.mark.parametrize("name", HTTP)
def test_call_has_its_answer(fleet: Fleet, name: str) -> None:
    expected_status, expected = HTTP[name]
    status, headers, body = http_answer(succeed(fleet, name))
    assert status == expected_status, body
    answer = json.loads(body)
    assert {field: answer[field] for field in expected} == expected
    media = "application/problem+json" if status >= 400 else "application/json"
    assert headers["content-type"].startswith(media)
    assert headers["x-request-id"] == read_event(name)["requestContext"]["requestId"]


@pytest.mark.parametrize("name", sorted(PAGES))
def test_page_is_html(fleet: Fleet, name: str) -> None:
    status, headers, body = http_answer(succeed(fleet, name))
    assert (status, headers["content-type"].partition(";")[0]) == (200, "text/html")
    assert b"<html" in body


@pytest.mark.parametrize("name", sorted(ALLOWED))
def test_credential_is_allowed_with_a_flat_context(fleet: Fleet, name: str) -> None:
    answer: Any = succeed(fleet, name).json()
    assert {statement["Effect"] for statement in answer["policyDocument"]["Statement"]} == {"Allow"}
    context = answer["context"]
    assert context["principal_type"] == ("platform" if name.endswith("platform_key") else "key")
    assert all(isinstance(value, str | int | bool) for value in context.values())
    assert "atr_dev_" not in json.dumps(answer)


@pytest.mark.parametrize("name", sorted(UNAUTHORIZED))
def test_bad_credential_is_unauthorized(fleet: Fleet, name: str) -> None:
    error = run(fleet, name).error
    assert error is not None
    assert error.message == "Unauthorized"


def test_stream_begins_with_start_uses_the_tool_and_ends_with_final(fleet: Fleet) -> None:
    status, headers, body = http_answer(succeed(fleet, "chat/stream"))
    assert (status, headers["content-type"].partition(";")[0]) == (200, "text/event-stream")
    kinds = [line.removeprefix("event: ") for line in body.decode().splitlines() if line.startswith("event: ")]
    assert kinds[0] == "start"
    assert {"tool_call", "tool_result", "text"} <= set(kinds)
    assert kinds[-2:] == ["usage", "final"]
    ids = [int(line.removeprefix("id: ")) for line in body.decode().splitlines() if line.startswith("id: ")]
    assert ids == list(range(1, len(kinds) + 1))
    assert "84" in body.decode()


def test_sweeper_counts_what_it_found(fleet: Fleet) -> None:
    runs = {"looked_at": 0, "closed": 0, "returned": 0, "failed": 0}
    deletions = {"deletions_finished": 0, "deletions_left": 0, "deletions_waiting": 0, "deletions_failed": 0}
    sessions = {"sessions_removed": 0, "sessions_expired": 0, "sessions_failed": 0}
    assert succeed(fleet, "sweep/minute").json() == runs | sessions | deletions


@pytest.mark.parametrize("name", ["usage_stream/settled", "usage_stream/other_items"])
def test_stream_batch_is_counted(fleet: Fleet, name: str) -> None:
    assert succeed(fleet, name).json() == {"batchItemFailures": []}


def test_drift_continues_the_days_comparison(fleet: Fleet) -> None:
    answer: Any = succeed(fleet, "drift/hour").json()
    assert answer["failed"] == 0


def test_idle_sessions_are_archived(fleet: Fleet) -> None:
    answer: Any = succeed(fleet, "archive/five_minutes").json()
    assert answer["failed"] == 0


def test_a_cancelled_rebuild_is_skipped(fleet: Fleet) -> None:
    assert succeed(fleet, "rebuild/asked_before").json() == {"rebuilt": 0}
