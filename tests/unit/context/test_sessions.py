"""Long sessions: the requests of each turn, the stored summary, and what the ledger says."""

from collections.abc import Callable
from typing import Any

import pytest
from atrium.agent.loop import build_request
from atrium.agent.model import AgentConfig, RunLimits
from atrium.context.conversation import SUMMARY_HEADING
from atrium.context.profiles import PROFILES, CompactionProfile
from atrium.kernel.errors import ModelFailed
from atrium.kernel.ids import SessionId, own_ulid
from atrium.llm.model import ModelRequest
from atrium.llm.tokens import estimate_prompt_tokens
from atrium.runs.model import RunEvent
from atrium.tools.registry import ToolRegistry

from tests.builders.conversations import RoundsModel, assert_pairs, is_summary, text_of
from tests.builders.loops import tool
from tests.builders.tenant_env import TENANT, TenantEnv, run_id_of, session_id_of

BASE = 1_000
"""More than the estimated tokens of system prompt, tools and question."""


def configure(tenant_env: TenantEnv, **fields: Any) -> AgentConfig:
    """Change the default agent of the tenant."""
    tenant_env.configure(limits={"messages_per_session": -1})
    tenant_env.talk("first")
    agent = tenant_env.default_agents[TENANT]
    return tenant_env.agents().change(agent, fields, is_default=None).agent


def use_model(tenant_env: TenantEnv, rounds: int, **fields: Any) -> RoundsModel:
    tenant_env.model = model = RoundsModel(rounds=rounds, tool="calculator", **fields)
    return model


def opening(request: ModelRequest) -> str:
    return text_of(request.messages[0])


@pytest.mark.parametrize("profile", [*PROFILES, None])
def test_a_long_session_stays_within_its_limits(tenant_env: TenantEnv, profile: CompactionProfile | None) -> None:
    agent = configure(tenant_env, compaction_profile=profile, max_history_tokens=4_000)
    model = use_model(tenant_env, 0)
    session_id = tenant_env.open_session()
    summarised: list[int] = []
    for number in range(40):
        before = len(model.requests)
        events = tenant_env.talk(f"Message {number}: " + "m" * 500, session_id=session_id)
        asked = model.requests[before:]
        summarised.append(len([request for request in asked if is_summary(request)]))
        run = tenant_env.run_of(events)
        assert run.outcome is not None
        assert (run.outcome.summary is not None) is (summarised[-1] == 1)
        entry = tenant_env.entry_of(run.id)
        assert (entry.cost_nanos, entry.tokens) == (run.spend.cost_nanos, run.spend.tokens)
        assert asked[-1].system == agent.system_prompt
        assert_pairs(asked[-1].messages)
        assert all(estimate_prompt_tokens(request) <= 4_000 + BASE for request in asked)
        assert text_of(asked[-1].messages[-1]).startswith(f"Message {number}:")
    if profile is None:
        assert set(summarised) == {0}
        assert opening(model.requests[-1]).startswith("Message 2")
    else:
        assert set(summarised) == {0, 1}
        assert summarised.index(1) > 10
        assert sum(summarised) < 6, "a summary is used by the next turns"
        assert opening(model.requests[-1]).startswith(SUMMARY_HEADING + model.summary)
    assert len(tenant_env.messages_of(session_id)) == 80


def talk_until_summarised(tenant_env: TenantEnv, model: RoundsModel) -> tuple[SessionId, list[RunEvent]]:
    session_id = tenant_env.open_session()
    while not any(map(is_summary, model.requests)):
        events = tenant_env.talk("m" * 900, session_id=session_id)
    return session_id, events


def test_the_next_turn_begins_with_the_summary_and_summarises_again_with_it(tenant_env: TenantEnv) -> None:
    configure(tenant_env, compaction_profile="coding", max_history_tokens=4_000)
    model = use_model(tenant_env, 0, summary="First summary.")
    session_id, events = talk_until_summarised(tenant_env, model)
    stored = tenant_env.run_of(events).outcome
    assert stored is not None
    assert stored.summary is not None
    assert stored.summary.through < own_ulid(run_id_of(events))
    tenant_env.talk("next", session_id=session_id)
    assert opening(model.requests[-1]).startswith(SUMMARY_HEADING + "First summary.")
    sent = len(model.requests[-1].messages)
    assert sent == 13, (
        "the last 10 messages, then question and answer of the turn that made the summary, then the question"
    )
    model.requests.clear()
    model.summary = "Second summary."
    while not any(map(is_summary, model.requests)):
        tenant_env.talk("m" * 900, session_id=session_id)
    (asked,) = [request for request in model.requests if is_summary(request)]
    assert "First summary." in opening(asked)
    assert opening(model.requests[-1]).startswith(SUMMARY_HEADING + "Second summary.")


def test_after_a_run_that_was_compacted_in_the_middle_its_last_rounds_are_shown(tenant_env: TenantEnv) -> None:
    configure(tenant_env, compaction_profile="coding", max_history_tokens=4_000)
    tenant_env.tools = ToolRegistry([tool("calculator", lambda: "y" * 900)])
    model = use_model(tenant_env, 18)
    events = tenant_env.talk("go")
    assert events[-1].data["stop_reason"] == "end_turn"
    run = tenant_env.run_of(events)
    assert run.outcome is not None
    assert run.outcome.summary is not None
    assert run.outcome.summary.partial > 0
    assert run.outcome.iterations == 19
    last = model.requests[-1]
    tenant_env.talk("next", session_id=session_id_of(events))
    sent = model.requests[-1]
    assert not is_summary(sent)
    assert sent.messages[: len(last.messages)] == last.messages, "the next turn continues the same conversation"
    assert len(tenant_env.messages_of(session_id_of(events))) == 1 + 2 * 18 + 1 + 2


def test_a_run_with_a_cost_limit_ends_at_it_with_its_summaries(tenant_env: TenantEnv) -> None:
    configure(
        tenant_env, compaction_profile="data_analysis", max_history_tokens=4_000, max_iterations=100, max_tokens=500
    )
    tenant_env.tools = ToolRegistry([tool("calculator", lambda: "y" * 900)])
    model = use_model(tenant_env, 1_000)
    events = tenant_env.talk("go", limits=RunLimits(max_cost_nanos=10_000_000))
    assert events[-1].data["stop_reason"] == "max_cost"
    assert any(map(is_summary, model.requests))
    entry = tenant_env.entry_of(run_id_of(events))
    assert 5_000_000 < entry.cost_nanos <= 10_000_000
    assert events[-2].data["cost_usd"] == f"{entry.cost_nanos / 1e9:.6f}"
    assert tenant_env.run_of(events).spend.cost_nanos == entry.cost_nanos


def test_reads_further_pages_if_the_newest_runs_have_no_answer(tenant_env: TenantEnv) -> None:
    configure(tenant_env)
    session_id = tenant_env.open_session()
    tenant_env.talk("old question", session_id=session_id)
    for _ in range(51):
        tenant_env.model.say(ModelFailed(retryable=False))
        assert tenant_env.talk(session_id=session_id)[-1].type == "error"
    tenant_env.talk("now", session_id=session_id)
    assert [text_of(each) for each in tenant_env.model.requests[-1].messages] == ["old question", "Hello.", "now"]


def test_the_history_leaves_room_for_the_longest_answer(tenant_env: TenantEnv) -> None:
    configure(tenant_env, max_history_tokens=1_000_000, max_tokens=128_000)
    turn = tenant_env.begin("now")
    room = turn.loop.loop_input.conversation.tokens_max
    request = build_request(turn.loop.loop_input)
    assert room + request.max_tokens + estimate_prompt_tokens(request) == 1_000_000
    list(turn.events())


def test_reads_one_page_of_a_long_session(tenant_env: TenantEnv) -> None:
    configure(tenant_env)
    session_id = tenant_env.open_session()
    for _ in range(55):
        tenant_env.talk(session_id=session_id)
    made: list[Any] = []

    def note(operation: str, _arguments: dict[str, Any], call: Callable[[], Any]) -> Any:
        answer = call()
        if operation == "Query":
            made.append(answer["Count"])
        return answer

    with tenant_env.intercepted(note):
        tenant_env.begin("now", session_id=session_id)
    assert made == [50]
    assert len(tenant_env.model.requests) == 56, "the model was not called yet"
