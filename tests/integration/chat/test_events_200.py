"""`GET /v1/runs/{run_id}/events`: from any sequence number, as a stream or long poll, during the run or after it."""

import threading
import time
from typing import Any

import pytest

from tests.builders.api_env import ApiEnv, Sent, read_events, say, start_stream, stream

pytestmark = pytest.mark.loopback

JSON = {"accept": "application/json"}


def follow(api_env: ApiEnv, run_id: str, *, headers: dict[str, str] | None = None, **query: int) -> list[Sent]:
    path = f"/v1/runs/{run_id}/events"
    with api_env.chat_as().stream("GET", path, headers=headers, params=query) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        return [event for event in read_events(response) if event]


def poll(api_env: ApiEnv, run_id: str, **query: int) -> dict[str, Any]:
    response = api_env.chat_as().get(f"/v1/runs/{run_id}/events", headers=JSON, params=query)
    assert response.headers["content-type"] == "application/json"
    body: dict[str, Any] = response.json()
    return body


def plain(events: list[Sent]) -> list[tuple[int, str, dict[str, Any]]]:
    return [(event.id, event.event, event.data) for event in events]


def test_an_ended_run_is_replayed_as_it_was_streamed(api_env: ApiEnv) -> None:
    live = stream(api_env.chat_as(), "What is 6*7? ")
    run_id = live[0].data["run_id"]
    assert plain(follow(api_env, run_id)) == plain(live)
    for after in (1, len(live) - 1):
        expected = plain(live)[after:]
        assert plain(follow(api_env, run_id, headers={"last-event-id": str(after)})) == expected
        assert plain(follow(api_env, run_id, after=after)) == expected
        body = poll(api_env, run_id, after=after)
        assert [(each["id"], each["event"], each["data"]) for each in body["data"]] == expected
        assert body["ended"] is True


@pytest.mark.parametrize("message", ["Hi", "[[status=400]]"])
@pytest.mark.parametrize("beyond", [0, 1, 1_000])
def test_204_without_further_events_of_an_ended_run(api_env: ApiEnv, message: str, beyond: int) -> None:
    """If the status were 200, an EventSource would reconnect forever."""
    live = stream(api_env.chat_as(), message)
    path, after = f"/v1/runs/{live[0].data['run_id']}/events", live[-1].id + beyond
    for headers, query in (({"last-event-id": str(after)}, {}), ({}, {"after": after})):
        answer = api_env.chat_as().get(path, headers=headers, params=query)
        assert (answer.status_code, answer.content) == (204, b"")
    assert poll(api_env, live[0].data["run_id"], after=after) == {"data": [], "ended": True}


def test_the_header_overrides_the_query(api_env: ApiEnv) -> None:
    run_id = say(api_env.chat_as(), "Hi").json()["run_id"]
    assert follow(api_env, run_id, headers={"last-event-id": "2"}, after=0)[0].id == 3


def test_a_failed_run_ends_with_its_problem(api_env: ApiEnv) -> None:
    live = stream(api_env.chat_as(), "[[status=400]]")
    run_id = live[0].data["run_id"]
    replayed = follow(api_env, run_id)
    assert replayed[-1].data["code"] == "MODEL_FAILED"
    assert replayed[-1].data["request_id"] == live[-1].data["request_id"], "the gateway of these tests gives one id"
    assert poll(api_env, run_id)["data"][-1]["data"]["status"] == 502


@pytest.fixture
def slow(api_env: ApiEnv) -> tuple[str, threading.Thread]:
    """The id of a run of about three seconds, and the thread of its client.

    Before the run ends, a batch of its events is stored.
    """
    message = "[[slow=0.35]] [[pieces=9]] a b c d e f g h i j k l m n o p q r [[echo]]"
    return start_stream(api_env.chat_as(), message)


def test_follows_and_polls_a_running_run(api_env: ApiEnv, slow: tuple[str, threading.Thread]) -> None:
    run_id, client = slow
    first = poll(api_env, run_id)
    assert ([each["id"] for each in first["data"]], first["ended"]) == ([1], False)
    polled = list(first["data"])

    def poll_on() -> None:
        ended = False
        while not ended:
            body = poll(api_env, run_id, after=polled[-1]["id"], wait=20)
            assert body["data"]
            polled.extend(body["data"])
            ended = body["ended"]

    poller = threading.Thread(target=poll_on, name="poller")
    poller.start()
    followed = follow(api_env, run_id)
    poller.join()
    client.join()
    assert [event.id for event in followed] == list(range(1, len(followed) + 1))
    assert plain(followed) == [(each["id"], each["event"], each["data"]) for each in polled]
    assert followed[-1].event == "final"
    assert followed[2].seconds < followed[-1].seconds - 0.3, "a batch came before the end"


def test_a_poll_without_events_times_out(api_env: ApiEnv, slow: tuple[str, threading.Thread]) -> None:
    run_id, client = slow
    began = time.monotonic()
    body = poll(api_env, run_id, after=1, wait=1)
    assert body == {"data": [], "ended": False}
    assert 0.9 < time.monotonic() - began < 10
    client.join()
