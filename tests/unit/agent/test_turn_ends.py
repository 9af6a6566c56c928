"""Turns that fail, are cancelled or reach their time limit, and the data that they store."""

import random
from typing import Any

import pytest
from atrium.kernel.errors import AtriumError, ModelFailed, ModelTimeout, ValidationFailed
from atrium.llm.model import Text
from atrium.runs.model import RunEvent, usage_fields
from atrium.tools.registry import ToolRegistry

from tests.builders.loops import tool
from tests.builders.scripted import calls
from tests.builders.tenant_env import OTHER_TENANT, TenantEnv, context_of, run_id_of, types_of
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
def test_a_failure_of_the_model(tenant_env: TenantEnv, failure: AtriumError, code: str) -> None:
    tenant_env.model.say("Half of ", "it", failure)
    events = tenant_env.talk()
    assert_whole(events)
    assert types_of(events) == ["start", "text", "text", "error"]
    run = tenant_env.run_of(events)
    assert events[-1].data == {"run_id": run.id, "code": code, "detail": failure.detail}
    assert run.outcome is not None
    assert run.outcome.error is not None
    assert (run.status, run.outcome.error.code, run.outcome.stop_reason) == ("failed", code, None)
    assert [message.text for message in run.messages] == ["Hi", "Half of it"]
    assert tenant_env.entry_of(run.id).tokens.output_tokens == 3
    assert failure in tenant_env.defects
    following = tenant_env.talk("again", session_id=run.session_id)
    assert following[-1].type == "final"


def test_a_failure_before_the_first_text(tenant_env: TenantEnv) -> None:
    tenant_env.model.say(ModelFailed())
    events = tenant_env.talk()
    assert types_of(events) == ["start", "error"]
    run = tenant_env.run_of(events)
    assert [message.role for message in run.messages] == ["user"]
    tenant_env.talk("again", session_id=run.session_id)
    assert [block for message in tenant_env.model.requests[-1].messages for block in message.content] == [Text("again")]


def test_an_unexpected_error_ends_the_turn_without_exposing_its_text(tenant_env: TenantEnv) -> None:
    defect = RuntimeError("the text of a defect")
    tenant_env.model.say("One", defect)
    events = tenant_env.talk()
    assert events[-1].data == {"run_id": run_id_of(events), "code": "INTERNAL", "detail": AtriumError.title}
    assert tenant_env.run_of(events).status == "failed"
    assert defect in tenant_env.defects
    assert "the text of a defect" not in str(tenant_env.items())


def test_an_unexpected_tool_error_is_logged_and_the_turn_continues(tenant_env: TenantEnv) -> None:
    defect = RuntimeError("inside")

    def fail() -> str:
        raise defect

    tenant_env.tools = ToolRegistry([tool("calculator", fail)])
    tenant_env.model.say(calls("calculator"))
    events = tenant_env.talk()
    assert events[-1].type == "final"
    assert tenant_env.defects == [defect]


def test_cancelled_in_the_middle(tenant_env: TenantEnv) -> None:
    tenant_env.model.say("One, ", lambda: turn.signal.stop("cancelled"), "two")
    turn = tenant_env.begin()
    events = list(turn.events())
    assert types_of(events) == ["start", "text", "usage", "final"]
    assert (events[-1].data["stop_reason"], events[-1].data["content"]) == ("cancelled", "One, ")
    run = tenant_env.run_of(events)
    assert (run.status, tenant_env.entry_of(run.id).status) == ("cancelled", "cancelled")
    assert tenant_env.entry_of(run.id).tokens.output_tokens == 3
    assert tenant_env.talk("again", session_id=run.session_id)[-1].type == "final"


def test_a_cancellation_after_the_answer_has_no_effect(tenant_env: TenantEnv) -> None:
    turn = tenant_env.begin()

    def cancel_late(_operation: str, _arguments: object, send: Send) -> Any:
        turn.signal.stop("cancelled")
        return send()

    with tenant_env.intercepted(cancel_late):
        events = list(turn.events())
    assert (events[-1].data["stop_reason"], tenant_env.run_of(events).status) == ("end_turn", "succeeded")


def test_time_limit_with_a_partial_answer(tenant_env: TenantEnv) -> None:
    tenant_env.model.say("One, ", lambda: turn.signal.stop("max_seconds"), "two")
    turn = tenant_env.begin()
    events = list(turn.events())
    assert (events[-1].type, events[-1].data["stop_reason"]) == ("final", "max_seconds")
    assert tenant_env.run_of(events).status == "succeeded"


def test_time_limit_without_an_answer_is_a_time_out(tenant_env: TenantEnv) -> None:
    tenant_env.model.say(lambda: turn.signal.stop("max_seconds"), "too late")
    turn = tenant_env.begin()
    events = list(turn.events())
    assert (events[-1].type, events[-1].data["code"]) == ("error", "MODEL_TIMEOUT")
    assert tenant_env.run_of(events).status == "failed"


def test_reads_long_answers_back_from_s3(tenant_env: TenantEnv) -> None:
    noise = [random.Random(seed).randbytes(10_000).hex() for seed in range(8)]
    tenant_env.model.say(*noise)
    events = tenant_env.talk()
    run = tenant_env.run_of(events)
    assert run.messages[-1].text == "".join(noise) == events[-1].data["content"]
    assert tenant_env.blobs()
    assert tenant_env.replay(run.id) == events


def test_usage_is_flat_and_money_has_six_decimals(tenant_env: TenantEnv) -> None:
    run = tenant_env.run_of(tenant_env.talk())
    assert usage_fields(run.spend)["cost_usd"] == "0.000020"


def test_tenants_do_not_see_each_others_turns(tenant_env: TenantEnv) -> None:
    other = context_of(tenant=OTHER_TENANT)
    run_id = run_id_of(tenant_env.talk(context=other))
    assert tenant_env.runs().get(run_id) is None
    assert tenant_env.ledger().get(run_id) is None
    assert tenant_env.ledger(OTHER_TENANT).get(run_id) is not None
