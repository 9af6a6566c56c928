"""A worker resumes runs: after an approval, and after the function that executed the run was killed."""

import pytest

from tests.e2e.conftest import Stack, Tenant
from tests.e2e.processes import kill_chat
from tests.e2e.stream import start_and_leave
from tests.e2e.waiting import wait_for

pytestmark = pytest.mark.slow

CALL = '[[tool=calculator {"expression":"6*7"}]]'


def ended(tenant: Tenant, run_id: str) -> dict[str, object] | None:
    run: dict[str, object] = tenant.http.get(f"/v1/runs/{run_id}").json()
    return run if run["ended_at"] else None


def test_an_approved_call_is_made_by_a_worker(pro: Tenant) -> None:
    agent = {
        "name": "careful",
        "model": "claude-haiku-5-5",
        "tools": ["calculator"],
        "require_approval": ["calculator"],
    }
    agent_id = pro.http.post("/v1/agents", json=agent).json()["id"]
    answer = pro.chat(f"What is 6*7? {CALL}", agent_id=agent_id)
    assert answer["stop_reason"] == "approval_required"
    run_id, (call,) = answer["run_id"], answer["waiting_for"]
    path = f"/v1/runs/{run_id}/approvals/{call}"
    assert pro.http.post(path, json={"decision": "approve", "args": {"expression": "6*8"}}).status_code == 200
    run = wait_for(lambda: ended(pro, run_id), 60, "a worker resumes the run")
    assert (run["status"], run["stop_reason"]) == ("succeeded", "end_turn"), run["error"]
    events = pro.http.get(f"/v1/runs/{run_id}/events", headers={"accept": "application/json"}).json()["data"]
    (result,) = [each["data"]["result"] for each in events if each["event"] == "tool_result"]
    assert result.endswith("\n48")
    assert events[-1]["event"] == "final"


def test_a_run_whose_function_was_killed_after_a_tool_call_is_resumed(stack: Stack, pro: Tenant) -> None:
    seen = start_and_leave(pro.http, f"{CALL} [[slow=0.5]] [[pieces=20]] What is 6*7?", after=8)
    assert [event.type for event in seen].count("tool_result") == 1
    run_id, session_id = seen[0].data["run_id"], seen[0].data["session_id"]
    kill_chat(stack)
    run = wait_for(lambda: ended(pro, run_id), 200, "a worker resumes the run")
    assert (run["status"], run["error"]) == ("succeeded", None)
    events = pro.http.get(f"/v1/runs/{run_id}/events", headers={"accept": "application/json"}).json()["data"]
    assert [each["event"] for each in events].count("tool_result") == 1
    assert pro.chat("Are you back?", session_id=session_id)["response"]
