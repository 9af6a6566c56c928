"""Successful responses of `POST /v1/chat`."""

import httpx2
import pytest
from atrium.llm.catalogue import format_cost, price

from tests.builders.api_env import ADMIN, OWN, ApiEnv, say, wait_until

pytestmark = pytest.mark.loopback


def test_answers_a_message(api_env: ApiEnv) -> None:
    response = say(api_env.chat_as(), "Hello there. [[echo]]")
    assert response.status_code == 200, response.text
    body = response.json()
    assert set(body) == {
        "session_id", "run_id", "message_id", "response", "stop_reason", "iterations", "degraded", "usage",
        "waiting_for", "model",
    }  # fmt: skip
    assert (body["response"], body["stop_reason"], body["iterations"], body["degraded"]) == (
        "Hello there.", "end_turn", 1, False,
    )  # fmt: skip
    assert body["message_id"].startswith("msg_")
    assert response.headers["x-request-id"]
    assert response.headers["cache-control"] == "no-store"


def test_a_second_message_sees_the_first(api_env: ApiEnv) -> None:
    client = api_env.chat_as()
    first = say(client, "My name is Ada. [[echo]]").json()
    second = say(client, "What did I say first?", session_id=first["session_id"]).json()
    assert "My name is Ada." in second["response"]
    assert second["session_id"] == first["session_id"]
    assert second["run_id"] != first["run_id"]
    roles = [message["role"] for message in api_env.sent_bodies()[-1]["messages"]]
    assert roles == ["user", "assistant", "user"]


def test_usage_and_cost_are_those_of_the_model_server(api_env: ApiEnv) -> None:
    body = say(api_env.chat_as(), "What is 12*7?").json()
    assert "84" in body["response"]
    assert (body["usage"]["tool_calls"], body["iterations"]) == (1, 2)
    first, second = api_env.reported_usage()
    entry = api_env.tenant_env.entry_of(body["run_id"])
    assert entry.tokens == first + second
    now = api_env.runtime.clock()
    assert entry.cost_nanos == price(entry.model, first, now) + price(entry.model, second, now) > 0
    assert body["usage"] == {
        "input_tokens": entry.tokens.input_tokens,
        "output_tokens": entry.tokens.output_tokens,
        "cache_read_tokens": entry.tokens.cache_read_tokens,
        "cache_write_tokens": entry.tokens.cache_write_tokens,
        "tool_calls": 1,
        "cost_usd": format_cost(entry.cost_nanos),
    }


def test_the_run_can_be_read(api_env: ApiEnv) -> None:
    client = api_env.chat_as()
    body = say(client, "Hi", end_user="ann", metadata={"ticket": 7}).json()
    run = client.get(f"/v1/runs/{body['run_id']}").json()
    assert (run["id"], run["status"], run["session_id"], run["stop_reason"]) == (
        body["run_id"], "succeeded", body["session_id"], "end_turn",
    )  # fmt: skip
    assert (run["usage"], run["end_user"], run["metadata"], run["error"]) == (body["usage"], "ann", {"ticket": 7}, None)
    assert run["started_at"] == run["created_at"] < run["ended_at"] == run["updated_at"]
    listed = client.get("/v1/runs", params={"session_id": body["session_id"], "status": "succeeded"}).json()
    assert listed == {"data": [run], "next_cursor": None}
    assert client.get("/v1/runs", params={"status": "failed"}).json()["data"] == []
    messages = api_env.sessions_as().get(f"/v1/sessions/{body['session_id']}/messages").json()["data"]
    assert [(message["role"], message["run_id"]) for message in messages] == [
        ("user", run["id"]), ("assistant", run["id"]),
    ]  # fmt: skip
    assert messages[1]["id"] == body["message_id"]
    assert messages[1]["content"] == [{"type": "text", "text": body["response"]}]


def test_runs_are_listed_in_pages_newest_first(api_env: ApiEnv) -> None:
    client = api_env.chat_as()
    runs = [say(client, f"Number {number}").json()["run_id"] for number in range(3)]
    first = client.get("/v1/runs", params={"limit": 2}).json()
    rest = client.get("/v1/runs", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert [run["id"] for run in [*first["data"], *rest["data"]]] == runs[::-1]
    assert rest["next_cursor"] is None


def test_thinking_is_kept_in_the_session(api_env: ApiEnv) -> None:
    body = say(api_env.chat_as(), "Hm? [[thinking=let me see]] [[echo]]").json()
    messages = api_env.sessions_as().get(f"/v1/sessions/{body['session_id']}/messages").json()["data"]
    assert messages[1]["content"][0]["type"] == "thinking"
    assert messages[1]["content"][0]["text"] == "let me see"
    assert say(api_env.chat_as(), "And now?", session_id=body["session_id"]).status_code == 200


def test_respects_limits_of_one_run(api_env: ApiEnv) -> None:
    body = say(api_env.chat_as(), "Go on. [[tools_forever]]", limits={"max_iterations": 2}).json()
    assert (body["stop_reason"], body["iterations"]) == ("max_iterations", 2)
    cheap = say(api_env.chat_as(), "Go on and on. [[tools_forever]]", limits={"max_cost_usd": "0.000001"}).json()
    assert (cheap["stop_reason"], cheap["iterations"], cheap["usage"]["cost_usd"]) == ("max_cost", 0, "0.000000")
    some = say(api_env.chat_as(), "And on. [[tools_forever]]", limits={"max_cost_usd": "0.001"}).json()
    assert (some["stop_reason"], 0 < float(some["usage"]["cost_usd"]) <= 0.001) == ("max_cost", True)
    short = say(api_env.chat_as(), "Tell me more. [[tokens=200]]", limits={"max_tokens": 50}).json()
    assert (short["stop_reason"], short["usage"]["output_tokens"]) == ("max_run_tokens", 0)


def test_a_refusal_of_the_model_is_a_standard_answer(api_env: ApiEnv) -> None:
    body = say(api_env.chat_as(), "Something awful [[refusal]]").json()
    assert body["stop_reason"] == "refusal"
    assert body["response"].startswith("I cannot help with that.")


def test_uses_the_given_model_and_agent(api_env: ApiEnv) -> None:
    fields = {"name": "poet", "model": "claude-sonnet-5-5", "system_prompt": "Rhyme."}
    agent = api_env.admin_as().post("/v1/agents", json=fields).json()
    client = api_env.chat_as()
    body = say(client, "Hi", agent_id=agent["id"], model="claude-opus-5-5", provider="anthropic").json()
    sent = api_env.sent_bodies()[-1]
    assert sent["model"] == "claude-opus-5-5"
    assert sent["system"][0]["text"] == "Rhyme."
    assert client.get(f"/v1/runs/{body['run_id']}").json()["agent_id"] == agent["id"]


def test_accepts_the_callers_own_tenant(api_env: ApiEnv) -> None:
    assert say(api_env.chat_as(), "Hi", tenant_id=OWN["tenant_id"]).status_code == 200


def test_an_admin_sees_and_continues_anothers_session(api_env: ApiEnv) -> None:
    body = say(api_env.chat_as(), "Hi").json()
    admin = api_env.chat_as(ADMIN)
    assert admin.get(f"/v1/runs/{body['run_id']}").status_code == 200
    assert say(admin, "And this", session_id=body["session_id"]).status_code == 200
    assert len(admin.get("/v1/runs").json()["data"]) == 2
    assert len(api_env.chat_as().get("/v1/runs").json()["data"]) == 1, "a run belongs to who made it"


def test_a_disconnected_client_does_not_end_its_turn(api_env: ApiEnv) -> None:
    hasty = api_env.chat_as()
    hasty.timeout = httpx2.Timeout(0.3)
    with pytest.raises(httpx2.ReadTimeout):
        say(hasty, "Slowly. [[delay=1]] [[echo]]")
    client = api_env.chat_as()
    wait_until(lambda: [run["status"] for run in client.get("/v1/runs").json()["data"]] == ["succeeded"])
    assert [record.outcome for record in api_env.server.requests()] == ["completed"]
