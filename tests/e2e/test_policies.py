"""A policy denies calls on the running product until the policy is deleted. Denied calls are audited."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx

from tests.e2e.conftest import Stack
from tests.e2e.limited import Limited, made_tenant

DENIED = (403, "POLICY_DENIED")


def new_key(stack: Stack, tenant: Limited) -> httpx.Client:
    made = tenant.http.post("/v1/keys", json={"name": f"key {uuid4().hex[:8]}"})
    assert made.status_code == 201, made.text
    return httpx.Client(base_url=stack.base_url, headers={"x-api-key": made.json()["key"]}, timeout=300)


def deny(tenant: Limited, *resources: str) -> str:
    body = {"name": "no", "effect": "deny", "principals": ["*"], "actions": ["execute"], "resources": list(resources)}
    made = tenant.http.post("/v1/policies", json=body)
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


def told(tenant: Limited, kind: str) -> list[dict[str, Any]]:
    since = (datetime.now(UTC) - timedelta(minutes=5)).isoformat()
    answer = tenant.http.get("/v1/audit", params={"type": kind, "from": since, "limit": "100"})
    assert answer.status_code == 200, answer.text
    data: list[dict[str, Any]] = answer.json()["data"]
    return data


def test_denies_and_audits_a_route_until_the_policy_is_deleted(stack: Stack) -> None:
    with made_tenant(stack) as tenant:
        policy_id = deny(tenant, "route:GET /v1/sessions")
        with new_key(stack, tenant) as http:
            for _ in range(5):
                answer = http.get("/v1/sessions")
                assert (answer.status_code, answer.json()["code"]) == DENIED, answer.text
            assert http.get("/v1/runs").status_code == 200
        events = told(tenant, "policy.deny")
        assert 1 <= len(events) <= 2  # recorded once a minute per container
        assert events[0]["details"]["resource"] == "route:GET /v1/sessions"
        assert policy_id in events[0]["details"]["matched"]
        assert events[0]["principal"].startswith("key:")
        assert tenant.http.delete(f"/v1/policies/{policy_id}").status_code == 204
        with new_key(stack, tenant) as http:
            assert http.get("/v1/sessions").status_code == 200


def test_a_model_is_denied_by_policy_and_by_plan(stack: Stack) -> None:
    with made_tenant(stack) as tenant:
        policy_id = deny(tenant, "model:claude-haiku-*")
        with new_key(stack, tenant) as http:
            answer = http.post("/v1/chat", json={"message": "hi"})
            assert (answer.status_code, answer.json()["code"]) == DENIED, answer.text
        assert told(tenant, "policy.deny")[0]["details"]["resource"].startswith("model:claude-haiku-")
        answer = tenant.say(model="claude-opus-5-5")
        assert (answer.status_code, answer.json()["code"]) == (403, "MODEL_NOT_ALLOWED")
        assert told(tenant, "model.refuse")[0]["details"]["model"] == "claude-opus-5-5"
        assert tenant.used("requests_per_day") == 0
        assert tenant.http.delete(f"/v1/policies/{policy_id}").status_code == 204
        with new_key(stack, tenant) as http:
            assert http.post("/v1/chat", json={"message": "hi"}).status_code == 200


def test_denies_a_tool_and_the_model_continues(stack: Stack) -> None:
    with made_tenant(stack) as tenant:
        deny(tenant, "tool:*")
        with new_key(stack, tenant) as http:
            answer = http.post(
                "/v1/chat", json={"message": "[[tools_forever]] Go on.", "limits": {"max_iterations": 3}}
            )
            assert answer.status_code == 200, answer.text
        events = told(tenant, "policy.deny")
        assert events
        assert all(event["details"]["resource"].startswith("tool:") for event in events)
        assert events[0]["session_id"] == answer.json()["session_id"]
