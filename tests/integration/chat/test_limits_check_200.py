"""`POST /v1/limits/check` says what the chat call then does, and changes nothing at all."""

from typing import Any

import httpx2
import pytest
from atrium.kernel.ids import KeyId
from atrium.quotas.model import LimitName
from atrium.storage import keys
from atrium.storage.writes import EXISTS, Update

from tests.builders.counters import counted
from tests.builders.gateway import platform_fields, tenant_fields
from tests.builders.house import OWNER
from tests.builders.stage import OTHER_TENANT, OWN, Stage, assert_problem, read_events, say

pytestmark = pytest.mark.loopback


def limit(stage: Stage, **limits: int) -> None:
    stage.house.table().write(Update(keys.tenant(), "SET #limits = :limits", EXISTS, {"limits": limits}))


def check(client: httpx2.Client, message: str = "Hi", **body: Any) -> dict[str, Any]:
    answer = client.post("/v1/limits/check", json={"message": message, **body})
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    assert set(told) == {
        "admitted", "reserve", "binding", "scope", "used", "max", "retry_after_seconds", "resets_at"
    }  # fmt: skip
    return told


def agree(stage: Stage, client: httpx2.Client, **body: Any) -> bool:
    """Assert that the check and the chat call after it say the same, and return whether it was admitted."""
    before = stage.house.items()
    told = check(client, **body)
    assert stage.house.items() == before
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
def test_it_agrees_with_the_chat_call_at_each_count(stage: Stage, name: LimitName, plan: str) -> None:
    stage.house.configure(plan=plan)
    limit(stage, **{name: 2})
    client = stage.chat_as({**OWN, "plan": plan})
    assert [agree(stage, client) for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize("name", ["tokens_per_minute", "tokens_per_month", "cost_per_month"])
def test_it_agrees_where_tokens_and_money_run_out(stage: Stage, name: LimitName) -> None:
    stage.house.configure(plan="free")
    limit(stage, **{name: 9_000_000 if name == "cost_per_month" else 9_000})
    client = stage.chat_as({**OWN, "plan": "free"})
    assert agree(stage, client)
    limit(stage, **{name: counted(stage.house, name) + 40})
    assert not agree(stage, client)


@pytest.mark.parametrize("name", ["requests_per_day", "sessions_per_day"])
def test_days_free_when_they_end_and_not_before(stage: Stage, name: LimitName) -> None:
    stage.house.configure(plan="free")
    client = stage.chat_as({**OWN, "plan": "free"})
    assert say(client, "Hi").status_code == 200
    limit(stage, **{name: 1})
    assert not agree(stage, client)
    wait = check(client)["retry_after_seconds"]
    stage.house.clock.turn(wait - 30)
    assert not agree(stage, client)
    stage.house.clock.turn(31)
    assert agree(stage, client)


def test_it_agrees_about_a_session_that_is_full(stage: Stage) -> None:
    limit(stage, messages_per_session=2)
    client = stage.chat_as()
    session_id = say(client, "One").json()["session_id"]
    assert [agree(stage, client, session_id=session_id) for _ in range(2)] == [True, False]


def test_it_agrees_about_slots(stage: Stage) -> None:
    limit(stage, concurrent_turns=1)
    client = stage.chat_as()
    with client.stream("POST", "/v1/chat/stream", json={"message": "[[slow=0.2]] [[pieces=12]] Hi"}) as running:
        events = read_events(running)
        next(events)
        told = check(stage.chat_as())
        assert (told["admitted"], told["binding"], told["used"], told["max"]) == (False, "concurrent_turns", 1, 1)
        assert told["retry_after_seconds"] >= 1
        list(events)
    assert agree(stage, client)


def test_it_agrees_about_a_keys_own_limit(stage: Stage) -> None:
    limits = {"limits": {"requests_per_day": 1}}
    stage.house.table().write(Update(keys.api_key(KeyId(OWNER)), "SET #limits = :limits", "", limits))
    client = stage.chat_as()
    assert [agree(stage, client) for _ in range(2)] == [True, False]
    assert check(client)["scope"] == "key"


def test_the_hold_is_an_upper_bound_and_as_short_as_asked_for(stage: Stage) -> None:
    client = stage.chat_as()
    long = check(client)["reserve"]
    short = check(client, limits={"max_tokens": 2_000})["reserve"]
    assert long["tokens"] > 4_096 > 2_000 >= short["tokens"]
    usage = say(client, "Hi").json()["usage"]
    assert long["tokens"] >= usage["input_tokens"] + usage["output_tokens"]
    assert float(long["cost_usd"]) >= float(usage["cost_usd"]) > 0


def test_a_refused_check_is_in_nobodys_audit(stage: Stage) -> None:
    limit(stage, requests_per_day=0)
    before = stage.house.items()
    assert not check(stage.chat_as())["admitted"]
    assert stage.house.items() == before
    assert stage.sent_bodies() == []


def test_nobodys_limits_are_anothers(stage: Stage) -> None:
    limit(stage, requests_per_day=0)
    assert check(stage.chat_as(OTHER_TENANT))["admitted"]
    session_id = say(stage.chat_as(OTHER_TENANT), "Hi").json()["session_id"]
    refused = stage.chat_as().post("/v1/limits/check", json={"message": "Hi", "session_id": session_id})
    assert_problem(refused, 404, "NOT_FOUND")


def test_what_is_no_limit_refuses_as_the_chat_would(stage: Stage) -> None:
    path, hi = "/v1/limits/check", {"message": "Hi"}
    assert_problem(stage.chat_as(None).post(path, json=hi), 401, "UNAUTHENTICATED")
    assert_problem(stage.chat_as(platform_fields()).post(path, json=hi), 400, "TENANT_REQUIRED")
    free = stage.chat_as({**OWN, "plan": "free"})
    before = stage.house.items()
    assert_problem(free.post(path, json={**hi, "model": "claude-opus-5-5"}), 403, "MODEL_NOT_ALLOWED")
    assert stage.house.items() == before
    for body in ({}, {"message": ""}, {**hi, "model": "gpt-4"}, {**hi, "unknown": 1}, {**hi, "limits": {"x": 1}}):
        assert_problem(stage.chat_as().post(path, json=body), 422, "VALIDATION_FAILED")
    reader = stage.chat_as(tenant_fields(scopes="sessions:read"))
    assert check(reader)["admitted"]
