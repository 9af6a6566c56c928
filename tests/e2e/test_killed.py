"""A function is killed during a turn. The sweeper closes the run, and the session accepts the next message."""

import time

import pytest

from tests.e2e.conftest import Stack, Tenant
from tests.e2e.processes import kill_chat
from tests.e2e.stream import start_and_leave
from tests.e2e.waiting import wait_for

pytestmark = pytest.mark.slow


def test_a_killed_turn_is_closed_and_the_session_takes_its_next_message(stack: Stack, pro: Tenant) -> None:
    seen = start_and_leave(pro.http, "[[slow=1]] [[pieces=100]] I will be killed.", after=6)
    run_id, session_id = seen[0].data["run_id"], seen[0].data["session_id"]
    killed_at = time.monotonic()
    kill_chat(stack)

    def failed() -> dict[str, object] | None:
        run: dict[str, object] = pro.http.get(f"/v1/runs/{run_id}").json()
        return run if run["status"] == "failed" else None

    run = wait_for(failed, 120, "the run is closed as failed")
    assert time.monotonic() - killed_at <= 120
    error = run["error"]
    assert isinstance(error, dict)
    assert error["code"] == "RUN_INTERRUPTED"
    events = pro.http.get(f"/v1/runs/{run_id}/events", headers={"accept": "application/json"}).json()
    assert events["ended"] is True
    assert events["data"][-1]["event"] == "error"
    assert pro.chat("Are you back?", session_id=session_id)["response"]
    messages = pro.http.get(f"/v1/sessions/{session_id}/messages").json()["data"]
    assert messages[0]["content"][0]["text"].endswith("I will be killed.")
    assert messages[-1]["role"] == "assistant"
