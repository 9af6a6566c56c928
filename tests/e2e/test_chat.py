"""Chat end to end: messages, sessions, usage, idempotency keys, and rotated API keys."""

from decimal import Decimal

import httpx

from tests.e2e.conftest import Stack, Tenant
from tests.e2e.waiting import wait_for

_TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")


def _totals(tenant: Tenant) -> dict[str, int | str]:
    answer = tenant.http.get("/v1/usage")
    assert answer.status_code == 200, answer.text
    totals: dict[str, int | str] = answer.json()["totals"]
    return totals


def test_second_message_is_shown_the_first_and_usage_follows(stack: Stack, pro: Tenant) -> None:
    before = _totals(pro)
    marker = httpx.get(f"{stack.description['model_url']}/__requests").json()
    first = pro.chat("My name is Ada Lovelace.")
    assert first["stop_reason"] == "end_turn"
    assert first["degraded"] is False
    second = pro.chat("What did I say first?", session_id=first["session_id"])
    assert second["session_id"] == first["session_id"]
    assert "Ada Lovelace" in second["response"]

    messages = pro.http.get(f"/v1/sessions/{first['session_id']}/messages").json()
    assert [message["role"] for message in messages["data"]] == ["user", "assistant", "user", "assistant"]
    assert messages["next_cursor"] is None
    assert messages["data"][1]["content"][0]["text"] == first["response"]
    assert messages["data"][3]["run_id"] == second["run_id"]

    requests = httpx.get(f"{stack.description['model_url']}/__requests").json()
    assert len(requests["requests"]) >= len(marker["requests"]) + 2

    def counted() -> dict[str, int | str] | None:
        now = _totals(pro)
        return now if int(now["requests"]) >= int(before["requests"]) + 2 else None

    after = wait_for(counted, 5, "two more requests in the usage")
    for name in _TOKENS:
        assert int(after[name]) - int(before[name]) == first["usage"][name] + second["usage"][name]
    spent = Decimal(str(after["cost_usd"])) - Decimal(str(before["cost_usd"]))
    turns = Decimal(first["usage"]["cost_usd"]) + Decimal(second["usage"]["cost_usd"])
    assert spent > 0
    assert abs(spent - turns) <= Decimal("0.000002")  # each amount is rounded to six decimals separately


def test_the_key_as_x_api_key(stack: Stack, pro: Tenant) -> None:
    answer = httpx.post(
        f"{stack.base_url}/v1/chat", headers={"x-api-key": pro.api_key}, json={"message": "What is 12*7?"}, timeout=300
    )
    assert answer.status_code == 200
    assert "84" in answer.json()["response"]
    assert answer.json()["usage"]["tool_calls"] == 1
    assert answer.json()["iterations"] == 2
    assert answer.headers["x-request-id"]


def test_an_idempotent_retry_is_the_same_turn(pro: Tenant) -> None:
    headers = {"idempotency-key": "e2e-chat-1"}
    body = {"message": "Only once, please."}
    first = pro.http.post("/v1/chat", json=body, headers=headers)
    again = pro.http.post("/v1/chat", json=body, headers=headers)
    assert first.status_code == again.status_code == 200
    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"
    other = pro.http.post("/v1/chat", json={"message": "Another."}, headers=headers)
    assert other.status_code == 422
    assert other.json()["code"] == "IDEMPOTENCY_KEY_REUSED"


def test_who_am_i(pro: Tenant) -> None:
    me = pro.http.get("/v1/auth/me").json()
    assert me["principal"]["type"] == "key"
    assert me["plan"] == "pro"
    assert pro.id in str(me["tenant"])


def test_a_failure_that_a_retry_may_better_frees_the_idempotency_key(pro: Tenant) -> None:
    headers = {"idempotency-key": "e2e-retry-1"}
    body = {"message": "[[status=529]] [[times=4]] Soon well again."}
    first = pro.http.post("/v1/chat", json=body, headers=headers)
    assert (first.status_code, first.json()["retryable"]) == (502, True)
    again = pro.http.post("/v1/chat", json=body, headers=headers)
    assert again.status_code == 200, again.text
    assert "idempotency-replayed" not in again.headers


def test_a_message_that_the_model_refuses_does_not_spoil_its_session(pro: Tenant) -> None:
    session_id = pro.chat("Hello.")["session_id"]
    body = {"message": "[[status=400]] This one fails.", "session_id": session_id}
    assert pro.http.post("/v1/chat", json=body).status_code == 502
    assert pro.chat("Go on.", session_id=session_id)["response"]
    messages = pro.http.get(f"/v1/sessions/{session_id}/messages").json()["data"]
    assert [message["role"] for message in messages] == ["user", "assistant", "user", "user", "assistant"]


def test_a_rotated_key_keeps_its_sessions(stack: Stack, pro: Tenant) -> None:
    made = pro.http.post("/v1/keys", json={"name": "turning"}).json()
    with httpx.Client(base_url=stack.base_url, headers={"x-api-key": made["key"]}, timeout=300) as old:
        session_id = old.post("/v1/chat", json={"message": "Remember me."}).json()["session_id"]
    rotated = pro.http.post(f"/v1/keys/{made['id']}/rotate", json={"grace_seconds": 60}).json()
    with httpx.Client(base_url=stack.base_url, headers={"x-api-key": rotated["key"]}, timeout=300) as new:
        assert [each["id"] for each in new.get("/v1/sessions").json()["data"]] == [session_id]
        assert new.post("/v1/chat", json={"message": "Go on.", "session_id": session_id}).status_code == 200
