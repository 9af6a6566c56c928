"""`POST /v1/limits/check` predicts the result of the chat call and does not change any counter."""

from typing import Any

import httpx2
import pytest
from atrium.kernel.ids import KeyId
from atrium.quotas.model import LimitName
from atrium.storage import keys
from atrium.storage.writes import EXISTS, Update

from tests.builders.api_env import OTHER_TENANT, OWN, ApiEnv, assert_problem, read_events, say
from tests.builders.counters import counted
from tests.builders.gateway import platform_fields, tenant_fields
from tests.builders.tenant_env import OWNER

pytestmark = pytest.mark.loopback


def limit(api_env: ApiEnv, **limits: int) -> None:
    api_env.tenant_env.table().write(Update(keys.tenant(), "SET #limits = :limits", EXISTS, {"limits": limits}))


def check(client: httpx2.Client, message: str = "Hi", **body: Any) -> dict[str, Any]:
    answer = client.post("/v1/limits/check", json={"message": message, **body})
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    assert set(told) == {
        "admitted", "model", "reserve", "binding", "scope", "used", "max", "retry_after_seconds", "resets_at"
    }  # fmt: skip
    return told


def agree(api_env: ApiEnv, client: httpx2.Client, **body: Any) -> bool:
    """Assert that the dry run predicts the result of the next chat call. Return whether the call was admitted."""
    before = api_env.tenant_env.items()
    told = check(client, **body)
    assert api_env.tenant_env.items() == before
    answer = say(client, "Hi", **body)
    assert told["admitted"] == (answer.status_code == 200), (told, answer.text)
    if answer.status_code == 429:
        refused = answer.json()
        assert (told["binding"], told["scope"]) == (refused["limit"], refused["scope"])
        assert (told["used"], told["max"]) == (refused["used"], refused["max"])
        assert told["resets_at"] == refused["resets_at"]
        assert (told["retry_after_seconds"] is None) == ("retry-after" not in answer.headers)
    else:
        assert (told["binding"], told["retry_after_seconds"], told["resets_at"]) == (None, None, None)
    return bool(told["admitted"])


@pytest.mark.parametrize(
    ("name", "plan"), [("requests_per_minute", "free"), ("requests_per_day", "pro"), ("sessions_per_day", "pro")]
)
def test_agrees_for_each_count_limit(api_env: ApiEnv, name: LimitName, plan: str) -> None:
    api_env.tenant_env.configure(plan=plan)
    limit(api_env, **{name: 2})
    client = api_env.chat_as({**OWN, "plan": plan})
    assert [agree(api_env, client) for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize("name", ["tokens_per_minute", "tokens_per_month", "cost_per_month"])
def test_agrees_for_tokens_and_money(api_env: ApiEnv, name: LimitName) -> None:
    api_env.tenant_env.configure(plan="free")
    limit(api_env, **{name: 9_000_000 if name == "cost_per_month" else 9_000})
    client = api_env.chat_as({**OWN, "plan": "free"})
    assert agree(api_env, client)
    limit(api_env, **{name: counted(api_env.tenant_env, name) + 40})
    assert not agree(api_env, client)


@pytest.mark.parametrize("name", ["requests_per_day", "sessions_per_day"])
def test_day_limits_reset_at_the_end_of_the_day(api_env: ApiEnv, name: LimitName) -> None:
    api_env.tenant_env.configure(plan="free")
    client = api_env.chat_as({**OWN, "plan": "free"})
    assert say(client, "Hi").status_code == 200
    limit(api_env, **{name: 1})
    assert not agree(api_env, client)
    wait = check(client)["retry_after_seconds"]
    api_env.tenant_env.clock.advance(wait - 30)
    assert not agree(api_env, client)
    api_env.tenant_env.clock.advance(31)
    assert agree(api_env, client)


def test_agrees_for_a_full_session(api_env: ApiEnv) -> None:
    limit(api_env, messages_per_session=2)
    client = api_env.chat_as()
    session_id = say(client, "One").json()["session_id"]
    assert [agree(api_env, client, session_id=session_id) for _ in range(2)] == [True, False]


def test_agrees_for_slots(api_env: ApiEnv) -> None:
    limit(api_env, concurrent_turns=1)
    client = api_env.chat_as()
    with client.stream("POST", "/v1/chat/stream", json={"message": "[[slow=0.2]] [[pieces=25]] Hi"}) as running:
        events = read_events(running)
        next(events)
        told = check(api_env.chat_as())
        assert (told["admitted"], told["binding"], told["used"], told["max"]) == (False, "concurrent_turns", 1, 1)
        assert told["retry_after_seconds"] >= 1
        list(events)
    assert agree(api_env, client)


def test_agrees_for_a_keys_own_limit(api_env: ApiEnv) -> None:
    limits = {"limits": {"requests_per_day": 1}}
    api_env.tenant_env.table().write(Update(keys.api_key(KeyId(OWNER)), "SET #limits = :limits", "", limits))
    client = api_env.chat_as()
    assert [agree(api_env, client) for _ in range(2)] == [True, False]
    assert check(client)["scope"] == "key"


def test_the_reservation_is_an_upper_bound(api_env: ApiEnv) -> None:
    client = api_env.chat_as()
    long = check(client)["reserve"]
    short = check(client, limits={"max_tokens": 2_000})["reserve"]
    assert long["tokens"] > 4_096 > 2_000 >= short["tokens"]
    usage = say(client, "Hi").json()["usage"]
    assert long["tokens"] >= usage["input_tokens"] + usage["output_tokens"]
    assert float(long["cost_usd"]) >= float(usage["cost_usd"]) > 0


def test_does_not_audit_a_rejected_dry_run(api_env: ApiEnv) -> None:
    limit(api_env, requests_per_day=0)
    before = api_env.tenant_env.items()
    assert not check(api_env.chat_as())["admitted"]
    assert api_env.tenant_env.items() == before
    assert api_env.sent_bodies() == []


def test_limits_of_callers_are_separate(api_env: ApiEnv) -> None:
    limit(api_env, requests_per_day=0)
    assert check(api_env.chat_as(OTHER_TENANT))["admitted"]
    session_id = say(api_env.chat_as(OTHER_TENANT), "Hi").json()["session_id"]
    refused = api_env.chat_as().post("/v1/limits/check", json={"message": "Hi", "session_id": session_id})
    assert_problem(refused, 404, "NOT_FOUND")


def test_rejects_other_errors_like_chat(api_env: ApiEnv) -> None:
    path, hi = "/v1/limits/check", {"message": "Hi"}
    assert_problem(api_env.chat_as(None).post(path, json=hi), 401, "UNAUTHENTICATED")
    assert_problem(api_env.chat_as(platform_fields()).post(path, json=hi), 400, "TENANT_REQUIRED")
    free = api_env.chat_as({**OWN, "plan": "free"})
    before = api_env.tenant_env.items()
    assert_problem(free.post(path, json={**hi, "model": "claude-opus-5-5"}), 403, "MODEL_NOT_ALLOWED")
    assert api_env.tenant_env.items() == before
    for body in ({}, {"message": ""}, {**hi, "model": "gpt-4"}, {**hi, "unknown": 1}, {**hi, "limits": {"x": 1}}):
        assert_problem(api_env.chat_as().post(path, json=body), 422, "VALIDATION_FAILED")
    reader = api_env.chat_as(tenant_fields(scopes="sessions:read"))
    assert check(reader)["admitted"]
