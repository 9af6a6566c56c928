"""Turns that fail, are cancelled or run out of time, and what is kept of them."""

import random
from typing import Any

import pytest
from atrium.agent.wire import usage_fields
from atrium.kernel.errors import AtriumError, ModelFailed, ModelTimeout, ValidationFailed
from atrium.llm.model import Text
from atrium.runs.model import RunEvent
from atrium.tools.registry import ToolRegistry

from tests.builders.house import OTHER_TENANT, House, context_of, run_id_of, types_of
from tests.builders.loops import tool
from tests.builders.scripted import calls
from tests.builders.wires import Send


def assert_whole(events: list[RunEvent]) -> None:
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert events[0].type == "start"
    assert events[-1].type in {"final", "error"}
    assert [event.type for event in events].count("final") + [event.type for event in events].count("error") == 1


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (ModelFailed(internal="x"), "MODEL_FAILED"),
        (ModelTimeout(), "MODEL_TIMEOUT"),
        (ValidationFailed("too long"), "VALIDATION_FAILED"),
    ],
)
def test_a_failure_of_the_model(house: House, failure: AtriumError, code: str) -> None:
    house.model.say("Half of ", "it", failure)
    events = house.talk()
    assert_whole(events)
    assert types_of(events) == ["start", "text", "text", "error"]
    run = house.run_of(events)
    assert events[-1].data == {"run_id": run.id, "code": code, "detail": failure.detail}
    assert run.outcome is not None
    assert run.outcome.error is not None
    assert (run.status, run.outcome.error.code, run.outcome.stop_reason) == ("failed", code, None)
    assert [message.text for message in run.messages] == ["Hi", "Half of it"]
    assert house.entry_of(run.id).tokens.output_tokens == 3
    assert failure in house.defects
    following = house.talk("again", session_id=run.session_id)
    assert following[-1].type == "final"


def test_a_failure_before_the_first_word(house: House) -> None:
    house.model.say(ModelFailed())
    events = house.talk()
    assert types_of(events) == ["start", "error"]
    run = house.run_of(events)
    assert [message.role for message in run.messages] == ["user"]
    house.talk("again", session_id=run.session_id)
    assert [block for message in house.model.requests[-1].messages for block in message.content] == [Text("again")]


def test_a_defect_of_ours_ends_the_turn_and_is_told_without_its_text(house: House) -> None:
    defect = RuntimeError("the text of a defect")
    house.model.say("One", defect)
    events = house.talk()
    assert events[-1].data == {"run_id": run_id_of(events), "code": "INTERNAL", "detail": AtriumError.title}
    assert house.run_of(events).status == "failed"
    assert defect in house.defects
    assert "the text of a defect" not in str(house.items())


def test_a_defect_of_a_tool_is_logged_and_the_turn_goes_on(house: House) -> None:
    defect = RuntimeError("inside")

    def fail() -> str:
        raise defect

    house.tools = ToolRegistry([tool("calculator", fail)])
    house.model.say(calls("calculator"))
    events = house.talk()
    assert events[-1].type == "final"
    assert house.defects == [defect]


def test_cancelled_in_the_middle(house: House) -> None:
    house.model.say("One, ", lambda: turn.signal.stop("cancelled"), "two")
    turn = house.begin()
    events = list(turn.events())
    assert types_of(events) == ["start", "text", "usage", "final"]
    assert (events[-1].data["stop_reason"], events[-1].data["content"]) == ("cancelled", "One, ")
    run = house.run_of(events)
    assert (run.status, house.entry_of(run.id).status) == ("cancelled", "cancelled")
    assert house.entry_of(run.id).tokens.output_tokens == 3
    assert house.talk("again", session_id=run.session_id)[-1].type == "final"


def test_a_cancellation_that_comes_after_the_last_word_changes_nothing(house: House) -> None:
    turn = house.begin()

    def cancel_late(_operation: str, _arguments: object, send: Send) -> Any:
        turn.signal.stop("cancelled")
        return send()

    with house.intercepted(cancel_late):
        events = list(turn.events())
    assert (events[-1].data["stop_reason"], house.run_of(events).status) == ("end_turn", "succeeded")


def test_time_over_with_something_said(house: House) -> None:
    house.model.say("One, ", lambda: turn.signal.stop("max_seconds"), "two")
    turn = house.begin()
    events = list(turn.events())
    assert (events[-1].type, events[-1].data["stop_reason"]) == ("final", "max_seconds")
    assert house.run_of(events).status == "succeeded"


def test_time_over_with_nothing_said_is_a_time_out(house: House) -> None:
    house.model.say(lambda: turn.signal.stop("max_seconds"), "too late")
    turn = house.begin()
    events = list(turn.events())
    assert (events[-1].type, events[-1].data["code"]) == ("error", "MODEL_TIMEOUT")
    assert house.run_of(events).status == "failed"


def test_long_answers_spill_and_come_back(house: House) -> None:
    noise = [random.Random(seed).randbytes(10_000).hex() for seed in range(8)]
    house.model.say(*noise)
    events = house.talk()
    run = house.run_of(events)
    assert run.messages[-1].text == "".join(noise) == events[-1].data["content"]
    assert house.blobs()
    assert house.replay(run.id) == events


def test_usage_is_flat_and_money_has_six_decimals(house: House) -> None:
    run = house.run_of(house.talk())
    assert usage_fields(run.spend)["cost_usd"] == "0.000020"


def test_another_tenants_turns_are_its_own(house: House) -> None:
    other = context_of(tenant=OTHER_TENANT)
    run_id = run_id_of(house.talk(context=other))
    assert house.runs().get(run_id) is None
    assert house.ledger().get(run_id) is None
    assert house.ledger(OTHER_TENANT).get(run_id) is not None
