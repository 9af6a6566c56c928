"""A run is resumed by another worker after its worker was killed at any call to the table or bucket.

No effect happens twice, every tool call has one result, the ledger has one entry, and the session accepts a message.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from atrium.agent.turn import TurnService
from atrium.jobs.resuming import RunResumer
from atrium.kernel.errors import ModelFailed, Unauthenticated, Unavailable
from atrium.kernel.ids import SessionId
from atrium.kernel.pagination import PageRequest
from atrium.llm.model import Thinking, ToolResult, Usage
from atrium.runs.model import RUN_LEASE_SECONDS, Run, RunEvent, answer_text
from atrium.runs.steps import UNKNOWN, StepLog
from atrium.sessions.finalizing import RESUME_SECONDS, TAKEOVERS_MAX

from tests.builders.scripted import calls, reply
from tests.builders.shop import EXPIRED, KillAt, Shop, check
from tests.builders.tenant_env import TenantEnv
from tests.builders.wires import Kill, Killed, Send


@pytest.fixture
def shop(tenant_env: TenantEnv) -> Shop:
    return Shop(tenant_env)


def killed_turns(shop: Shop, *, applied: bool) -> Iterator[tuple[int, SessionId]]:
    """Yield after the turn was killed at each of its calls."""
    number, died = 0, True
    while died:
        session_id = shop.env.open_session()
        killer = Kill(number, applied=applied)
        with shop.env.intercepted(killer), suppress(Killed):
            shop.talk(session_id, [])
        died = killer.died
        yield number, session_id
        number += 1
    assert number > 15


@pytest.mark.parametrize("applied", [False, True])
def test_resumes_a_run_killed_at_any_call(shop: Shop, applied: bool) -> None:
    ends = Counter[str]()
    for _number, session_id in killed_turns(shop, applied=applied):
        shop.env.clock.advance(EXPIRED)
        assert shop.env.sweep().failed == 0
        run = check(shop, session_id)
        ends[run.status if run else "none"] += 1
    assert ends["succeeded"] > ends["failed"]


def test_resumes_a_run_whose_second_worker_was_killed_at_any_call(shop: Shop) -> None:
    number, died = 0, True
    while died:
        session_id = shop.env.open_session()
        stop_at(shop, session_id, "STEP#00000003")
        shop.env.clock.advance(EXPIRED)
        killer = Kill(number, applied=True)
        run_id = shop.env.run_service().list(PageRequest(1), session_id=session_id, status=None).items[0].id
        with shop.env.intercepted(killer), suppress(Killed):
            shop.env.resume(run_id)
        died = killer.died
        shop.env.clock.advance(EXPIRED)
        assert shop.env.sweep().failed == 0
        run = check(shop, session_id)
        assert run is not None
        assert run.status == "succeeded" or shop.env.ledger().get(run.id)
        number += 1
    assert number > 15


def stop_at(shop: Shop, session_id: SessionId, text: str) -> list[RunEvent]:
    """Run a turn that is killed before the first call whose arguments contain the text. Return its events so far."""
    seen: list[RunEvent] = []
    with shop.env.intercepted(KillAt(text)), pytest.raises(Killed):
        shop.talk(session_id, seen)
    return seen


def resumed(shop: Shop, session_id: SessionId) -> Run:
    """Return the session's run after another worker has resumed it."""
    shop.env.clock.advance(EXPIRED)
    assert shop.env.sweep().failed == 0
    run = check(shop, session_id)
    assert run is not None
    return run


def results_of(run: Run) -> dict[str, ToolResult]:
    return {
        each.tool_use_id: each for message in run.messages for each in message.content if isinstance(each, ToolResult)
    }


def test_does_not_repeat_a_call_whose_outcome_was_not_recorded(shop: Shop) -> None:
    session_id = shop.env.open_session()
    stop_at(shop, session_id, "charge done")
    assert shop.effects["charge"]
    run = resumed(shop, session_id)
    assert (run.status, len(shop.effects["charge"]), len(shop.effects["mail"])) == ("succeeded", 1, 1)
    assert results_of(run)["c1"] == ToolResult("c1", UNKNOWN, is_error=True)
    assert UNKNOWN in str(shop.model.requests[-2].messages), "the outcome is in the model's request"


def test_repeats_calls_without_effects_with_the_same_idempotency_key(shop: Shop) -> None:
    session_id = shop.env.open_session()
    shop.model.rounds[0] = reply(calls("upsert", "c1"))
    stop_at(shop, session_id, "upsert done")
    run = resumed(shop, session_id)
    first, second = shop.effects["upsert"]
    assert first == second == f"{run.id}-c1"


@pytest.mark.parametrize("is_changed", [False, True])
def test_thinking_is_sent_back_only_with_the_same_system_prompt(shop: Shop, is_changed: bool) -> None:
    session_id = shop.env.open_session()
    shop.model.rounds[0] = reply(Thinking("A thought.", "signature"), calls("charge", "c1"))
    stop_at(shop, session_id, "charge done")
    if is_changed:
        shop.set_agent(system_prompt="Another system prompt.")
    resumed(shop, session_id)
    assert [("A thought." in str(request.messages)) for request in shop.model.requests[1:3]] == [not is_changed] * 2


def test_an_answer_that_was_cut_off_is_given_again(shop: Shop) -> None:
    session_id = shop.env.open_session()
    shop.model.rounds[2] = reply("A first part. ", lambda: shop.env.clock.advance(3), "A second part.", "The rest.")
    stop_at(shop, session_id, "LEDGER#")
    run = resumed(shop, session_id)
    assert answer_text(run.messages) == "First. \n\nThen. \n\nA first part. A second part.The rest."
    assert [message.role for message in run.messages] == ["user", "assistant", "tool", "assistant", "tool", "assistant"]


def test_a_client_that_is_ahead_of_the_stored_events_misses_none(shop: Shop) -> None:
    session_id = shop.env.open_session()
    seen = stop_at(shop, session_id, "LEDGER#")
    run = resumed(shop, session_id)
    later = shop.env.replay(run.id, after=seen[-1].sequence)
    assert [event.data["tool_call_id"] for event in later if event.type == "tool_result"] == ["c1", "c2", "c3", "c4"]
    assert [event.type for event in later][-2:] == ["usage", "final"]


def test_the_earlier_worker_can_neither_act_nor_write_after_the_take_over(shop: Shop) -> None:
    session_id = shop.env.open_session()
    events = shop.env.begin("Do it.", session_id=session_id).events()
    seen = [next(events) for _ in range(3)]
    assert seen[-1].type == "tool_call"
    shop.env.clock.advance(EXPIRED)
    shop.env.sweep()
    assert len(shop.effects["mail"]) == 1
    last = list(events)[-1]
    assert last.type == "final", "the end that the other worker recorded"
    run = check(shop, session_id)
    assert run is not None
    assert last.data["content"] == answer_text(run.messages)
    assert results_of(run)["c1"].content == UNKNOWN


def test_a_run_that_no_worker_can_continue_ends_as_failed(shop: Shop) -> None:
    session_id = shop.env.open_session()
    stop_at(shop, session_id, "mail done")
    for _ in range(TAKEOVERS_MAX):
        shop.env.clock.advance(EXPIRED)
        with shop.env.intercepted(KillAt("circuit")), suppress(Killed):
            die_after_the_take_over(shop)
    run = resumed(shop, session_id)
    assert (run.status, run.outcome and run.outcome.error and run.outcome.error.code) == ("failed", "RUN_INTERRUPTED")
    assert len(shop.effects["charge"]) == 1


def die_after_the_take_over(shop: Shop) -> None:
    """Resume the run, and stop when its first event would be produced."""
    run_id = shop.env.run_service().list(PageRequest(1), session_id=None, status=None).items[0].id
    resumer = shop.env.resumer()
    turn = resumer.resume(run_id)
    assert turn is not None
    assert StepLog(shop.env.runs(), run_id, shop.env.clock).read().takeovers


def test_a_run_ends_as_failed_if_its_caller_is_no_longer_active(shop: Shop) -> None:
    session_id = shop.env.open_session()
    stop_at(shop, session_id, "STEP#00000003")
    shop.env.clock.advance(EXPIRED)
    run_id = shop.env.run_service().list(PageRequest(1), session_id=session_id, status=None).items[0].id

    def refuse(_fields: object, _run_id: object, _epoch: int) -> TurnService:
        raise Unauthenticated

    assert RunResumer(shop.env.finalizer(), refuse).resume(run_id) is None
    run = check(shop, session_id)
    assert run is not None
    assert (run.status, run.outcome and run.outcome.error and run.outcome.error.code) == ("failed", "UNAUTHENTICATED")


def test_a_run_is_not_resumed_long_after_its_worker_failed(shop: Shop) -> None:
    session_id = shop.env.open_session()
    stop_at(shop, session_id, "STEP#00000003")
    shop.env.clock.advance(RESUME_SECONDS + RUN_LEASE_SECONDS + 1)
    run = resumed(shop, session_id)
    assert run.status == "failed"
    assert "c4" not in results_of(run)


def unfinished(shop: Shop, session_id: SessionId, events: int) -> Iterator[RunEvent]:
    """Start a turn, read some events, and let its leases expire, as if its function was frozen. Return the rest."""
    turn = shop.env.begin("Do it.", session_id=session_id).events()
    for _ in range(events):
        next(turn)
    shop.env.clock.advance(EXPIRED)
    return turn


def last_run(shop: Shop, session_id: SessionId) -> Run:
    return shop.env.run_service().list(PageRequest(1), session_id=session_id, status=None).items[0]


def test_a_worker_that_lost_its_run_records_nothing(shop: Shop) -> None:
    """It ends after the other worker has taken over and before that worker ends."""
    session_id = shop.env.open_session()
    late = unfinished(shop, session_id, 3)
    run_id = last_run(shop, session_id).id
    other = shop.env.resumer().resume(run_id)
    assert other is not None
    assert [event.data.get("code") for event in late][-1] == "RUN_INTERRUPTED"
    assert shop.env.ledger().get(run_id) is None
    assert list(other.events())[-1].type == "final"
    run = check(shop, session_id)
    assert run is not None
    assert (run.status, run.spend.tool_calls) == ("succeeded", {"charge": 1, "look": 1, "upsert": 1, "mail": 1})


def test_a_step_that_the_earlier_worker_adds_during_the_take_over_is_used(shop: Shop) -> None:
    session_id = shop.env.open_session()
    late = unfinished(shop, session_id, 3)
    is_added = False

    def intercept(_operation: str, arguments: dict[str, Any], send: Send) -> Any:
        nonlocal is_added
        if not is_added and "STEP#00000002" in str(arguments.get("Item")):
            is_added = True
            shown = ((event.type, event.data.get("tool_call_id")) for event in late)
            assert ("tool_result", "c1") in shown, "it reads as far as this result"
        return send()

    with shop.env.intercepted(intercept):
        shop.env.sweep()
    assert list(late)[-1].type == "final", "the end that the other worker recorded"
    run = check(shop, session_id)
    assert run is not None
    assert (run.status, len(shop.effects["charge"])) == ("succeeded", 1)
    assert results_of(run)["c1"].content == "charge done"


def test_a_worker_cannot_act_after_its_run_was_closed(shop: Shop) -> None:
    session_id = shop.env.open_session()
    late = unfinished(shop, session_id, 2)
    shop.env.clock.advance(RESUME_SECONDS)
    shop.env.sweep()
    assert last_run(shop, session_id).status == "failed"
    assert [event.data.get("code") for event in late][-1] == "RUN_INTERRUPTED"
    assert shop.effects == {}
    check(shop, session_id)


def test_a_run_that_failed_during_a_tool_call_is_charged_exactly(shop: Shop) -> None:
    session_id = shop.env.open_session()
    stop_at(shop, session_id, "charge done")
    run = resumed(shop, session_id)
    real = [stream.usage for stream in shop.model.streams[:3]]
    assert run.spend.tokens == sum(real, Usage())
    assert not run.spend.tokens.estimated


def test_calls_that_nobody_was_asked_about_wait_again(shop: Shop) -> None:
    """The worker fails after the call was recorded and before the run waits."""
    session_id = shop.env.open_session()
    shop.set_agent(require_approval=["mail"])
    stop_at(shop, session_id, "waiting_approval")
    shop.env.clock.advance(EXPIRED)
    shop.env.sweep()
    run = last_run(shop, session_id)
    assert (run.status, run.waiting_for, shop.effects.get("mail")) == ("waiting_approval", ("c4",), None)


def test_a_cancelled_run_is_not_resumed(shop: Shop) -> None:
    session_id = shop.env.open_session()
    stop_at(shop, session_id, "charge done")
    shop.env.clock.advance(EXPIRED)
    shop.env.runs().request_cancel(last_run(shop, session_id).id)
    run = resumed(shop, session_id)
    assert (run.status, len(shop.effects.get("charge", []))) == ("cancelled", 1)


@pytest.mark.parametrize("fault", ["settle fails", "reply lost"])
def test_a_run_waits_although(shop: Shop, fault: str) -> None:
    session_id = shop.env.open_session()
    shop.set_agent(require_approval=["mail"])
    paused: list[str] = []

    def intercept(operation: str, arguments: dict[str, Any], send: Send) -> Any:
        if ":waiting" in str(arguments.get("UpdateExpression")):
            paused.append("paused")
            answer = send()
            return send() if fault == "reply lost" else answer
        if paused and fault == "settle fails" and "ADMISSION" in str(arguments):
            raise Unavailable(internal="of the test")
        return send()

    events: list[RunEvent] = []
    with shop.env.intercepted(intercept):
        shop.talk(session_id, events)
    run = last_run(shop, session_id)
    assert (events[-1].type, run.status) == ("approval_required", "waiting_approval")
    shop.env.clock.advance(EXPIRED)
    shop.env.sweep()
    assert shop.env.quotas().store.list()[""].slots == {}
    assert shop.env.ledger().get(run.id) is None


def test_a_repeated_call_id_gets_a_new_id(shop: Shop) -> None:
    """A decision about a call must not apply to a later call."""
    shop.model.rounds[1] = reply("Then. ", calls("mail", "c1"))
    session_id = shop.env.open_session()
    shop.talk(session_id, [])
    run = check(shop, session_id)
    assert run is not None
    assert len(results_of(run)) == 4


MADE_BEFORE: tuple[set[str], ...] = (set(), {"charge", "look", "upsert"}, {"charge", "look", "upsert", "mail"})
"""The tools that were called before each answer of the model."""


@pytest.mark.parametrize("number", range(3))
def test_an_effect_happens_once_if_the_provider_fails_at_any_point(shop: Shop, number: int) -> None:
    """The stream of each answer is cut before each of its pieces, and before its end."""
    whole = list(shop.model.rounds)
    for at in range(len(whole[number].pieces) + 1):
        session_id = shop.env.open_session()
        cut = [*whole[number].pieces[:at], ModelFailed(internal="cut", retryable=False)]
        shop.model.rounds = [*whole[:number], reply(*cut), *whole[number + 1 :]]
        events: list[RunEvent] = []
        shop.talk(session_id, events)
        shop.model.rounds = whole
        assert events[-1].type == "error"
        assert set(shop.effects) == MADE_BEFORE[number]
        run = check(shop, session_id)
        assert run is not None
        assert run.status == "failed"
