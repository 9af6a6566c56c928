"""A run is resumed by another worker after its worker was killed at any call to the table or bucket.

No effect happens twice, every tool call has one result, the ledger has one entry, and the session accepts a message.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pytest
from atrium.agent.finalizing import OPENING_GRACE_SECONDS, RESUME_SECONDS, TAKEOVERS_MAX
from atrium.agent.turn import TurnService
from atrium.jobs.resuming import RunResumer
from atrium.kernel.errors import Unauthenticated
from atrium.kernel.ids import SessionId
from atrium.kernel.pagination import PageRequest
from atrium.llm.model import ModelRequest, ToolResult, ToolUse
from atrium.quotas.model import SLOT_LEASE_SECONDS
from atrium.runs.items import unpack
from atrium.runs.model import RUN_LEASE_SECONDS, Run, RunEvent, answer_text
from atrium.runs.steps import INTERRUPTED, UNKNOWN, StepLog
from atrium.storage import keys
from atrium.storage.writes import EXISTS, Update
from atrium.tools.model import EffectClass, Tool, ToolContext
from atrium.tools.registry import ToolRegistry

from tests.builders.loops import NoArguments
from tests.builders.scripted import Reply, ScriptedModel, ScriptedStream, calls, reply
from tests.builders.tenant_env import TenantEnv, text_of
from tests.builders.wires import Kill, Killed, Send

EXPIRED = OPENING_GRACE_SECONDS + SLOT_LEASE_SECONDS + 5
"""Longer than the leases of the run and its slots, and than the grace of a slot without a run."""


EFFECTS: dict[str, EffectClass] = {"charge": "effectful", "mail": "effectful", "upsert": "idempotent", "look": "pure"}


@dataclass
class Rounds(ScriptedModel):
    """A model whose reply depends on the number of tool rounds in the request, so it may be asked again."""

    rounds: list[Reply] = field(default_factory=list)

    def open(self, request: ModelRequest, *, deadline_seconds: float) -> ScriptedStream:
        done = sum(any(isinstance(block, ToolResult) for block in each.content) for each in request.messages)
        self.replies = [self.rounds[done]] if done < len(self.rounds) else []
        return super().open(request, deadline_seconds=deadline_seconds)


@dataclass
class Shop:
    """An agent with tools of each effect class. `effects` has the idempotency keys with which each tool was called."""

    env: TenantEnv
    effects: dict[str, list[str]] = field(default_factory=dict)
    when_called: Callable[[str], object] = lambda _name: None

    def __post_init__(self) -> None:
        self.env.tools = ToolRegistry(self._tool(name, effect) for name, effect in EFFECTS.items())
        self.env.model = self.model
        self.set_agent(tools=list(EFFECTS))

    @cached_property
    def model(self) -> Rounds:
        return Rounds(
            rounds=[
                reply("First. ", calls("charge", "c1"), calls("look", "c2"), calls("upsert", "c3")),
                reply("Then. ", calls("mail", "c4")),
                reply("Done."),
            ]
        )

    def set_agent(self, **attributes: Any) -> None:
        """Set attributes of the default agent's item, such as the names of tools that only tests have."""
        agent = self.env.agents().list(PageRequest(1)).items[0].agent
        sets = ", ".join(f"#{name} = :{name}" for name in attributes)
        self.env.table().write(Update(keys.agent(agent.id), f"SET {sets}", EXISTS, attributes))

    def _tool(self, name: str, effect: EffectClass) -> Tool[NoArguments]:
        def run(_arguments: NoArguments, context: ToolContext) -> str:
            self.effects.setdefault(name, []).append(context.idempotency_key)
            self.when_called(name)
            return f"{name} done"

        return Tool(name, "For tests.", "tests", NoArguments, run, effect=effect)

    def talk(self, session_id: SessionId, seen: list[RunEvent]) -> None:
        self.effects.clear()
        self.env.clock.advance(1)
        for event in self.env.begin("Do it.", session_id=session_id).events():
            seen.append(event)


@dataclass
class KillAt:
    """An interceptor that simulates a process that is killed before the first call whose arguments contain a text."""

    text: str
    died: bool = False

    def __call__(self, _operation: str, arguments: dict[str, Any], send: Send) -> Any:
        self.died |= self.text in str(arguments) or any(self.text in str(unpacked) for unpacked in _unpacked(arguments))
        if self.died:
            raise Killed
        return send()


def _unpacked(arguments: Mapping[str, Any]) -> Iterator[object]:
    """Yield the contents of the payloads of an item."""
    for value in arguments.get("Item", {}).values():
        if "B" in value:
            yield unpack(value["B"])


@pytest.fixture
def shop(tenant_env: TenantEnv) -> Shop:
    return Shop(tenant_env)


def check(shop: Shop, session_id: SessionId) -> Run | None:
    """Assert that the session's last run is complete and consistent. Return it, or None if there is no run."""
    env = shop.env
    runs = env.run_service().list(PageRequest(5), session_id=session_id, status=None).items
    assert not any(run.is_open for run in runs)
    for name in ("charge", "mail"):
        assert len(shop.effects.get(name, [])) <= 1, "an effect happened twice"
    for name, keys_used in shop.effects.items():
        assert len(set(keys_used)) == 1, f"{name} was repeated with another key"
    for run in runs:
        entry = env.entry_of(run.id)
        assert (entry.tokens, entry.cost_nanos) == (run.spend.tokens, run.spend.cost_nanos)
        asked = [block.id for each in run.messages for block in each.content if isinstance(block, ToolUse)]
        answered = [
            block.tool_use_id for each in run.messages for block in each.content if isinstance(block, ToolResult)
        ]
        assert asked == answered
        replayed = env.replay(run.id)
        assert [event.sequence for event in replayed] == list(range(1, len(replayed) + 1))
        shown = Counter((event.type, event.data.get("tool_call_id")) for event in replayed)
        assert all(shown["tool_call", call] == shown["tool_result", call] == 1 for call in asked)
        assert text_of(replayed) == answer_text(run.messages)
    ledger = [str(item["sk"]["S"]) for item in env.items("LEDGER#")]
    assert len(ledger) == len(set(ledger))
    assert env.talk("again", session_id=session_id)[-1].type == "final"
    assert env.quotas().store.list()[""].slots == {}
    return runs[0] if runs else None


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


@pytest.mark.timeout(240)
@pytest.mark.parametrize("applied", [False, True])
def test_resumes_a_run_killed_at_any_call(shop: Shop, applied: bool) -> None:
    ends = Counter[str]()
    for _number, session_id in killed_turns(shop, applied=applied):
        shop.env.clock.advance(EXPIRED)
        assert shop.env.sweep().failed == 0
        run = check(shop, session_id)
        ends[run.status if run else "none"] += 1
    assert ends["succeeded"] > ends["failed"]


@pytest.mark.timeout(240)
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
    assert UNKNOWN in str(shop.model.requests[-2].messages), "the model is told"


def test_repeats_calls_without_effects_with_the_same_idempotency_key(shop: Shop) -> None:
    session_id = shop.env.open_session()
    shop.model.rounds[0] = reply(calls("upsert", "c1"))
    stop_at(shop, session_id, "upsert done")
    run = resumed(shop, session_id)
    first, second = shop.effects["upsert"]
    assert first == second == f"{run.id}-c1"


def test_continues_an_answer_that_was_cut_off(shop: Shop) -> None:
    session_id = shop.env.open_session()
    shop.model.rounds[2] = reply("A first part. ", lambda: shop.env.clock.advance(3), "A second part.", "The rest.")
    stop_at(shop, session_id, "LEDGER#")
    run = resumed(shop, session_id)
    assert answer_text(run.messages).startswith("First. \n\nThen. \n\nA first part. A second part.\n\n")
    assert INTERRUPTED in str(shop.model.requests[-2].messages[-1])


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
