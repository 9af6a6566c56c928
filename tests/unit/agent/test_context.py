"""What a turn resolves before it opens: agent, model, session, history; each refusal with its own code."""

import threading
from typing import Any

import pytest
from atrium.agent.context import check_model
from atrium.kernel.errors import AtriumError, ModelNotAllowed, NotFound, ProviderUnsupported, ValidationFailed
from atrium.kernel.ids import AgentId
from atrium.storage import keys
from atrium.storage.writes import ANY, Delete, Update
from atrium.tenants.plans import PlanName

from tests.builders.house import OTHER_TENANT, TENANT, House, context_of, session_id_of
from tests.builders.wires import Recorder, Send

MISSING = "agt_01k6r5m2x8f3v9q4w7t1y0z5ab"


def add_agent(house: House, name: str, *, is_default: bool = False, **fields: Any) -> AgentId:
    given = {"name": name, "model": "claude-haiku-5-5", "system_prompt": name, **fields}
    return house.agents().create(given, is_default=is_default).agent.id


def systems(house: House) -> list[str]:
    return [request.system for request in house.model.requests]


def test_the_default_agent_answers(house: House) -> None:
    house.talk()
    assert systems(house)[0].startswith("You are a helpful assistant.")


def test_another_default_answers_from_the_next_turn_on(house: House) -> None:
    """The memory of the process is a guess, which every turn's own read checks."""
    session_id = session_id_of(house.talk())
    first = house.default_agents[TENANT]
    second = add_agent(house, "second", is_default=True)
    house.talk(session_id=session_id)
    assert systems(house)[-1] == "second"
    assert house.default_agents[TENANT] == second != first


def test_a_good_guess_saves_a_read(house: House) -> None:
    reads: list[list[str]] = []
    for _ in range(2):
        recorder = Recorder()
        with house.intercepted(recorder):
            house.begin()
        reads.append([name for name in recorder.operations if name in {"BatchGetItem", "GetItem"}])
    assert reads == [["BatchGetItem", "GetItem"], ["BatchGetItem"]]


def test_a_guess_of_an_agent_that_is_gone_is_no_obstacle(house: House) -> None:
    house.talk()
    gone = house.default_agents[TENANT]
    add_agent(house, "second", is_default=True)
    house.agents().delete(gone)
    house.talk()
    assert systems(house)[-1] == "second"


def test_the_callers_choice_goes_before_the_sessions(house: House) -> None:
    first, second = add_agent(house, "first"), add_agent(house, "second")
    session_id = session_id_of(house.talk(agent_id=first))
    house.talk(session_id=session_id)
    house.talk(session_id=session_id, agent_id=second)
    house.talk(session_id=session_id)
    assert systems(house) == ["first", "first", "second", "first"]


def test_a_session_whose_agent_was_deleted_is_not_answered_by_another_unasked(house: House) -> None:
    agent_id, other = add_agent(house, "gone"), add_agent(house, "other")
    session_id = session_id_of(house.talk(agent_id=agent_id))
    house.agents().delete(agent_id)
    assert "agent was deleted" in refused(house, session_id=session_id).detail
    house.talk(session_id=session_id, agent_id=other)
    house.session_service().change(session_id, {"agent_id": None})
    house.talk(session_id=session_id)
    assert [system[:7] for system in systems(house)] == ["gone", "other", "You are"]


def refused(house: House, **wishes: Any) -> AtriumError:
    """Begin a turn that must be refused, with nothing written."""
    before = house.items()
    with pytest.raises(AtriumError) as refusal:
        house.begin(**wishes)
    assert house.items() == before
    return refusal.value


def test_an_unknown_agent(house: House) -> None:
    for agent_id in (MISSING, "", "x", "agt_", "ses_01k6r5m2x8f3v9q4w7t1y0z5ab"):
        assert isinstance(refused(house, agent_id=agent_id), NotFound)


def test_another_tenants_agent_is_not_there(house: House) -> None:
    house.talk(context=context_of(tenant=OTHER_TENANT))
    assert isinstance(refused(house, agent_id=house.default_agents[OTHER_TENANT]), NotFound)


def test_without_a_default_agent_one_must_be_named(house: House) -> None:
    agent_id = add_agent(house, "only")
    house.table().write(Update(keys.tenant(), "REMOVE #default_agent_id", ANY))
    assert "no default agent" in refused(house).detail
    assert house.talk(agent_id=agent_id)[-1].type == "final"


def test_a_tenant_that_is_gone(house: House) -> None:
    house.table().write(Delete(keys.tenant(), ANY))
    assert isinstance(refused(house), NotFound)


def test_the_callers_model(house: House) -> None:
    turn = house.begin(model="claude-opus-5-5")
    assert (turn.run.model, turn.loop.given.model) == ("claude-opus-5-5", "claude-opus-5-5")


@pytest.mark.parametrize("model", ["gpt-4", "", "claude", "CLAUDE-HAIKU-5-5"])
def test_an_unknown_model(house: House, model: str) -> None:
    failure = refused(house, model=model or "x")
    assert isinstance(failure, ValidationFailed)
    assert failure.detail == "`model`: is not in the catalogue of models"


@pytest.mark.parametrize(
    ("plan", "model"), [("free", "claude-sonnet-5-5"), ("free", "claude-opus-5-5"), ("starter", "claude-opus-5-5")]
)
def test_a_model_beyond_the_plan(house: House, plan: PlanName, model: str) -> None:
    failure = refused(house, model=model, context=context_of(plan=plan))
    assert isinstance(failure, ModelNotAllowed)
    assert (failure.status, failure.code) == (403, "MODEL_NOT_ALLOWED")


def test_an_agents_model_beyond_the_plan(house: House) -> None:
    """The tenant has come down to another plan."""
    agent_id = add_agent(house, "grand", model="claude-opus-5-5")
    assert isinstance(refused(house, agent_id=agent_id, context=context_of(plan="free")), ModelNotAllowed)


def test_a_provider_that_does_not_serve_the_model(house: House) -> None:
    assert isinstance(refused(house, provider="openai"), ProviderUnsupported)
    assert house.begin(provider="anthropic").run.provider == "anthropic"


def test_a_temperature_where_the_model_takes_none() -> None:
    with pytest.raises(ValidationFailed, match="takes no temperature"):
        check_model(context_of(), None, "claude-haiku-5-5", has_temperature=True)


def test_a_history_that_was_read_too_early_is_read_again(house: House) -> None:
    """Head and runs are read side by side; a turn may end between the two."""
    session_id = session_id_of(house.talk("first"))
    house.clock.turn(1)
    running = house.begin("second", session_id=session_id)
    house.clock.turn(1)
    finished = threading.Event()

    def end_between(operation: str, _arguments: object, send: Send) -> Any:
        if operation == "GetItem":
            assert finished.wait(5), "the head is read when the runs were read and the turn has ended"
        answer = send()
        if operation == "Query" and not finished.is_set():
            list(running.events())
            finished.set()
        return answer

    with house.intercepted(end_between):
        house.talk("third", session_id=session_id)
    shown = [block.text for message in house.model.requests[-1].messages for block in message.content]  # type: ignore[union-attr]
    assert shown == ["first", "Hello.", "second", "Hello.", "third"]
