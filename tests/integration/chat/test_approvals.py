"""`POST /v1/runs/{run_id}/approvals/{tool_call_id}`: a run waits for a decision without a slot, and then continues."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest
from atrium.bootstrap import Runtime
from atrium.identity.keys.model import ApiKey
from atrium.identity.keys.store import KeyStore
from atrium.kernel.clock import format_time
from atrium.kernel.ids import KeyId, RunId, SessionId, TenantId, mint_run_id
from atrium.sessions.finalizing import APPROVAL_SECONDS
from atrium.storage import keys
from atrium.storage.writes import EXISTS, Update

from functions.jobs.worker import resume_runs
from tests.builders.api_env import ADMIN, OUTSIDERS, OWN, ApiEnv, Sent, stream
from tests.builders.runtimes import NOON, build_runtime
from tests.builders.tenant_env import OWNER, TENANT

pytestmark = pytest.mark.loopback

CALL = '[[tool=calculator {"expression":"6*7"}]]'


@dataclass
class Queue:
    """A queue that holds its messages until the test lets the worker consume them."""

    sent: list[dict[str, str]] = field(default_factory=list)

    def send(self, tenant_id: TenantId, run_id: RunId) -> None:
        self.sent.append({"tenant_id": tenant_id, "run_id": run_id})


@dataclass
class Desk:
    """An API environment whose default agent needs approval for the calculator."""

    api_env: ApiEnv
    queue: Queue = field(default_factory=Queue)

    def __post_init__(self) -> None:
        self.api_env.runtime.__dict__["run_queue"] = self.queue
        table = self.api_env.tenant_env.table()
        key = ApiKey(KeyId(OWNER), TENANT, "own", ("chat",), "atr_", b"digest", 1, NOON, NOON)
        KeyStore(table).create(key)
        at = format_time(NOON)
        self.api_env.tenant_env.configure(status="active", token_version=0, created_at=at, updated_at=at)
        agent = self.admin("GET", "/v1/agents").json()["data"][0]
        self.agent_id = agent["id"]
        answer = self.admin("PATCH", f"/v1/agents/{self.agent_id}", {"require_approval": ["calculator"]})
        assert answer.json()["require_approval"] == ["calculator"]

    def admin(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        return self.api_env.admin_as().request(method, path, json=body)

    def ask(self, message: str = f"What is 6*7? {CALL}", **more: Any) -> dict[str, Any]:
        answer = self.api_env.chat_as().post("/v1/chat", json={"message": message, **more})
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def decide(self, run: dict[str, Any], body: dict[str, Any], fields: Any = OWN, call: str = "") -> httpx2.Response:
        run_id, call_id = run["run_id"], call or run["waiting_for"][0]
        return self.api_env.chat_as(fields).post(f"/v1/runs/{run_id}/approvals/{call_id}", json=body)

    def work(self, runtime: Runtime | None = None) -> None:
        """Let the worker consume the messages of the queue."""
        records = [{"messageId": str(at), "body": json.dumps(each)} for at, each in enumerate(self.queue.sent)]
        self.queue.sent.clear()
        assert resume_runs(runtime or self.api_env.runtime, {"Records": records}) == {"batchItemFailures": []}

    def run(self, run: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self.api_env.chat_as().get(f"/v1/runs/{run['run_id']}").json()
        return found

    def events(self, run: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
        path = f"/v1/runs/{run['run_id']}/events"
        body = self.api_env.chat_as().get(path, headers={"accept": "application/json"}).json()
        assert [each["id"] for each in body["data"]] == list(range(1, len(body["data"]) + 1))
        return [(each["event"], each["data"]) for each in body["data"]]

    def slots(self) -> list[str]:
        return list(self.api_env.tenant_env.quotas().store.list()[""].slots)


@pytest.fixture
def desk(api_env: ApiEnv) -> Desk:
    return Desk(api_env)


def result_of(desk: Desk, run: dict[str, Any]) -> dict[str, Any]:
    (data,) = [data for kind, data in desk.events(run) if kind == "tool_result"]
    return data


def test_an_approved_call_is_made_and_the_run_goes_on(desk: Desk) -> None:
    run = desk.ask()
    assert (run["stop_reason"], len(run["waiting_for"])) == ("approval_required", 1)
    assert desk.run(run)["status"] == "waiting_approval"
    assert desk.slots() == [], "it waits without a slot"
    waiting = desk.events(run)[-1]
    assert waiting == (
        "approval_required",
        {"tool_call_id": run["waiting_for"][0], "tool": "calculator", "args": {"expression": "6*7"}},
    )
    used = desk.api_env.tenant_env.quotas().store.list()[""]
    answer = desk.decide(run, {"decision": "approve"})
    assert (answer.status_code, answer.json()["status"]) == (200, "waiting_approval")
    desk.work()
    ended = desk.run(run)
    assert (ended["status"], ended["stop_reason"], ended["iterations"], ended["waiting_for"]) == (
        "succeeded", "end_turn", 2, [],
    )  # fmt: skip
    assert result_of(desk, run)["result"] == "42"
    assert [kind for kind, _ in desk.events(run)][-2:] == ["usage", "final"]
    entry = desk.api_env.tenant_env.entry_of(RunId(run["run_id"]))
    assert entry.total_tokens == sum(each.prompt_tokens + each.output_tokens for each in desk.api_env.reported_usage())
    item = desk.api_env.tenant_env.quotas().store.list()[""]
    day = f"{NOON:%Y%m%d}"
    assert (item.value(f"rd{day}"), used.value(f"rd{day}")) == (1, 1), "the run is counted once"
    assert (desk.slots(), item.value(f"tm{day[:6]}")) == ([], entry.total_tokens)


def test_a_stream_ends_after_approval_required_and_can_be_followed(desk: Desk) -> None:
    events: list[Sent] = stream(desk.api_env.chat_as(), f"What is 6*7? {CALL}")
    assert [event.event for event in events][-2:] == ["tool_call", "approval_required"]
    run = {"run_id": events[0].data["run_id"], "waiting_for": [events[-1].data["tool_call_id"]]}
    desk.decide(run, {"decision": "approve"})
    desk.work()
    path, last = f"/v1/runs/{run['run_id']}/events", {"last-event-id": str(events[-1].id)}
    with desk.api_env.chat_as().stream("GET", path, headers=last) as response:
        text = response.read().decode()
    assert text.startswith(f"id: {events[-1].id + 1}\nevent: tool_result\n")
    assert "event: final\n" in text


def test_edited_arguments_replace_those_of_the_model(desk: Desk) -> None:
    run = desk.ask()
    assert desk.decide(run, {"decision": "approve", "args": {"expression": "1+1"}}).status_code == 200
    desk.work()
    told = 'A person approved this call with other arguments: {"expression": "1+1"}.\n2'
    assert result_of(desk, run)["result"] == told
    assert desk.run(run)["usage"]["tool_calls"] == 1


def test_a_refusal_and_its_reason_are_told_to_the_model(desk: Desk) -> None:
    run = desk.ask()
    desk.decide(run, {"decision": "refuse", "reason": "Too expensive."})
    desk.work()
    assert result_of(desk, run) == {
        "tool_call_id": run["waiting_for"][0], "tool": "calculator",
        "result": "Not called: a person refused this call. Reason: Too expensive.", "is_error": True,
    }  # fmt: skip
    assert "Too expensive." in json.dumps(desk.api_env.sent_bodies()[-1])
    assert desk.run(run)["status"] == "succeeded"


def test_calls_without_approval_are_made_first_and_all_decisions_are_awaited(desk: Desk) -> None:
    run = desk.ask(f"{CALL} {CALL} [[tool=current_time]]")
    assert [data["tool"] for kind, data in desk.events(run) if kind == "tool_result"] == ["current_time"]
    first, second = run["waiting_for"]
    desk.decide(run, {"decision": "approve"}, call=first)
    assert desk.queue.sent == []
    shown = desk.run(run)
    assert (shown["waiting_for"], shown["iterations"], shown["stop_reason"]) == ([second], 1, "approval_required")
    desk.decide(run, {"decision": "refuse"}, call=second)
    desk.work()
    results = {data["tool_call_id"]: data["is_error"] for kind, data in desk.events(run) if kind == "tool_result"}
    assert (results[first], results[second], len(results)) == (False, True, 3)
    assert desk.run(run)["status"] == "succeeded"


def test_a_repeated_decision_has_no_effect_and_another_one_conflicts(desk: Desk) -> None:
    run = desk.ask()
    assert [desk.decide(run, {"decision": "approve"}).status_code for _ in range(2)] == [200, 200]
    other = desk.decide(run, {"decision": "refuse"})
    assert (other.status_code, other.json()["code"]) == (409, "CONFLICT")
    desk.work()
    assert desk.decide(run, {"decision": "approve"}).status_code == 200
    late = desk.decide(run, {"decision": "refuse"})
    assert (late.status_code, late.json()["code"]) == (409, "CONFLICT")
    assert len(desk.api_env.events("tool.decide")) == 1
    assert len([kind for kind, _ in desk.events(run) if kind == "tool_result"]) == 1


def test_a_repeated_chat_with_the_same_key_returns_the_waiting_run(desk: Desk) -> None:
    headers, body = {"idempotency-key": "k1"}, {"message": f"[[preface=Let me see.]] {CALL}"}
    first, again = (desk.api_env.chat_as().post("/v1/chat", json=body, headers=headers) for _ in range(2))
    assert first.json()["response"] == "Let me see."
    assert (again.status_code, again.json()) == (200, first.json())
    assert again.headers["idempotency-replayed"] == "true"


def test_of_concurrent_decisions_one_is_recorded(desk: Desk) -> None:
    run = desk.ask()
    bodies: list[dict[str, Any]] = [{"decision": "approve"}, {"decision": "refuse"}] * 4
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda body: (body["decision"], desk.decide(run, body).status_code), bodies))
    assert len({decision for decision, status in answers if status == 200}) == 1
    assert {status for _, status in answers} == {200, 409}
    desk.work()
    assert desk.run(run)["status"] == "succeeded"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"decision": "later"}, "decision"),
        ({"decision": "refuse", "args": {}}, "args can only be sent"),
        ({"decision": "approve", "reason": "x"}, "reason can only be sent"),
        ({"decision": "approve", "args": {"expr": "1"}}, "expression"),
    ],
)
def test_422_for_an_invalid_decision(desk: Desk, body: dict[str, Any], said: str) -> None:
    run = desk.ask()
    answer = desk.decide(run, body)
    assert (answer.status_code, answer.json()["code"]) == (422, "VALIDATION_FAILED")
    assert said in answer.text
    assert desk.run(run)["status"] == "waiting_approval"


@pytest.mark.parametrize("who", OUTSIDERS)
def test_404_for_others(desk: Desk, who: str) -> None:
    run = desk.ask()
    assert desk.decide(run, {"decision": "approve"}, OUTSIDERS[who]).status_code == 404
    assert desk.decide(run, {"decision": "approve"}, call="toolu_unknown").status_code == 404
    assert desk.decide({"run_id": "run_unknown", "waiting_for": ["x"]}, {"decision": "approve"}).status_code == 404


def test_403_without_the_scope_chat(desk: Desk) -> None:
    run = desk.ask()
    answer = desk.decide(run, {"decision": "approve"}, {**OWN, "scopes": "sessions:read sessions:write"})
    assert (answer.status_code, answer.json()["code"]) == (403, "SCOPE_REQUIRED")


def test_an_administrator_may_decide_and_both_events_are_audited(desk: Desk) -> None:
    run = desk.ask()
    assert desk.decide(run, {"decision": "approve"}, ADMIN).status_code == 200
    (asked,), (decided,) = desk.api_env.events("tool.approval"), desk.api_env.events("tool.decide")
    assert (asked.details["run_id"], asked.details["tools"]) == (run["run_id"], ["calculator"])
    assert decided.origin.principal == f"key:{ADMIN['principal_id']}"
    assert (decided.details["decision"], decided.details["args"]) == ("approve", {"expression": "6*7"})


def test_403_if_a_policy_denies_the_tool_to_the_person(desk: Desk) -> None:
    run = desk.ask()
    rule = {"name": "no tools", "effect": "deny", "principals": ["*"], "actions": ["execute"], "resources": ["tool:*"]}
    assert desk.admin("POST", "/v1/policies", rule).status_code == 201
    fields = {**OWN, "config_version": desk.api_env.version()}
    answer = desk.decide(run, {"decision": "approve"}, fields)
    assert (answer.status_code, answer.json()["code"]) == (403, "POLICY_DENIED")


def test_the_run_fails_with_approval_expired(desk: Desk) -> None:
    run = desk.ask()
    desk.api_env.tenant_env.clock.advance(APPROVAL_SECONDS + 1)
    desk.api_env.tenant_env.sweep()
    ended = desk.run(run)
    assert (ended["status"], ended["error"]["code"]) == ("failed", "APPROVAL_EXPIRED")
    assert desk.events(run)[-1][0] == "error"
    assert desk.ask("Hi", session_id=run["session_id"])["stop_reason"] == "end_turn"


def test_a_waiting_run_can_be_cancelled(desk: Desk) -> None:
    run = desk.ask()
    answer = desk.api_env.chat_as().post(f"/v1/runs/{run['run_id']}/cancel")
    assert answer.json()["status"] == "cancelled"
    assert desk.ask("Hi", session_id=run["session_id"])["stop_reason"] == "end_turn"
    assert desk.decide(run, {"decision": "approve"}).status_code == 409


def test_the_usage_of_a_waiting_run_is_charged_if_its_session_is_deleted(desk: Desk) -> None:
    run, env = desk.ask(), desk.api_env.tenant_env
    path = f"/v1/sessions/{run['session_id']}?permanent=true"
    assert desk.api_env.sessions_as().delete(path).status_code == 204
    entry = env.entry_of(RunId(run["run_id"]))
    assert (entry.status, entry.total_tokens > 0) == ("cancelled", True)
    assert desk.slots() == []
    assert not [item for item in env.items("RUN#") if "LEDGER" not in item["pk"]["S"]]
    assert desk.decide(run, {"decision": "approve"}).status_code == 404


def test_a_message_may_interrupt_a_waiting_run(desk: Desk) -> None:
    run = desk.ask()
    busy = desk.api_env.chat_as().post("/v1/chat", json={"message": "Hi", "session_id": run["session_id"]})
    assert (busy.status_code, busy.json()["code"]) == (409, "SESSION_BUSY")
    assert desk.ask("Hi", session_id=run["session_id"], on_busy="interrupt")["stop_reason"] == "end_turn"
    assert desk.run(run)["status"] == "cancelled"


def test_a_revoked_key_does_not_go_on(desk: Desk) -> None:
    run = desk.ask()
    desk.decide(run, {"decision": "approve"}, ADMIN)
    revoke = Update(keys.api_key(KeyId(OWNER)), "SET #revoked_at = :at", EXISTS, {"at": "2026-01-01T00:00:00Z"})
    desk.api_env.tenant_env.table().write(revoke)
    desk.work()
    ended = desk.run(run)
    assert (ended["status"], ended["error"]["code"]) == ("failed", "UNAUTHENTICATED")
    assert not desk.api_env.events("tool.call")


def test_the_sweeper_sends_a_run_whose_message_was_lost(desk: Desk) -> None:
    run = desk.ask()
    desk.decide(run, {"decision": "approve"})
    desk.queue.sent.clear()
    env = desk.api_env.tenant_env
    assert env.finalizer().close_expired(RunId(run["run_id"])) is False
    assert env.woken == [run["run_id"]]


def limited_worker(desk: Desk) -> Runtime:
    """Return the runtime of a new container of the worker, with a platform limit of one turn."""
    env = desk.api_env.tenant_env
    environment = {"PLATFORM_CONCURRENCY": "1", "ANTHROPIC_API_KEY": "a-key-of-tests"}
    environment["ANTHROPIC_BASE_URL"] = desk.api_env.server.url
    worker = build_runtime(environment, table=env.physical, clock=env.clock)()
    worker.__dict__["bucket"] = env.bucket
    return worker


def test_a_full_platform_lets_the_run_wait_and_a_free_one_counts_it(desk: Desk) -> None:
    run, env = desk.ask(), desk.api_env.tenant_env
    limit = limited_worker(desk).platform_limit
    assert limit is not None
    other = mint_run_id(env.clock(), SessionId("ses_01k6r5m2x8f3v9q4w7t1y0z5ab"))
    held = limit.admit(other)
    assert isinstance(held, int)
    desk.decide(run, {"decision": "approve"})
    desk.work(limited_worker(desk))
    assert (desk.run(run)["status"], desk.slots()) == ("waiting_approval", [])
    limit.release(other, held)
    assert env.finalizer().close_expired(RunId(run["run_id"])) is False
    desk.queue.send(TENANT, env.woken.pop())
    desk.work(limited_worker(desk))
    assert desk.run(run)["status"] == "succeeded"
    assert isinstance(limit.admit(other), int), "its platform slot is free again"


def test_an_unreadable_message_is_returned_to_the_queue(desk: Desk) -> None:
    record = {"messageId": "1", "body": "{}"}
    assert resume_runs(desk.api_env.runtime, {"Records": [record]}) == {"batchItemFailures": [{"itemIdentifier": "1"}]}
