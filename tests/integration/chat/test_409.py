"""Two concurrent turns in one session: the second turn is rejected, waits, or interrupts the first turn.

The history of the session remains valid.
"""

import threading
from typing import Any

import pytest

from tests.builders.api_env import ApiEnv, Sent, assert_problem, read_events, say, stream, wait_until

pytestmark = pytest.mark.loopback

SECOND = "Second. [[slow=1]] [[pieces=3]] [[echo]]"  # runs until the third message is sent, also on a slow machine


@pytest.fixture
def session_id(api_env: ApiEnv) -> str:
    return str(say(api_env.chat_as(), "First. [[echo]]").json()["session_id"])


class Running:
    """A streamed turn in a separate thread. The constructor waits for the `start` event."""

    def __init__(self, api_env: ApiEnv, session_id: str, message: str) -> None:
        self.events: list[Sent] = []
        self._api_env, self._body = api_env, {"message": message, "session_id": session_id}
        self._thread = threading.Thread(target=self._read, name="client")
        self._thread.start()
        wait_until(lambda: self.events)

    def _read(self) -> None:
        with self._api_env.chat_as().stream("POST", "/v1/chat/stream", json=self._body) as response:
            for event in read_events(response):
                if event:
                    self.events.append(event)

    def finish(self) -> list[Sent]:
        self._thread.join()
        return self.events


def texts(api_env: ApiEnv, session_id: str) -> list[str]:
    messages = api_env.sessions_as().get(f"/v1/sessions/{session_id}/messages").json()["data"]
    return ["".join(block["text"] for block in message["content"]) for message in messages]


@pytest.mark.parametrize("path", ["/v1/chat", "/v1/chat/stream"])
def test_rejects_the_second(api_env: ApiEnv, session_id: str, path: str) -> None:
    running = Running(api_env, session_id, SECOND)
    response = api_env.chat_as().post(path, json={"message": "Third", "session_id": session_id})
    problem = assert_problem(response, 409, "SESSION_BUSY")
    assert (problem["retryable"], response.headers["retry-after"]) == (True, "1")
    assert running.finish()[-1].event == "final"
    assert say(api_env.chat_as(), "Fourth. [[echo]]", session_id=session_id).status_code == 200
    assert [text.strip() for text in texts(api_env, session_id)][::2] == [
        "First. [[echo]]", SECOND, "Fourth. [[echo]]",
    ]  # fmt: skip
    assert len(texts(api_env, session_id)) == 6


def test_one_of_many_concurrent_turns_is_answered(api_env: ApiEnv, session_id: str) -> None:
    responses: list[Any] = []

    def send(number: int) -> None:
        responses.append(say(api_env.chat_as(), f"Number {number} [[delay=3]]", session_id=session_id))

    threads = [threading.Thread(target=send, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(response.status_code for response in responses) == [200, 409, 409, 409, 409]
    assert len(texts(api_env, session_id)) == 4
    assert say(api_env.chat_as(), "What did I say first?", session_id=session_id).status_code == 200


def test_the_second_waits_in_the_queue(api_env: ApiEnv, session_id: str) -> None:
    running = Running(api_env, session_id, SECOND)
    response = say(api_env.chat_as(), "Third. [[echo]]", session_id=session_id, on_busy="queue")
    assert response.status_code == 200
    assert running.finish()[-1].event == "final"
    assert [text.strip() for text in texts(api_env, session_id)][3:] == ["Second.", "Third. [[echo]]", "Third."]


def test_the_second_interrupts_the_first(api_env: ApiEnv, session_id: str) -> None:
    running = Running(api_env, session_id, "[[slow=0.2]] [[pieces=200]] [[tokens=400]]")
    events = stream(api_env.chat_as(), "Third. [[echo]]", session_id=session_id, on_busy="interrupt")
    assert events[-1].data["content"] == "Third."
    assert running.finish()[-1].data["stop_reason"] == "cancelled"
    api_env.server.wait_until_idle()
    assert "client_closed" in [record.outcome for record in api_env.server.requests()]
    assert texts(api_env, session_id)[-2:] == ["Third. [[echo]]", "Third."]
