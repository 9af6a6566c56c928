"""The data that a turn reads before it starts: agent, model, session and history.

Each failure has its own error code.
"""

import threading
from typing import Any

import pytest
from atrium.agent.context import check_model
from atrium.kernel.errors import AtriumError, ModelNotAllowed, NotFound, ProviderUnsupported, ValidationFailed
from atrium.kernel.ids import AgentId
from atrium.llm.catalogue import MODELS
from atrium.storage import keys
from atrium.storage.writes import ANY, Delete, Update
from atrium.tenants.plans import PlanName

from tests.builders.tenant_env import OTHER_TENANT, TENANT, TenantEnv, context_of, session_id_of
from tests.builders.wires import Recorder, Send

MISSING = "agt_01k6r5m2x8f3v9q4w7t1y0z5ab"


def add_agent(tenant_env: TenantEnv, name: str, *, is_default: bool = False, **fields: Any) -> AgentId:
    given = {"name": name, "model": "claude-haiku-5-5", "system_prompt": name, **fields}
    return tenant_env.agents().create(given, is_default=is_default).agent.id


def systems(tenant_env: TenantEnv) -> list[str]:
    return [request.system for request in tenant_env.model.requests]


def test_the_default_agent_answers(tenant_env: TenantEnv) -> None:
    tenant_env.talk()
    assert systems(tenant_env)[0].startswith("You are a helpful assistant.")


def test_another_default_answers_from_the_next_turn_on(tenant_env: TenantEnv) -> None:
    """Each turn checks the cached id of the default agent when it reads the tenant."""
    session_id = session_id_of(tenant_env.talk())
    first = tenant_env.default_agents[TENANT]
    second = add_agent(tenant_env, "second", is_default=True)
    tenant_env.talk(session_id=session_id)
    assert systems(tenant_env)[-1] == "second"
    assert tenant_env.default_agents[TENANT] == second != first


def test_a_correct_cached_agent_saves_a_read(tenant_env: TenantEnv) -> None:
    reads: list[list[str]] = []
    for _ in range(2):
        recorder = Recorder()
        with tenant_env.intercepted(recorder):
            tenant_env.begin()
        reads.append([name for name in recorder.operations if name in {"BatchGetItem", "GetItem"}])
    assert reads == [["BatchGetItem", "GetItem"], ["BatchGetItem"]]


def test_a_cached_agent_that_was_deleted_is_ignored(tenant_env: TenantEnv) -> None:
    tenant_env.talk()
    gone = tenant_env.default_agents[TENANT]
    add_agent(tenant_env, "second", is_default=True)
    tenant_env.agents().delete(gone)
    tenant_env.talk()
    assert systems(tenant_env)[-1] == "second"


def test_the_callers_agent_overrides_the_sessions(tenant_env: TenantEnv) -> None:
    first, second = add_agent(tenant_env, "first"), add_agent(tenant_env, "second")
    session_id = session_id_of(tenant_env.talk(agent_id=first))
    tenant_env.talk(session_id=session_id)
    tenant_env.talk(session_id=session_id, agent_id=second)
    tenant_env.talk(session_id=session_id)
    assert systems(tenant_env) == ["first", "first", "second", "first"]


def test_a_deleted_agent_is_not_replaced_silently(tenant_env: TenantEnv) -> None:
    agent_id, other = add_agent(tenant_env, "gone"), add_agent(tenant_env, "other")
    session_id = session_id_of(tenant_env.talk(agent_id=agent_id))
    tenant_env.agents().delete(agent_id)
    assert "agent was deleted" in refused(tenant_env, session_id=session_id).detail
    tenant_env.talk(session_id=session_id, agent_id=other)
    tenant_env.session_service().change(session_id, {"agent_id": None})
    tenant_env.talk(session_id=session_id)
    assert [system[:7] for system in systems(tenant_env)] == ["gone", "other", "You are"]


def refused(tenant_env: TenantEnv, **wishes: Any) -> AtriumError:
    """Assert that a turn is rejected and writes nothing. Return the error."""
    before = tenant_env.items()
    with pytest.raises(AtriumError) as refusal:
        tenant_env.begin(**wishes)
    assert tenant_env.items() == before
    return refusal.value


def test_rejects_an_unknown_agent(tenant_env: TenantEnv) -> None:
    for agent_id in (MISSING, "", "x", "agt_", "ses_01k6r5m2x8f3v9q4w7t1y0z5ab"):
        assert isinstance(refused(tenant_env, agent_id=agent_id), NotFound)


def test_another_tenants_agent_is_not_found(tenant_env: TenantEnv) -> None:
    tenant_env.talk(context=context_of(tenant=OTHER_TENANT))
    assert isinstance(refused(tenant_env, agent_id=tenant_env.default_agents[OTHER_TENANT]), NotFound)


def test_requires_an_agent_without_a_default(tenant_env: TenantEnv) -> None:
    agent_id = add_agent(tenant_env, "only")
    tenant_env.table().write(Update(keys.tenant(), "REMOVE #default_agent_id", ANY))
    assert "no default agent" in refused(tenant_env).detail
    assert tenant_env.talk(agent_id=agent_id)[-1].type == "final"


def test_rejects_a_deleted_tenant(tenant_env: TenantEnv) -> None:
    tenant_env.table().write(Delete(keys.tenant(), ANY))
    assert isinstance(refused(tenant_env), NotFound)


def test_uses_the_callers_model(tenant_env: TenantEnv) -> None:
    turn = tenant_env.begin(model="claude-opus-5-5")
    assert (turn.run.model, turn.loop.loop_input.model) == ("claude-opus-5-5", "claude-opus-5-5")


@pytest.mark.parametrize("model", ["gpt-4", "", "claude", "CLAUDE-HAIKU-5-5"])
def test_rejects_an_unknown_model(tenant_env: TenantEnv, model: str) -> None:
    failure = refused(tenant_env, model=model or "x")
    assert isinstance(failure, ValidationFailed)
    assert failure.detail == f"`model`: must be one of {', '.join(f'`{each}`' for each in ('auto', *MODELS))}"


@pytest.mark.parametrize(
    ("plan", "model"), [("free", "claude-sonnet-5-5"), ("free", "claude-opus-5-5"), ("starter", "claude-opus-5-5")]
)
def test_rejects_a_model_outside_the_plan(tenant_env: TenantEnv, plan: PlanName, model: str) -> None:
    failure = refused(tenant_env, model=model, context=context_of(plan=plan))
    assert isinstance(failure, ModelNotAllowed)
    assert (failure.status, failure.code) == (403, "MODEL_NOT_ALLOWED")


def test_rejects_an_agents_model_outside_the_plan(tenant_env: TenantEnv) -> None:
    """This occurs after the tenant changes to a smaller plan."""
    agent_id = add_agent(tenant_env, "grand", model="claude-opus-5-5")
    assert isinstance(refused(tenant_env, agent_id=agent_id, context=context_of(plan="free")), ModelNotAllowed)


def test_rejects_a_model_that_the_provider_does_not_serve(tenant_env: TenantEnv) -> None:
    assert isinstance(refused(tenant_env, provider="openai"), ProviderUnsupported)
    assert tenant_env.begin(provider="anthropic").run.provider == "anthropic"


def test_rejects_a_temperature_for_a_model_without_one() -> None:
    with pytest.raises(ValidationFailed, match="does not accept a temperature"):
        check_model(context_of(), None, "claude-haiku-5-5", has_temperature=True)


def test_reads_the_history_again_if_a_turn_ended_meanwhile(tenant_env: TenantEnv) -> None:
    """Session and runs are read in parallel, so a turn may end between the two reads."""
    session_id = session_id_of(tenant_env.talk("first"))
    tenant_env.clock.advance(1)
    running = tenant_env.begin("second", session_id=session_id)
    tenant_env.clock.advance(1)
    finished = threading.Event()

    def end_between(operation: str, _arguments: object, send: Send) -> Any:
        if operation == "GetItem":
            assert finished.wait(60), "the head is read when the runs were read and the turn has ended"
        answer = send()
        if operation == "Query" and not finished.is_set():
            list(running.events())
            finished.set()
        return answer

    with tenant_env.intercepted(end_between):
        tenant_env.talk("third", session_id=session_id)
    shown = [block.text for message in tenant_env.model.requests[-1].messages for block in message.content]  # type: ignore[union-attr]  # all are texts
    assert shown == ["first", "Hello.", "second", "Hello.", "third"]
