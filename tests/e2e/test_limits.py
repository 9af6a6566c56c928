"""A tenant on the free plan reaches each limit of the plan.

The error contains the limit's name, code and reset time. Rejected calls are not counted.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import httpx
import pytest

from tests.e2e.conftest import Stack
from tests.e2e.limited import Limited, made_tenant


@pytest.fixture
def tenant(stack: Stack) -> Iterator[Limited]:
    with made_tenant(stack) as made:
        yield made


def seconds_to(moment: str) -> float:
    return (datetime.fromisoformat(moment) - datetime.now(UTC)).total_seconds()


def own_usage(key: Limited, name: str) -> int:
    """Return the used amount of one of the key's limits."""
    limits = key.http.get("/v1/limits").json()["limits"]
    return next(int(each["used"]) for each in limits if (each["name"], each["scope"]) == (name, "key"))


def wait_for(read: Callable[[], int], wanted: int, seconds: float = 30) -> int:
    """Call `read` until it returns `wanted` or the time limit is reached. Return the last value."""
    end = time.monotonic() + seconds
    while (found := read()) != wanted and time.monotonic() < end:
        time.sleep(0.2)
    return found


def assert_midnight(answer: httpx.Response) -> None:
    """Assert that a day limit resets at midnight UTC, and that `Retry-After` is the time until midnight."""
    resets_at = datetime.fromisoformat(answer.json()["resets_at"])
    assert (resets_at.hour, resets_at.minute, resets_at.second) == (0, 0, 0)
    assert abs(int(answer.headers["retry-after"]) - seconds_to(answer.json()["resets_at"])) <= 10


def test_each_count_of_the_plan(tenant: Limited) -> None:
    session_id = tenant.say().json()["session_id"]
    tenant.put(messages_per_session=1)
    full = tenant.refused("messages_per_session", "QUOTA_EXCEEDED", session_id=session_id)
    assert (full.json()["resets_at"], "retry-after" in full.headers) == (None, False)
    tenant.put(sessions_per_day=1)
    assert_midnight(tenant.refused("sessions_per_day", "QUOTA_EXCEEDED"))
    assert tenant.say(session_id=session_id).status_code == 200
    tenant.put(requests_per_day=2)
    assert_midnight(tenant.refused("requests_per_day", "QUOTA_EXCEEDED"))
    tenant.put(requests_per_minute=2)
    minute = tenant.refused("requests_per_minute", "RATE_LIMITED")
    assert 1 <= int(minute.headers["retry-after"]) <= 62
    assert '"requests_per_minute";q=2;w=60' in minute.headers["ratelimit-policy"]
    assert '"requests_per_minute";r=0' in minute.headers["ratelimit"]
    tenant.put()
    assert tenant.say().status_code == 200


def test_tokens_and_money(tenant: Limited) -> None:
    assert tenant.say().status_code == 200
    tenant.put(tokens_per_minute=tenant.standing("tokens_per_minute")["used"] + 5)
    assert tenant.refused("tokens_per_minute", "RATE_LIMITED").json()["scope"] == "tenant"
    tenant.put(tokens_per_month=tenant.standing("tokens_per_month")["used"] + 5)
    assert tenant.refused("tokens_per_month", "QUOTA_EXCEEDED").status_code == 429
    spent = tenant.standing("cost_per_month")["used"]
    tenant.put(cost_per_month=spent)
    assert tenant.refused("cost_per_month", "QUOTA_EXCEEDED").json()["max"] == spent


@pytest.mark.slow
def test_calls_rejected_for_slots_are_not_counted_as_requests(tenant: Limited) -> None:
    tenant.put(concurrent_turns=1)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(tenant.say, "[[slow=1]] [[pieces=100]] Hi")
        deadline = time.monotonic() + 20
        while tenant.standing("concurrent_turns")["used"] == 0:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        for _ in range(9):
            answer = tenant.say()
            assert (answer.status_code, answer.json()["code"]) == (429, "CONCURRENCY_LIMITED")
            assert answer.json()["limit"] == "concurrent_turns"
            assert int(answer.headers["retry-after"]) >= 1
        (running,) = tenant.http.get("/v1/runs", params={"status": "running"}).json()["data"]
        assert tenant.http.post(f"/v1/runs/{running['id']}/cancel").status_code == 200
        assert slow.result().json()["stop_reason"] == "cancelled"
    assert tenant.standing("requests_per_day")["used"] == 1
    assert tenant.say().status_code == 200
    assert tenant.standing("requests_per_day")["used"] == 2


def test_reports_rejected_tool_calls_to_the_model(tenant: Limited) -> None:
    tenant.put(tool_calls_per_minute=1)
    answer = tenant.say("[[tools_forever]] Go on.", limits={"max_iterations": 3})
    assert answer.status_code == 200, answer.text
    assert answer.json()["usage"]["tool_calls"] == 1
    assert tenant.standing("tool_calls_per_minute")["used"] == 1


def test_users_and_agents_are_counts(tenant: Limited) -> None:
    tenant.put(users=1, agents=1)
    for path, body, name in (
        ("/v1/users", {"email": "second@limited.example", "role": "user"}, "users"),
        ("/v1/agents", {"name": "second", "model": "claude-haiku-5-5"}, "agents"),
    ):
        answer = tenant.http.post(path, json=body)
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (403, "QUOTA_EXCEEDED"), answer.text
        assert (problem["limit"], problem["used"], problem["max"], problem["resets_at"]) == (name, 1, 1, None)
    tenant.put()
    agent = tenant.http.post("/v1/agents", json={"name": "second", "model": "claude-haiku-5-5"}).json()
    assert tenant.standing("agents")["used"] == 2
    assert tenant.http.delete(f"/v1/agents/{agent['id']}").status_code == 204
    assert tenant.standing("agents")["used"] == 1


def test_a_key_has_limits_of_its_own(stack: Stack, tenant: Limited) -> None:
    key = tenant.http.post("/v1/keys", json={"name": "small", "limits": {"requests_per_day": 1}}).json()
    http = httpx.Client(base_url=stack.base_url, headers={"x-api-key": key["key"]}, timeout=300)
    own = replace(tenant, key=key["key"], http=http)
    assert own.say().status_code == 200
    assert own.refused("requests_per_day", "QUOTA_EXCEEDED").json()["scope"] == "key"
    assert tenant.say().status_code == 200
    patched = tenant.http.patch(f"/v1/keys/{key['id']}", json={"limits": {}})
    assert patched.json()["limits"] == {}
    assert own.say().status_code == 200
    again = tenant.http.patch(f"/v1/keys/{key['id']}", json={"limits": {"requests_per_day": 2}})
    assert again.status_code == 200, again.text
    assert wait_for(lambda: own_usage(own, "requests_per_day"), 2) == 2, "what it used comes from the ledger"
    assert own.refused("requests_per_day", "QUOTA_EXCEEDED").json()["used"] == 2
    own.http.close()


@pytest.mark.slow
def test_retry_after_is_exact(tenant: Limited) -> None:
    tenant.put(requests_per_minute=1)
    assert tenant.say().status_code == 200
    wait = int(tenant.refused("requests_per_minute", "RATE_LIMITED").headers["retry-after"])
    asked = time.monotonic()
    assert 1 <= wait <= 62
    time.sleep(max(0.0, wait - 2 - (time.monotonic() - asked)))
    assert tenant.say().status_code == 429
    time.sleep(max(0.0, wait - (time.monotonic() - asked)))
    assert tenant.say().status_code == 200


def test_a_rotated_keys_limits_and_what_it_used_carry_over(stack: Stack, tenant: Limited) -> None:
    made = tenant.http.post("/v1/keys", json={"name": "line", "limits": {"requests_per_day": 3}}).json()
    key, texts = made, [made["key"]]
    for _ in range(2):
        key = tenant.http.post(f"/v1/keys/{key['id']}/rotate", json={"grace_seconds": 600}).json()
        assert key["limits"] == {"requests_per_day": 3}
        texts.append(key["key"])
    clients = [httpx.Client(base_url=stack.base_url, headers={"x-api-key": text}, timeout=300) for text in texts]
    line = [replace(tenant, key=text, http=client) for text, client in zip(texts, clients, strict=True)]
    assert [each.say().status_code for each in line] == [200, 200, 200], "the old ones live in their time of grace"
    for each in line:
        refused = each.refused("requests_per_day", "QUOTA_EXCEEDED").json()
        assert (refused["scope"], refused["used"], refused["max"]) == ("key", 3, 3)
    newest = tenant.http.patch(f"/v1/keys/{key['id']}", json={"limits": {"requests_per_day": 4}})
    assert newest.status_code == 200, newest.text
    assert line[-1].say().status_code == 200
    assert line[-1].refused("requests_per_day", "QUOTA_EXCEEDED").json()["used"] == 4
    for client in clients:
        client.close()
