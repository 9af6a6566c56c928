"""The status of the response if a model fails or is slow, or if the table is unavailable.

The session remains usable.
"""

import pytest

from tests.builders.api_env import ApiEnv, assert_problem, say, stream
from tests.builders.wires import Outage
from tests.integration.chat.test_events_200 import follow, poll

pytestmark = pytest.mark.loopback


REFUSALS = [f"[[status={status}]]" for status in (400, 401, 403, 404)]


@pytest.mark.parametrize("directive", [*REFUSALS, "[[overload_midstream]]", "[[disconnect]]"])
def test_502_when_the_model_fails(api_env: ApiEnv, directive: str) -> None:
    client = api_env.chat_as()
    problem = assert_problem(say(client, f"{directive} a b c d e f g h i j k l [[echo]]"), 502, "MODEL_FAILED")
    assert problem["retryable"] is (directive not in REFUSALS)
    assert "provider" not in problem["detail"].replace("The model provider failed", "")
    (run,) = client.get("/v1/runs").json()["data"]
    assert (run["status"], run["error"]["code"], run["stop_reason"]) == ("failed", "MODEL_FAILED", None)
    assert api_env.tenant_env.entry_of(run["id"]).status == "failed"
    assert say(client, "Again. [[echo]]", session_id=run["session_id"]).json()["response"] == "Again."


def test_each_route_reports_a_model_error(api_env: ApiEnv) -> None:
    live = stream(api_env.chat_as(), "[[status=401]]")
    assert (live[-1].data["code"], live[-1].data["retryable"]) == ("MODEL_FAILED", False)
    assert follow(api_env, live[0].data["run_id"])[-1].data == live[-1].data
    stored = poll(api_env, live[0].data["run_id"])["data"][-1]["data"]
    assert (stored["status"], stored["retryable"]) == (502, False)


def test_does_not_store_a_model_error_for_its_idempotency_key(api_env: ApiEnv) -> None:
    """An operator may fix the cause, so each call with the key sends a new model request."""
    headers = {"idempotency-key": "k1"}
    for _ in range(2):
        answer = api_env.chat_as().post("/v1/chat", json={"message": "Hi [[status=401]]"}, headers=headers)
        assert_problem(answer, 502, "MODEL_FAILED")
    assert len(api_env.server.requests()) == 2


def test_hides_a_transient_model_error(api_env: ApiEnv) -> None:
    body = say(api_env.chat_as(), "Hi. [[status=529]] [[times=1]] [[retry_after=0]] [[echo]]").json()
    assert body["response"] == "Hi."
    assert [record.status for record in api_env.server.requests()] == [529, 200]


def test_504_without_output_within_the_time_limit(api_env: ApiEnv) -> None:
    client = api_env.chat_as()
    problem = assert_problem(say(client, "[[hang]]", limits={"max_seconds": 1}), 504, "MODEL_TIMEOUT")
    assert problem["retryable"] is True
    api_env.server.wait_until_idle()
    assert api_env.server.requests()[0].outcome == "client_closed"
    (run,) = client.get("/v1/runs").json()["data"]
    assert (run["status"], run["error"]["code"]) == ("failed", "MODEL_TIMEOUT")


def test_answers_with_the_output_within_the_time_limit(api_env: ApiEnv) -> None:
    message = "[[slow=0.2]] [[pieces=100]] [[tokens=200]]"
    events = stream(api_env.chat_as(), message, limits={"max_seconds": 1})
    assert (events[-1].event, events[-1].data["stop_reason"]) == ("final", "max_seconds")
    assert events[-1].data["content"]


@pytest.mark.parametrize("path", ["/v1/chat", "/v1/chat/stream"])
def test_503_if_the_table_is_unavailable(api_env: ApiEnv, path: str) -> None:
    with api_env.tenant_env.intercepted(Outage(lambda _number, _: True)):
        response = api_env.chat_as().post(path, json={"message": "Hi"})
    problem = assert_problem(response, 503, "UNAVAILABLE")
    assert (problem["retryable"], response.headers["retry-after"]) == (True, "1")
    assert api_env.server.requests() == []
    assert say(api_env.chat_as(), "Hi").status_code == 200


def test_503_if_the_answer_cannot_be_stored(api_env: ApiEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer was streamed but not stored. The client receives an error, and the sweeper closes the run."""
    monkeypatch.setattr("atrium.agent.turn.COMMIT_PAUSES_SECONDS", (0.0,))
    client = api_env.chat_as()
    client.get("/v1/runs")
    opening = 5
    with api_env.tenant_env.intercepted(Outage(lambda number, _: number >= opening)):
        events = stream(client, "Hi. [[echo]]")
    assert (events[-1].event, events[-1].data["code"], events[-1].data["status"]) == ("error", "UNAVAILABLE", 503)
    api_env.tenant_env.clock.advance(62)
    assert api_env.tenant_env.sweep().closed == 1
    run = client.get(f"/v1/runs/{events[0].data['run_id']}").json()
    assert (run["status"], run["error"]["code"]) == ("failed", "RUN_INTERRUPTED")
    assert say(client, "Again. [[echo]]", session_id=run["session_id"]).json()["response"] == "Again."
