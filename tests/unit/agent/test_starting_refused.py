"""Turns that are rejected or fail while starting, and the settings with which a turn runs."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from atrium.agent.admission import RunAllowance
from atrium.agent.model import RunLimits, TurnRequest
from atrium.kernel.errors import AtriumError, NotFound, SessionBusy, Unavailable
from atrium.kernel.ids import SessionId, mint_run_id
from atrium.llm.model import Text
from atrium.runs.model import RUN_LEASE_SECONDS, Run
from atrium.sessions.finalizing import OPENING_GRACE_SECONDS
from atrium.tools.registry import ToolRegistry

from tests.builders.counters import counted, held
from tests.builders.tenant_env import (
    ADMIN,
    OTHER_OWNER,
    OTHER_TENANT,
    OWNER,
    TenantEnv,
    begin_again,
    context_of,
    head_of,
    session_id_of,
    texts,
    types_of,
)
from tests.builders.wires import WRITES, Outage, Send

OUTSIDERS = {"another owner": context_of(OTHER_OWNER), "another tenant": context_of(OWNER, tenant=OTHER_TENANT)}


@pytest.mark.parametrize("outsider", OUTSIDERS)
def test_another_owners_session_is_not_found(tenant_env: TenantEnv, session_id: SessionId, outsider: str) -> None:
    before = tenant_env.items()
    with pytest.raises(NotFound, match="Session not found"):
        tenant_env.begin("again", session_id=session_id, context=OUTSIDERS[outsider])
    assert tenant_env.items() == before


def test_an_admin_may_use_any_session(tenant_env: TenantEnv, session_id: SessionId) -> None:
    tenant_env.clock.advance(1)
    turn = tenant_env.begin("again", session_id=session_id, context=ADMIN)
    assert turn.run.owner == ADMIN.owner
    assert head_of(tenant_env, session_id).owner == OWNER
    list(turn.events())


@pytest.mark.parametrize("text", ["", "x", "ses_x", "ses_01k6r5m2x8f3v9q4w7t1y0z5ab", "run_01k6r5m2x8f3v9q4w7t1y0z5ab"])
def test_unknown_session_ids_are_not_found(tenant_env: TenantEnv, text: str) -> None:
    before = tenant_env.items()
    with pytest.raises(NotFound):
        tenant_env.begin("Hi", session_id=text)
    assert tenant_env.items() == before


def test_a_deleted_session_is_not_found(tenant_env: TenantEnv, session_id: SessionId) -> None:
    tenant_env.session_service().delete(session_id, undelete_days=0)
    with pytest.raises(NotFound):
        begin_again(tenant_env, session_id)


def test_a_session_deleted_while_waiting_is_not_found(tenant_env: TenantEnv, session_id: SessionId) -> None:
    begin_again(tenant_env, session_id)
    tenant_env.while_waiting = lambda: tenant_env.session_service().delete(session_id, undelete_days=0)
    with pytest.raises(NotFound):
        begin_again(tenant_env, session_id, on_busy="queue")
    assert tenant_env.items("SESSION#") == []


def writes_fail(which: int, *, applied: bool) -> Callable[[str, Any, Send], Any]:
    """Return an interceptor that fails write number `which` (from 0). If `applied` is true, only its reply is lost."""
    made = 0

    def fail(operation: str, _arguments: object, send: Send) -> Any:
        nonlocal made
        if operation not in WRITES:
            return send()
        made += 1
        if made != which + 1:
            return send()
        if applied:
            send()
        raise Unavailable(internal="of the test")

    return fail


@pytest.mark.parametrize("applied", [False, True], ids=["not applied", "reply lost"])
@pytest.mark.parametrize("write", [0, 1, 2], ids=["admission", "first", "second"])
@pytest.mark.parametrize("new_session", [True, False], ids=["new session", "known session"])
def test_undoes_a_failed_start(tenant_env: TenantEnv, new_session: bool, write: int, applied: bool) -> None:
    known = session_id_of(tenant_env.talk("first"))
    messages = tenant_env.messages_of(known)
    tenant_env.clock.advance(1)
    with tenant_env.intercepted(writes_fail(write, applied=applied)), pytest.raises(Unavailable):
        tenant_env.begin("again", session_id=None if new_session else known)
    assert {item["sk"]["S"][:4] for item in tenant_env.items("SESSION#")} == {"HEAD", "RUN#"}
    assert len(tenant_env.items("SESSION#")) == 2, "one head and its first run"
    head = head_of(tenant_env, known)
    assert (head.turn, head.turn_count, tenant_env.messages_of(known)) == (None, 1, messages)
    assert (tenant_env.sweep().looked_at, held(tenant_env), counted(tenant_env, "requests_per_day")) == (0, [], 1)
    assert types_of(list(begin_again(tenant_env, known).events()))[-1] == "final"


def test_the_sweeper_cleans_up_after_a_long_outage(tenant_env: TenantEnv, session_id: SessionId) -> None:
    tenant_env.clock.advance(1)
    reads_and_the_taking = 4
    with tenant_env.intercepted(Outage(lambda number, _: number >= reads_and_the_taking)), pytest.raises(Unavailable):
        tenant_env.begin("lost", session_id=session_id)
    with pytest.raises(SessionBusy):
        begin_again(tenant_env, session_id)
    tenant_env.clock.advance(OPENING_GRACE_SECONDS + RUN_LEASE_SECONDS)
    tenant_env.sweep()
    assert types_of(list(begin_again(tenant_env, session_id).events()))[-1] == "final"
    assert texts(tenant_env.messages_of(session_id)) == ["first", "Hello.", "again", "Hello."]


@pytest.mark.parametrize(
    ("limits", "iterations", "seconds", "cost", "tokens"),
    [
        (RunLimits(), 20, 280, None, None),
        (RunLimits(5_000, 700, 3, 9), 3, 9, 5_000, 700),
        (RunLimits(max_iterations=100, max_seconds=280), 20, 280, None, None),
    ],
)
def test_the_callers_limits_can_only_lower_the_agents(
    tenant_env: TenantEnv, limits: RunLimits, iterations: int, seconds: int, cost: int | None, tokens: int | None
) -> None:
    allowance = tenant_env.begin("Hi", limits=limits).loop.allowance
    assert isinstance(allowance, RunAllowance)
    budget = allowance.budget
    assert (budget.max_iterations, budget.max_seconds, budget.max_cost_nanos, budget.max_tokens) == (
        iterations, seconds, cost, tokens,
    )  # fmt: skip


def test_a_turn_uses_its_agents_tools_and_settings(tenant_env: TenantEnv) -> None:
    fields = {
        "name": "counter",
        "model": "claude-sonnet-5-5",
        "tools": ("calculator",),
        "max_tokens": 77,
        "max_iterations": 2,
        "require_done_tool": True,
        "system_prompt": "Count.",
    }
    agent = tenant_env.agents().create(fields, is_default=False)
    given = tenant_env.begin("Hi", agent_id=agent.agent.id).loop.loop_input
    assert given.tools.names == {"calculator", "done"}
    assert (given.model, given.max_tokens, given.max_iterations, given.system) == (
        "claude-sonnet-5-5", 77, 2, "Count.",
    )  # fmt: skip


def test_ignores_a_tool_that_no_longer_exists(tenant_env: TenantEnv) -> None:
    tenant_env.tools = ToolRegistry([])
    assert tenant_env.begin("Hi").loop.loop_input.tools.names == frozenset()


def test_a_provider_that_rejects_the_request_leaves_nothing_written(tenant_env: TenantEnv) -> None:
    before = tenant_env.items()
    service = tenant_env.turns()

    def refuse(_model: object) -> Any:
        raise AtriumError("no provider here")

    object.__setattr__(service.starter, "provider_for", refuse)
    with pytest.raises(AtriumError):
        service.begin(TurnRequest((Text("Hi"),)))
    assert tenant_env.items() == before


def test_a_run_is_recorded_with_its_question_and_lease(tenant_env: TenantEnv) -> None:
    run: Run | None = tenant_env.runs().get(tenant_env.begin("Hi", metadata={"a": 1}).run.id)
    assert run is not None
    assert (run.status, run.question.text, run.metadata, run.provider) == ("running", "Hi", {"a": 1}, "anthropic")
    assert run.lease_until == tenant_env.clock.now + timedelta(seconds=RUN_LEASE_SECONDS)
    assert mint_run_id(tenant_env.clock.now, run.session_id)[:14] == run.id[:14]
