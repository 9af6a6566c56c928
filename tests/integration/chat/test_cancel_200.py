"""`POST /v1/runs/{run_id}/cancel`: the model call is closed within ten seconds, and its usage is recorded."""

import time

import pytest

from tests.builders.api_env import ApiEnv, Sent, read_events, say

pytestmark = pytest.mark.loopback


def test_cancels_during_the_answer(api_env: ApiEnv) -> None:
    message = "[[slow=0.2]] [[pieces=200]] [[tokens=400]]"
    events: list[Sent] = []
    with api_env.chat_as().stream("POST", "/v1/chat/stream", json={"message": message}) as response:
        for event in read_events(response):
            if event is None:
                continue
            events.append(event)
            if len(events) == 3:
                cancelled_at = time.time()
                path = f"/v1/runs/{events[0].data['run_id']}/cancel"
                answer = api_env.chat_as().post(path)
                assert (answer.status_code, answer.json()["status"]) == (200, "running")
                assert answer.json()["cancel_requested"] is True
    assert events[-1].event == "final"
    assert events[-1].data["stop_reason"] == "cancelled"
    said = "".join(event.data["content"] for event in events if event.event == "text")
    assert events[-1].data["content"] == said
    api_env.server.wait_until_idle()
    (record,) = api_env.server.requests()
    assert record.outcome == "client_closed"
    assert record.ended_at is not None
    assert record.ended_at - cancelled_at < 10
    run = api_env.chat_as().get(f"/v1/runs/{events[0].data['run_id']}").json()
    assert (run["status"], run["usage"]) == ("cancelled", events[-2].data)
    entry = api_env.tenant_env.entry_of(run["id"])
    (used,) = api_env.reported_usage()
    assert entry.tokens.prompt_tokens == used.prompt_tokens > 0
    assert entry.tokens.output_tokens > 0
    assert say(api_env.chat_as(), "Go on", session_id=run["session_id"]).status_code == 200


def test_cancels_before_the_answer(api_env: ApiEnv) -> None:
    events: list[Sent] = []
    with api_env.chat_as().stream("POST", "/v1/chat/stream", json={"message": "[[hang]]"}) as response:
        for event in read_events(response):
            if event is None:
                continue
            events.append(event)
            if event.event == "start":
                api_env.chat_as().post(f"/v1/runs/{event.data['run_id']}/cancel")
    assert [event.event for event in events] == ["start", "usage", "final"]
    assert (events[-1].data["message_id"], events[-1].data["content"]) == (None, "")
    api_env.server.wait_until_idle()
    assert api_env.server.requests()[0].outcome == "client_closed"


def test_does_not_change_an_ended_run(api_env: ApiEnv) -> None:
    client = api_env.chat_as()
    run_id = say(client, "Hi").json()["run_id"]
    before = client.get(f"/v1/runs/{run_id}").json()
    answer = client.post(f"/v1/runs/{run_id}/cancel")
    assert (answer.status_code, answer.json()) == (200, before)
    assert before["status"] == "succeeded"
