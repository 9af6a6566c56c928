"""A session remains usable after any answer of a model provider, even if the events contain arbitrary JSON values."""

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import httpx2
import pytest
from atrium.agent.loop import AgentLoop
from atrium.context.conversation import as_model_messages
from atrium.kernel.errors import ModelFailed
from atrium.llm.model import Usage
from atrium.runs.items import (
    decode_blocks,
    decode_events,
    encode_blocks,
    encode_events,
    encode_message,
    pack,
    read_spend,
    spend_attribute,
    unpack,
)
from atrium.runs.model import LoopEvent, Message, Sequencer, usage_fields
from atrium.storage import keys
from atrium.storage.writes import EXISTS, Update, from_wire, to_wire
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from functions.chat.sse import EventWriter
from functions.sessions.models import render_message
from infra.local.model_server.protocol import sign
from tests.builders.counters import counted
from tests.builders.loops import LoopBench
from tests.builders.records import build_message, build_run
from tests.builders.scripted import ScriptedModel
from tests.builders.tenant_env import TenantEnv, session_id_of
from tests.builders.upstream import START, STOP, Upstream, called, closed, opened, piece, provider_over, reason, said

TEXT = [START, *said("Hel"), *said("lo.", 1), reason("end_turn"), STOP]
TOOLS = [
    START,
    opened(0, type="thinking", thinking="", signature=""),
    piece(0, "thinking_delta", thinking="Hm."),
    piece(0, "signature_delta", signature=sign("Hm.")),
    closed(0),
    *said("See:", 1),
    *called('{"expression": "1+1"}', 2, call_id="toolu_1"),
    *called('{"timezone": "UTC"}', 3, call_id="toolu_2", name="current_time"),
    reason("tool_use", input_tokens=9, cache_read_input_tokens=2, cache_creation_input_tokens=3),
    STOP,
]
DEEP: Any = 1
for _ in range(300):
    DEEP = [DEEP]
ODD: list[Any] = [
    None, True, 0, -1, -1_000_000, 5.5, float("nan"), float("inf"), 10**30, 10**400, "", " ", "0", "\ud83d", "\ude00",
    "a b", "x" * 300, [], {}, {"type": "text"}, DEEP, {"a": DEEP}, "end_turn", "tool_use", "max_tokens", "message_stop",
    '{"a": NaN}', '{"a": 1e999}', '{"a":' * 50 + "1" + "}" * 50, "[1]",
]  # fmt: skip
JSON: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from(ODD) | st.integers() | st.floats() | st.text(st.characters(), max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=3,
)
GONE = object()
type Path = tuple[int | str, ...]


def paths(value: Any, before: Path = ()) -> Iterator[Path]:
    """Yield the path of every field and list element inside a value."""
    if before:
        yield before
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from paths(value[key], (*before, key))


def changed(events: list[Any], path: Path, value: Any) -> list[Any]:
    """Return a copy of the events with another value at a path. The value `GONE` removes the field."""
    copied = copy.deepcopy(events)
    place: Any = copied
    for key in path[:-1]:
        place = place[key]
    if value is GONE:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return [each for each in copied if isinstance(each, dict)]


@st.composite
def answers(draw: st.DrawFn) -> list[Any]:
    """Draw an answer with one or two changed fields, or with missing, repeated or reordered events."""
    events: list[Any] = list(draw(st.sampled_from([TEXT, TOOLS])))
    how = draw(st.sampled_from(["field", "field", "field", "order"]))
    if how == "order":
        chosen = draw(st.lists(st.sampled_from(events), min_size=1, max_size=len(events)))
        return draw(st.sampled_from([chosen, [START, *chosen], [START, *chosen, events[-2], STOP]]))
    for _ in range(draw(st.integers(1, 2))):
        events = changed(events, draw(st.sampled_from(list(paths(events)))), draw(JSON | st.just(GONE)))
    return events


def converse(bench: LoopBench, upstream: Upstream, *messages: Message) -> tuple[AgentLoop, list[LoopEvent], bool]:
    """Run an agent loop with these messages as history. Return the loop, its events, and whether the model failed."""
    loop = bench.loop()
    loop.loop_input = replace(loop.loop_input, history=tuple(as_model_messages(messages)))
    told: list[tuple[int, str]] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        told.append((loop.iterations, loop.text))
        return upstream(request)

    loop.provider = provider_over(handle)
    seen: list[LoopEvent] = []
    failed = False
    try:
        seen.extend(loop.run())
    except ModelFailed:
        failed = True
    assert len(dict(told)) == len(set(told)), "no retry once text was sent"
    return loop, seen, failed


def assert_countable(used: Usage) -> None:
    figures = (used.input_tokens, used.output_tokens, used.cache_read_tokens, used.cache_write_tokens)
    assert all(type(figure) is int and 0 <= figure <= 10_000_000 for figure in figures)


def assert_kept(loop: AgentLoop, seen: list[LoopEvent]) -> None:
    """Assert that the messages, events and usage of a loop can be stored, read, shown and counted."""
    assert_countable(loop.spend.tokens)
    assert loop.spend.cost_nanos >= 0
    assert read_spend(from_wire(to_wire({"spend": spend_attribute(loop.spend)}))["spend"]) == loop.spend
    json.dumps(usage_fields(loop.spend), allow_nan=False)
    sequencer, writer, run = Sequencer(after=1), EventWriter("request-1", ""), build_run()
    events = [sequencer.number(piece) for piece in seen]
    assert decode_events(unpack(pack(encode_events(events)))) == tuple(events)
    for event in events:
        json.dumps(dict(event.data), allow_nan=False)
        writer.encode(event)
    for message in loop.messages:
        stored = encode_blocks(message.content)
        assert encode_blocks(decode_blocks(unpack(pack(stored)))) == stored
        render_message((run, message)).model_dump_json().encode()


@settings(max_examples=200)
@given(answers())
def test_any_answer_leaves_the_session_usable(events: list[Any]) -> None:
    bench, upstream = LoopBench(), Upstream()
    upstream.say(*events)
    question = build_message("user", "Hi")
    loop, seen, failed = converse(bench, upstream, question)
    assert_kept(loop, seen)
    assert loop.spend.total_tokens > 0 or failed
    refusals = [each for each in upstream.refusals if "Invalid `signature`" not in each]
    assert refusals == [], "only who signed a thought can tell that its signature is wrong"
    upstream.refusals.clear()
    following, heard, failed = converse(bench, upstream, question, *loop.messages, build_message("user", "And then?"))
    assert_kept(following, heard)
    assert (failed, following.text, upstream.refusals) == (False, "Hello.", [])


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=answers())
def test_any_answer_leaves_correct_counters(tenant_env: TenantEnv, events: list[Any]) -> None:
    """The turn is recorded and counted, and the session accepts the next turn."""
    upstream = Upstream()
    tenant_env.model = cast("ScriptedModel", provider_over(upstream))
    upstream.say(*events)
    first = tenant_env.talk("Hi")
    second = tenant_env.talk("And then?", session_id=session_id_of(first))
    assert second[-1].type == "final"
    assert not {error for error in tenant_env.defects if not isinstance(error, ModelFailed)}
    run = tenant_env.run_of(first)
    assert (run.is_open, tenant_env.replay(run.id)) == (False, first)
    assert tenant_env.entry_of(run.id).estimated is run.spend.tokens.estimated
    for message in tenant_env.messages_of(run.session_id):
        render_message((run, message)).model_dump_json().encode()
    entries = [entry for entry, _ in tenant_env.ledger().read_month(f"{tenant_env.clock():%Y-%m}")]
    for entry in entries:
        assert_countable(entry.tokens)
    assert counted(tenant_env, "tokens_per_month") == sum(entry.total_tokens for entry in entries)


BLOCK = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "thinking", "tool_call", "tool_result", "hologram"]) | JSON},
    optional=dict.fromkeys(["text", "signature", "redacted", "tool_call_id", "tool", "args", "result"], JSON),
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    contents=st.lists(
        st.tuples(st.sampled_from(["assistant", "tool", "no caller"]), st.lists(BLOCK | JSON, max_size=4))
    )
)
def test_any_stored_message_leaves_its_session_usable(
    tenant_env: TenantEnv, contents: list[tuple[str, list[Any]]]
) -> None:
    """The messages may have been stored by another version, or before messages were validated."""
    upstream = Upstream()
    tenant_env.model = cast("ScriptedModel", provider_over(upstream))
    first = tenant_env.talk("Hi")
    run = tenant_env.run_of(first)
    kept = encode_message(run.messages[-1])
    messages = [{**kept, "role": role, "content": content} for role, content in contents]
    stored = {"outcome": pack({"messages": [kept, *messages], "tail": []})}
    tenant_env.table().write(Update(keys.run(run.id), "SET #outcome = :outcome", EXISTS, stored))
    assert tenant_env.talk("And then?", session_id=run.session_id)[-1].type == "final"
    assert upstream.refusals == []
    found = tenant_env.messages_of(run.session_id)
    assert len(found) == 4 + len(messages)
    for message in found:
        render_message((run, message)).model_dump_json().encode()


@pytest.mark.parametrize("events", [TEXT, TOOLS], ids=["text", "tools"])
def test_the_unchanged_answers_are_valid(events: list[Any]) -> None:
    upstream = Upstream()
    upstream.say(*events)
    loop, _, failed = converse(LoopBench(), upstream, build_message("user", "Hi"))
    assert not failed
    assert not loop.spend.tokens.estimated
    assert loop.stop_reason == "end_turn"


@pytest.mark.parametrize("value", [*ODD, GONE], ids=lambda value: str(value)[:12])
@pytest.mark.parametrize(
    "path",
    [
        (0, "message", "usage"),
        (8, "content_block", "id"),
        (8, "content_block", "name"),
        (8, "content_block", "input"),
        (14, "delta", "stop_reason"),
        (14, "usage"),
    ],
    ids=lambda path: str(path[-1]),
)
def test_fields_that_once_broke_sessions_are_handled(path: Path, value: Any) -> None:
    upstream = Upstream()
    upstream.say(*changed(TOOLS, path, value))
    question = build_message("user", "Hi")
    loop, seen, _ = converse(LoopBench(), upstream, question)
    assert_kept(loop, seen)
    following, _, failed = converse(LoopBench(), upstream, question, *loop.messages, build_message("user", "And?"))
    assert (failed, following.text) == (False, "Hello.")
