"""Successful calls of the policy routes: create, read, change, delete and evaluate. Policies also apply to chat."""

import pytest

from tests.builders.api_env import ApiEnv, assert_problem, say, stream
from tests.builders.gateway import KEY_ID, OTHER_TENANT_ID, tenant_fields

pytestmark = pytest.mark.loopback

DENY = {
    "name": "no large model at night",
    "effect": "deny",
    "principals": ["*"],
    "actions": ["execute"],
    "resources": ["model:claude-opus-*"],
}


def versioned(number: int) -> dict[str, str | int | bool]:
    """Return the context of a key with the configuration version `number`."""
    return dict(tenant_fields(config_version=number))


def test_a_policy_from_its_creation_to_its_end(api_env: ApiEnv) -> None:
    client = api_env.admin_as()
    conditions = {"time": {"hours": {"from": "22:00", "to": "06:00"}, "zone": "Europe/Berlin"}, "amount": {"min": "1"}}
    made = client.post("/v1/policies", json={**DENY, "conditions": conditions, "priority": 5, "description": "d"})
    assert made.status_code == 201, made.text
    policy = made.json()
    assert policy.pop("warnings") == []
    assert made.headers["location"] == f"/v1/policies/{policy['id']}"
    assert policy == {
        **DENY, "id": policy["id"], "conditions": conditions, "priority": 5, "description": "d",
        "created_at": policy["created_at"], "updated_at": policy["created_at"],
    }  # fmt: skip
    path = f"/v1/policies/{policy['id']}"
    assert client.get(path).json() == policy
    assert client.get("/v1/policies").json() == {"data": [policy], "next_cursor": None}
    changed = client.patch(path, json={"effect": "allow", "conditions": {}}).json()
    assert changed.pop("warnings") == []
    assert changed == {**policy, "effect": "allow", "conditions": {}, "updated_at": changed["updated_at"]}
    assert changed["updated_at"] > policy["updated_at"]
    assert client.patch(path, json={}).json()["name"] == policy["name"]
    assert client.delete(path).status_code == 204
    assert_problem(client.get(path), 404, "NOT_FOUND")
    assert client.get("/v1/policies").json()["data"] == []


def test_pages_and_a_repeated_creation(api_env: ApiEnv) -> None:
    client = api_env.admin_as()
    first = client.post("/v1/policies", json=DENY, headers={"Idempotency-Key": "k"})
    again = client.post("/v1/policies", json=DENY, headers={"Idempotency-Key": "k"})
    assert again.headers["idempotency-replayed"] == "true"
    assert first.json() == again.json()
    second = client.post("/v1/policies", json={**DENY, "name": "b"}).json()
    page = client.get("/v1/policies?limit=1").json()
    rest = client.get("/v1/policies", params={"cursor": page["next_cursor"]}).json()
    assert [policy["id"] for policy in page["data"] + rest["data"]] == [first.json()["id"], second["id"]]
    assert rest["next_cursor"] is None


def test_a_question_is_answered_by_the_policies_as_they_are(api_env: ApiEnv) -> None:
    client = api_env.admin_as()

    def ask(**question: object) -> dict[str, object]:
        answer = client.post("/v1/policies/evaluate", json=question)
        assert answer.status_code == 200, answer.text
        found: dict[str, object] = answer.json()
        return found

    opus = {"principal": "role:user", "action": "execute", "resource": "model:claude-opus-5-5"}
    assert ask(**opus) == {
        "allowed": False,
        "reason": "no policy allows execute on model:claude-opus-5-5",
        "matched": [],
    }
    chat = {"principal": "scope:chat", "resource": "model:claude-opus-5-5"}
    assert ask(**chat)["matched"] == ["builtin:chat"]
    hours = {"time": {"hours": {"from": "22:00", "to": "06:00"}}, "ip": {"none_of": ["203.0.113.0/24"]}}
    policy = client.post("/v1/policies", json={**DENY, "conditions": hours}).json()
    night = {"time": "2026-11-24T23:00:00Z", "ip": "198.51.100.1", "plan": "pro", "amount": "1.5"}
    assert ask(**chat, context=night) == {
        "allowed": False,
        "reason": "the policy “no large model at night” denies it",
        "matched": [policy["id"], "builtin:chat"],
    }
    assert ask(**chat, context={**night, "time": "2026-11-24T12:00:00Z"})["allowed"] is True
    assert ask(**chat, context={**night, "ip": "203.0.113.9"})["allowed"] is True
    assert ask(**chat, context={"time": night["time"]})["allowed"] is False  # without an IP address
    assert api_env.events("policy.deny") == []


def test_a_chat_with_a_denied_model_is_403_audited_and_leaves_nothing(api_env: ApiEnv) -> None:
    admin = api_env.admin_as()
    client = api_env.chat_as(tenant_fields())
    session = say(client, "Hi").json()["session_id"]
    made = admin.post("/v1/policies", json={**DENY, "resources": ["model:claude-haiku-*"]}).json()
    before = api_env.tenant_env.items()
    denied = api_env.chat_as(versioned(api_env.version()))
    problem = assert_problem(say(denied, "Hi", session_id=session), 403, "POLICY_DENIED")
    assert made["name"] not in problem["detail"]
    assert api_env.tenant_env.items() == before
    assert len(api_env.sent_bodies()) == 1
    [event] = api_env.events("policy.deny")
    assert (event.session_id, event.origin.principal) == (session, f"key:{KEY_ID}")
    assert str(event.details["resource"]).startswith("model:claude-haiku-")
    other = api_env.chat_as(tenant_fields(tenant_id=OTHER_TENANT_ID))
    assert say(other, "Hi").status_code == 200
    admin.delete(f"/v1/policies/{made['id']}")
    assert say(api_env.chat_as(versioned(api_env.version())), "Hi", session_id=session).status_code == 200


def test_a_model_beyond_the_plan_is_in_the_audit(api_env: ApiEnv) -> None:
    client = api_env.chat_as(tenant_fields(plan="free"))
    assert_problem(say(client, "Hi", model="claude-opus-5-5", end_user="ann"), 403, "MODEL_NOT_ALLOWED")
    [event] = api_env.events("model.refuse")
    assert (event.end_user, event.details["model"]) == ("ann", "claude-opus-5-5")


def test_reports_a_denied_tool_to_the_model(api_env: ApiEnv) -> None:
    admin = api_env.admin_as()
    message = '[[tool=calculator {"expression": "6*7"}]]'
    assert admin.post("/v1/policies", json={**DENY, "resources": ["tool:calculator"]}).status_code == 201
    events = stream(api_env.chat_as(versioned(api_env.version())), message)
    [result] = [event.data for event in events if event.event == "tool_result"]
    assert result["is_error"] is True
    assert result["result"] == (
        "The tenant's policies do not allow the tool calculator: the permission `execute` is missing."
    )
    assert events[-1].event == "final"
    [event] = api_env.events("policy.deny")
    assert event.details["resource"] == "tool:calculator"
    assert event.session_id == events[0].data["session_id"]
    assert api_env.events("tool.call") == []
