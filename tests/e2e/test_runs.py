"""A run does not depend on its client: disconnecting, following, cancelling, and concurrent turns of a session."""

import threading
import time

import httpx

from tests.e2e.conftest import Stack, Tenant
from tests.e2e.stream import read_events, start_and_leave, stream_chat
from tests.e2e.waiting import wait_for


def _ended(tenant: Tenant, run_id: str) -> dict[str, object] | None:
    run: dict[str, object] = tenant.http.get(f"/v1/runs/{run_id}").json()
    return run if run["status"] in {"succeeded", "failed", "cancelled"} else None


def test_a_run_completes_after_its_client_disconnects(pro: Tenant) -> None:
    requests_before = int(pro.http.get("/v1/usage").json()["totals"]["requests"])
    seen = start_and_leave(pro.http, "[[slow=0.4]] [[pieces=10]] Go on without me.", after=3)
    run_id, session_id = seen[0].data["run_id"], seen[0].data["session_id"]
    run = wait_for(lambda: _ended(pro, run_id), 20, "the run ends")
    assert run["status"] == "succeeded"

    began = time.monotonic()
    with pro.http.stream("GET", f"/v1/runs/{run_id}/events", headers={"last-event-id": "2"}) as response:
        replayed = list(read_events(response, began))
    assert [event.id for event in replayed] == list(range(3, 3 + len(replayed)))
    assert replayed[0].data == seen[2].data
    assert replayed[-1].type == "final"

    messages = pro.http.get(f"/v1/sessions/{session_id}/messages").json()["data"]
    assert [message["role"] for message in messages] == ["user", "assistant"]
    assert messages[1]["content"][0]["text"] == replayed[-1].data["content"]

    def counted() -> int | None:
        now = int(pro.http.get("/v1/usage").json()["totals"]["requests"])
        return now if now > requests_before else None

    assert wait_for(counted, 8, "the run is in the usage") == requests_before + 1
    time.sleep(2)
    assert int(pro.http.get("/v1/usage").json()["totals"]["requests"]) == requests_before + 1


def test_a_second_client_follows_a_run_that_is_under_way(pro: Tenant) -> None:
    seen = start_and_leave(pro.http, "[[slow=0.5]] [[pieces=10]] Speak slowly.", after=2)
    run_id = seen[0].data["run_id"]
    began = time.monotonic()
    with pro.http.stream("GET", f"/v1/runs/{run_id}/events") as response:
        followed = list(read_events(response, began))
    assert [event.id for event in followed] == list(range(1, len(followed) + 1))
    assert followed[-1].type == "final"
    poll = pro.http.get(f"/v1/runs/{run_id}/events?after=1", headers={"accept": "application/json"}).json()
    assert poll["ended"] is True
    assert [each["id"] for each in poll["data"]] == [event.id for event in followed[1:]]


def test_cancel_closes_the_model_call_and_counts_what_was_used(stack: Stack, pro: Tenant) -> None:
    seen = start_and_leave(pro.http, "[[slow=0.5]] [[pieces=100]] Cancel me.", after=4)
    run_id = seen[0].data["run_id"]
    asked = time.monotonic()
    assert pro.http.post(f"/v1/runs/{run_id}/cancel").status_code == 200
    run = wait_for(lambda: _ended(pro, run_id), 12, "the run is cancelled")
    assert time.monotonic() - asked <= 10
    assert run["status"] == "cancelled"
    assert run["stop_reason"] == "cancelled"
    usage = run["usage"]
    assert isinstance(usage, dict)
    assert usage["input_tokens"] > 0
    assert float(usage["cost_usd"]) > 0
    requests = httpx.get(f"{stack.description['model_url']}/__requests").json()["requests"]
    cancelled = [each for each in requests if "Cancel me." in str(each["body"])]
    assert cancelled[-1]["outcome"] == "client_closed"
    follow_up = pro.chat("And now?", session_id=seen[0].data["session_id"])
    assert follow_up["response"]


def test_two_turns_at_once_in_one_session(pro: Tenant) -> None:
    session_id = pro.chat("Hello.")["session_id"]
    statuses: list[int] = []

    def ask(text: str) -> None:
        with httpx.Client(base_url=pro.http.base_url, headers=pro.http.headers, timeout=300) as client:
            answer = client.post("/v1/chat", json={"message": text, "session_id": session_id})
            statuses.append(answer.status_code)
            if answer.status_code == 409:
                assert answer.json()["code"] == "SESSION_BUSY"

    threads = [threading.Thread(target=ask, args=(f"[[delay=1.5]] Turn {n}.",)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, 409]
    messages = pro.http.get(f"/v1/sessions/{session_id}/messages").json()["data"]
    assert [message["role"] for message in messages] == ["user", "assistant"] * 2
    assert pro.chat("Still fine?", session_id=session_id)["response"]


def test_on_busy_queue_waits_for_its_turn(pro: Tenant) -> None:
    seen = start_and_leave(pro.http, "[[slow=0.3]] [[pieces=8]] First.", after=2)
    session_id = seen[0].data["session_id"]
    second = pro.chat("What did I say first?", session_id=session_id, on_busy="queue")
    assert "First." in second["response"]


def test_on_busy_interrupt_takes_the_session(pro: Tenant) -> None:
    seen = start_and_leave(pro.http, "[[slow=0.5]] [[pieces=200]] Too long.", after=3)
    events = stream_chat(pro.http, "Me instead.", session_id=seen[0].data["session_id"], on_busy="interrupt")
    assert events[-1].type == "final"
    assert _ended(pro, seen[0].data["run_id"]) is not None
