"""`/v1/routing-rules`: rules are created, returned, listed, changed, audited and deleted."""

from typing import Any

import pytest

from tests.builders.api_env import ADMIN, ApiEnv

pytestmark = pytest.mark.loopback

WHEN = {
    "complexity": "high",
    "needs_code": False,
    "prompt_tokens_min": 10,
    "prompt_tokens_max": 20_000,
    "plans": ["pro", "enterprise"],
    "hours": {"from": "08:00", "to": "24:00", "time_zone": "Europe/Berlin"},
    "weekdays": ["mon", "sat"],
}
MODELS = [{"model": "claude-opus-5-5", "weight": 3}, {"model": "claude-sonnet-5-5", "weight": None}]
RULE = {"name": "mathematics", "priority": 20, "when": WHEN, "models": MODELS, "status": "active"}


def create(api_env: ApiEnv, **fields: Any) -> dict[str, Any]:
    answer = api_env.tools_as().post("/v1/routing-rules", json={**RULE, **fields})
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"].endswith(f"/v1/routing-rules/{answer.json()['id']}")
    return dict(answer.json())


def test_creates_returns_changes_and_deletes_a_rule(api_env: ApiEnv) -> None:
    made, client = create(api_env), api_env.tools_as()
    path = f"/v1/routing-rules/{made['id']}"
    assert {name: made[name] for name in RULE} == RULE
    assert client.get(path).json() == made
    changed = client.patch(path, json={"when": {}, "status": "disabled"}).json()
    assert (changed["when"], changed["status"], changed["priority"]) == ({}, "disabled", 20)
    assert client.get(path).json() == changed
    assert client.delete(path).status_code == 204
    assert client.get(path).status_code == 404


def test_a_rule_needs_only_a_name_and_models(api_env: ApiEnv) -> None:
    body = {"name": "all", "models": [{"model": "claude-haiku-5-5"}]}
    made = api_env.tools_as().post("/v1/routing-rules", json=body).json()
    assert (made["priority"], made["when"], made["status"]) == (0, {}, "active")
    assert made["models"] == [{"model": "claude-haiku-5-5", "weight": None}]


def test_lists_the_tenants_rules_in_pages_oldest_first(api_env: ApiEnv) -> None:
    made = []
    for number in range(3):
        api_env.tenant_env.clock.advance(1)
        made.append(create(api_env, name=f"rule {number}"))
    client = api_env.tools_as()
    first = client.get("/v1/routing-rules", params={"limit": "2"}).json()
    rest = client.get("/v1/routing-rules", params={"limit": "2", "cursor": first["next_cursor"]}).json()
    assert first["data"] + rest["data"] == made
    assert rest["next_cursor"] is None


def test_every_change_is_audited_and_raises_the_version(api_env: ApiEnv) -> None:
    before = api_env.version()
    made = create(api_env)
    path, client = f"/v1/routing-rules/{made['id']}", api_env.tools_as(ADMIN)
    client.patch(path, json={"priority": 1})
    client.delete(path)
    assert api_env.version() == before + 3
    events = [event.details for event in api_env.events("admin.change")]
    assert [(each["action"], each["priority"]) for each in events] == [
        ("routing_rule.delete", 1), ("routing_rule.change", 1), ("routing_rule.create", 20)
    ]  # fmt: skip
    assert {each["resource"] for each in events} == {made["id"]}
