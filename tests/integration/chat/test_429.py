"""Limits of `/v1/chat`: the name, code and reset time in the error. Rejected calls are not counted."""

import re
from dataclasses import replace

import pytest
from atrium.kernel.ids import KeyId
from atrium.quotas.model import LimitName
from atrium.storage import keys
from atrium.storage.keys import Key
from atrium.storage.writes import EXISTS, Update
from atrium.tools.calculator import CALCULATOR
from atrium.tools.clock import CURRENT_TIME

from tests.builders.api_env import OTHER_TENANT, OWN, ApiEnv, assert_problem, read_events, say, stream
from tests.builders.counters import counted, held
from tests.builders.tenant_env import OWNER, TENANT

pytestmark = pytest.mark.loopback


def limit(api_env: ApiEnv, **limits: int) -> None:
    """Set the tenant's limits, in the format of the operator's route."""
    limit_at(api_env, keys.tenant(), **limits)


def limit_at(api_env: ApiEnv, place: Key, **limits: int) -> None:
    api_env.tenant_env.table().write(Update(place, "SET #limits = :limits", EXISTS, {"limits": limits}))


def used(api_env: ApiEnv, name: LimitName) -> int:
    return counted(api_env.tenant_env, name)


@pytest.mark.parametrize(
    ("name", "code", "wait"),
    [
        ("requests_per_minute", "RATE_LIMITED", (1, 62)),
        ("requests_per_day", "QUOTA_EXCEEDED", (43_100, 43_200)),
        ("sessions_per_day", "QUOTA_EXCEEDED", (43_100, 43_200)),
    ],
)
def test_rejects_calls_beyond_a_count(api_env: ApiEnv, name: LimitName, code: str, wait: tuple[int, int]) -> None:
    limit(api_env, **{name: 2})
    client = api_env.chat_as()
    answers = [say(client, "Hi") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    body = assert_problem(answers[2], 429, code)
    assert (body["limit"], body["scope"], body["used"], body["max"]) == (name, "tenant", 2, 2)
    assert body["resets_at"].endswith("Z")
    assert wait[0] <= int(answers[2].headers["retry-after"]) <= wait[1]
    assert f'"{name}";r=0' in answers[2].headers["ratelimit"]
    assert f'"{name}";q=2' in answers[2].headers["ratelimit-policy"]
    assert f'"{name}";r=1' in answers[0].headers["ratelimit"]
    assert (used(api_env, "requests_per_day"), len(api_env.sent_bodies())) == (2, 2)
    assert say(api_env.chat_as(OTHER_TENANT), "Hi").status_code == 200, "another tenant's limit is its own"


@pytest.mark.parametrize(("name", "maximum"), [("tokens_per_month", 100), ("cost_per_month", 100_000)])
def test_does_not_call_the_model_if_no_answer_fits(api_env: ApiEnv, name: str, maximum: int) -> None:
    limit(api_env, **{name: maximum})
    body = assert_problem(say(api_env.chat_as(), "Hi"), 429, "QUOTA_EXCEEDED")
    assert body["limit"] == name
    assert (api_env.sent_bodies(), used(api_env, "requests_per_day"), held(api_env.tenant_env)) == ([], 0, [])
    assert [item for item in api_env.tenant_env.items("SESSION#") if item["sk"]["S"] == "HEAD"] == []


def test_rejects_messages_beyond_the_session_limit(api_env: ApiEnv) -> None:
    limit(api_env, messages_per_session=2)
    client = api_env.chat_as()
    session_id = say(client, "One").json()["session_id"]
    assert say(client, "Two", session_id=session_id).status_code == 200
    refused = say(client, "Three", session_id=session_id)
    body = assert_problem(refused, 429, "QUOTA_EXCEEDED")
    assert (body["limit"], body["scope"], body["used"], body["max"], body["resets_at"]) == (
        "messages_per_session", "session", 2, 2, None,
    )  # fmt: skip
    assert (body["retryable"], "retry-after" in refused.headers) == (False, False)
    assert used(api_env, "requests_per_day") == 2
    assert say(client, "In another").status_code == 200


def test_rejects_turns_without_a_free_slot_and_does_not_count_them(api_env: ApiEnv) -> None:
    limit(api_env, concurrent_turns=1)
    client = api_env.chat_as()
    with client.stream("POST", "/v1/chat/stream", json={"message": "[[slow=0.2]] [[pieces=25]] Hi"}) as running:
        assert running.status_code == 200
        assert '"concurrent_turns"' in running.headers["ratelimit-policy"]
        events = read_events(running)
        next(events)
        for _ in range(3):
            body = assert_problem(say(api_env.chat_as(), "Me, too"), 429, "CONCURRENCY_LIMITED")
            assert (body["limit"], body["used"], body["max"]) == ("concurrent_turns", 1, 1)
        list(events)
    assert say(client, "Now").status_code == 200
    assert (used(api_env, "requests_per_day"), held(api_env.tenant_env)) == (2, [])


def test_endless_tool_calls_never_exceed_the_months_money(api_env: ApiEnv) -> None:
    limit(api_env, cost_per_month=1_000_000, tool_calls_per_minute=-1)
    fields = {"name": "tireless", "model": "claude-haiku-5-5", "tools": ["calculator"], "max_iterations": 100}
    agent = api_env.admin_as().post("/v1/agents", json=fields).json()
    body = say(api_env.chat_as(), "Go on. [[tools_forever]]", agent_id=agent["id"]).json()
    assert body["stop_reason"] == "quota_exceeded"
    entry = api_env.tenant_env.entry_of(body["run_id"])
    assert 0 < entry.cost_nanos <= 1_000_000
    assert body["iterations"] > 2
    assert used(api_env, "cost_per_month") == entry.cost_nanos
    assert used(api_env, "tokens_per_month") == entry.total_tokens == sum(
        each.prompt_tokens + each.output_tokens for each in api_env.reported_usage()
    )  # fmt: skip
    while (again := say(api_env.chat_as(), "Again", agent_id=agent["id"])).status_code == 200:
        assert used(api_env, "cost_per_month") <= 1_000_000
    assert assert_problem(again, 429, "QUOTA_EXCEEDED")["limit"] == "cost_per_month"
    assert used(api_env, "cost_per_month") <= 1_000_000


def test_shortens_an_answer_to_the_remaining_tokens(api_env: ApiEnv) -> None:
    limit(api_env, tokens_per_month=12_000)
    assert say(api_env.chat_as(), "Hi").status_code == 200
    sent = api_env.sent_bodies()[-1]["max_tokens"]
    assert 16 <= sent <= 4_096
    limit(api_env, tokens_per_month=used(api_env, "tokens_per_month") + 3_000)
    assert say(api_env.chat_as(), "Hi").status_code == 200
    assert api_env.sent_bodies()[-1]["max_tokens"] < sent


def test_reports_rejected_tool_calls_to_the_model(api_env: ApiEnv) -> None:
    limit(api_env, tool_calls_per_minute=2)
    events = stream(api_env.chat_as(), "Go on. [[tools_forever]]", limits={"max_iterations": 4})
    results = [event.data for event in events if event.event == "tool_result"]
    assert [result["is_error"] for result in results[:2]] == [False, False]
    assert all(result["is_error"] and "tool_calls_per_minute" in result["result"] for result in results[2:])
    assert len(results) > 2
    usage = next(event.data for event in events if event.event == "usage")
    assert (usage["tool_calls"], used(api_env, "tool_calls_per_minute")) == (2, 2)


def test_a_tool_has_a_limit_of_its_own_in_each_tenant(api_env: ApiEnv) -> None:
    """The tenants' limit is 120. The rejected calls do not end the run, and are not made."""
    api_env.runtime.__dict__["tools"] = (replace(CALCULATOR, calls_per_minute=2), CURRENT_TIME)
    events = stream(api_env.chat_as(), "Go on. [[tools_forever]]", limits={"max_iterations": 4})
    results = [event.data for event in events if event.event == "tool_result" and event.data["tool"] == "calculator"]
    made = [result for result in results if not result["is_error"]]
    refused = [result["result"] for result in results if result["is_error"]]
    assert (len(made), len(refused) > 0, events[-1].event) == (2, True, "final")
    wanted = r"Not called\. The tool's limit tool_calls_per_minute is 2 per minute\. Try again in \d+ s\."
    assert all(re.fullmatch(wanted, text) for text in refused)
    assert len(api_env.events("tool.call")) == used(api_env, "tool_calls_per_minute")
    assert api_env.events("quota.refuse")[0].details["scope"] == "tool"
    once = '[[tool=calculator {"expression": "1"}]]'
    for fields, is_error in ((OTHER_TENANT, False), (OWN, True)):
        (result,) = [event.data for event in stream(api_env.chat_as(fields), once) if event.event == "tool_result"]
        assert result["is_error"] is is_error


def test_a_key_and_an_agent_have_limits_of_their_own(api_env: ApiEnv) -> None:
    tenant_env = api_env.tenant_env
    tenant_env.table().write(
        Update(keys.api_key(KeyId(OWNER)), "SET #limits = :limits", "", {"limits": {"requests_per_day": 2}})
    )
    client = api_env.chat_as()
    assert [say(client, "Hi").status_code for _ in range(2)] == [200, 200]
    body = assert_problem(say(client, "Hi"), 429, "QUOTA_EXCEEDED")
    assert (body["limit"], body["scope"], body["used"], body["max"]) == ("requests_per_day", "key", 2, 2)
    limit_at(api_env, keys.api_key(KeyId(OWNER)), requests_per_day=-1)
    agent = tenant_env.default_agents.get(TENANT) or api_env.runtime.default_agents[TENANT]
    limit_at(api_env, keys.agent(agent), requests_per_minute=0)
    assert assert_problem(say(client, "Hi"), 429, "RATE_LIMITED")["scope"] == "agent"


def test_aggregates_rejections_in_the_audit(api_env: ApiEnv) -> None:
    limit(api_env, requests_per_day=0)
    for _ in range(3):
        assert_problem(say(api_env.chat_as(), "Hi"), 429, "QUOTA_EXCEEDED")
    (event,) = api_env.events("quota.refuse")
    assert (event.count, event.details["limit"], event.details["code"]) == (3, "requests_per_day", "QUOTA_EXCEEDED")


def test_rejects_a_stream_with_a_problem(api_env: ApiEnv) -> None:
    limit(api_env, requests_per_day=0)
    answer = api_env.chat_as().post("/v1/chat/stream", json={"message": "Hi"})
    assert assert_problem(answer, 429, "QUOTA_EXCEEDED")["limit"] == "requests_per_day"


def test_a_rejected_call_frees_its_idempotency_key(api_env: ApiEnv) -> None:
    limit(api_env, requests_per_day=0)
    client, headers = api_env.chat_as(), {"idempotency-key": "once"}
    assert_problem(say(client, "Hi", headers), 429, "QUOTA_EXCEEDED")
    limit(api_env, requests_per_day=1)
    first = say(client, "Hi", headers)
    assert (first.status_code, say(client, "Hi", headers).json()) == (200, first.json())
    assert used(api_env, "requests_per_day") == 1
