"""`Idempotency-Key` on both chat routes. The key is linked to the run, and a repeated call returns the run's answer."""

import threading
from typing import Any

import httpx2
import pytest

from tests.builders.api_env import OUTSIDERS, ApiEnv, Sent, assert_problem, read_events, say, stream, wait_until
from tests.builders.wires import Outage, Send

pytestmark = pytest.mark.loopback

KEY = {"idempotency-key": "k-1"}


def runs(api_env: ApiEnv) -> list[dict[str, Any]]:
    data: list[dict[str, Any]] = api_env.chat_as().get("/v1/runs").json()["data"]
    return data


def send_again(api_env: ApiEnv, message: str, path: str = "/v1/chat/stream") -> httpx2.Response:
    return api_env.chat_as().post(path, json={"message": message}, headers=KEY)


def test_replays_an_answer(api_env: ApiEnv) -> None:
    client = api_env.chat_as()
    first, again = say(client, "Once. [[echo]]", KEY), say(client, "Once. [[echo]]", KEY)
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.json() == first.json()
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert len(runs(api_env)) == len(api_env.server.requests()) == 1


def test_a_stream_replays_its_events(api_env: ApiEnv) -> None:
    message = "What is 6*7?"
    live = stream(api_env.chat_as(), message, KEY)
    again = send_again(api_env, message)
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["content-type"].startswith("text/event-stream")
    replayed = [event for event in read_events(again) if event]
    assert [(each.id, each.event, each.data) for each in replayed] == [
        (each.id, each.event, each.data) for each in live
    ]
    assert len(runs(api_env)) == 1


@pytest.mark.parametrize("path", ["/v1/chat", "/v1/chat/stream"])
def test_rejects_another_body(api_env: ApiEnv, path: str) -> None:
    assert send_again(api_env, "One", path).status_code == 200
    assert_problem(send_again(api_env, "Two", path), 422, "IDEMPOTENCY_KEY_REUSED")
    assert len(runs(api_env)) == 1


@pytest.mark.parametrize("path", ["/v1/chat", "/v1/chat/stream"])
def test_rejects_a_call_in_progress(api_env: ApiEnv, path: str) -> None:
    message = "[[slow=0.2]] [[pieces=5]] a b c d e f g h i j k [[echo]]"
    events: list[Sent] = []

    def send() -> None:
        with api_env.chat_as().stream("POST", path, json={"message": message}, headers=KEY) as response:
            if path.endswith("stream"):
                events.extend(event for event in read_events(response) if event)
            else:
                response.read()

    thread = threading.Thread(target=send, name="client")
    thread.start()
    wait_until(api_env.server.requests)
    refused = send_again(api_env, message, path)
    problem = assert_problem(refused, 409, "IDEMPOTENCY_IN_PROGRESS")
    assert problem["retryable"] is True
    thread.join()
    assert send_again(api_env, message, path).headers["idempotency-replayed"] == "true"
    assert len(runs(api_env)) == 1


@pytest.mark.parametrize("outsider", OUTSIDERS)
def test_a_key_belongs_to_its_caller(api_env: ApiEnv, outsider: str) -> None:
    first = say(api_env.chat_as(), "Hi", KEY)
    other = say(api_env.chat_as(OUTSIDERS[outsider]), "Hi", KEY)
    assert "idempotency-replayed" not in other.headers
    assert other.json()["run_id"] != first.json()["run_id"]


def test_a_key_belongs_to_its_route(api_env: ApiEnv) -> None:
    say(api_env.chat_as(), "Hi", KEY)
    assert "idempotency-replayed" not in send_again(api_env, "Hi").headers


def test_a_rejection_frees_the_key(api_env: ApiEnv) -> None:
    body = {"session_id": "ses_01k6r5m2x8f3v9q4w7t1y0z5ab"}
    for _ in range(2):
        assert_problem(say(api_env.chat_as(), "Hi", KEY, **body), 404, "NOT_FOUND")
    assert "idempotency-replayed" not in say(api_env.chat_as(), "Hi", KEY).headers


@pytest.mark.parametrize("path", ["/v1/chat", "/v1/chat/stream"])
def test_a_retryable_failure_frees_the_key(api_env: ApiEnv, path: str) -> None:
    """The error is retryable, so a repeated call starts a new run."""
    message = "Hi. [[overload_midstream]] [[times=1]] [[echo]] a b c d e f g h i j k l m n"
    first = send_again(api_env, message, path)
    assert first.status_code == (502 if path == "/v1/chat" else 200)
    again = send_again(api_env, message, path)
    assert again.status_code == 200
    assert "idempotency-replayed" not in again.headers
    assert [run["status"] for run in runs(api_env)] == ["succeeded", "failed"]
    assert send_again(api_env, message, path).headers["idempotency-replayed"] == "true"


def test_a_run_whose_session_was_deleted_is_a_conflict(api_env: ApiEnv) -> None:
    first = say(api_env.chat_as(), "Hi", KEY).json()
    api_env.sessions_as().delete(f"/v1/sessions/{first['session_id']}")
    assert_problem(say(api_env.chat_as(), "Hi", KEY), 409, "CONFLICT")
    assert_problem(send_again(api_env, "Hi", "/v1/chat"), 409, "CONFLICT")


def test_answers_even_if_the_key_cannot_be_stored(api_env: ApiEnv) -> None:
    """The table rejects the write that links the key to the run. The mark of the key remains until it expires."""

    def fail(operation: str, arguments: dict[str, Any], send: Send) -> Any:
        if operation == "UpdateItem" and "IDEMPOTENCY" in str(arguments["Key"]):
            return Outage(lambda _number, _: True)(operation, arguments, send)
        return send()

    with api_env.tenant_env.intercepted(fail):
        response = say(api_env.chat_as(remaining_seconds=30), "Hi. [[echo]]", KEY)
    assert (response.status_code, response.json()["response"]) == (200, "Hi.")
    assert_problem(say(api_env.chat_as(), "Hi. [[echo]]", KEY), 409, "IDEMPOTENCY_IN_PROGRESS")
    api_env.tenant_env.clock.advance(31)
    assert say(api_env.chat_as(), "Hi. [[echo]]", KEY).status_code == 200
    assert len(runs(api_env)) == 2


@pytest.mark.parametrize("key", ["", "k" * 256])
def test_rejects_keys_of_invalid_length(api_env: ApiEnv, key: str) -> None:
    assert_problem(say(api_env.chat_as(), "Hi", {"idempotency-key": key}), 422, "VALIDATION_FAILED")
    assert api_env.server.requests() == []


def test_cancelling_with_a_key(api_env: ApiEnv) -> None:
    client = api_env.chat_as()
    path = f"/v1/runs/{say(client, 'Hi').json()['run_id']}/cancel"
    first, again = client.post(path, headers=KEY), client.post(path, headers=KEY)
    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"
