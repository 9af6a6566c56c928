"""Every kind of message is the same before and after it is archived, for callers and for every model provider."""

from collections.abc import Sequence
from typing import Any

import httpx2
import pytest
from atrium.kernel.ids import SessionId
from atrium.llm.catalogue import MODELS
from atrium.llm.model import (
    UNSIGNED,
    Block,
    ModelMessage,
    ModelRequest,
    Text,
    Thinking,
    ToolResult,
    ToolSchema,
    ToolUse,
)
from atrium.llm.model import Usage as Tokens
from atrium.llm.normalise import repair_request
from atrium.runs.items import decode_blocks, encode_blocks, pack, unpack
from atrium.runs.model import Message, Routing, RunError, Spend, Summary
from atrium.runs.segments import decode_segment, encode_segment, segment_reference
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import chunks, upstream
from tests.builders.archives import add_run, add_session, archive, hot_runs, next_messages, seen
from tests.builders.images import FILES, PNG, image
from tests.builders.records import build_events, build_message, build_outcome, build_run
from tests.builders.tenant_env import TenantEnv
from tests.builders.upstream import START, STOP, reason, said

UNICODE = "ü 漢字 🧑‍🚀 \u202e \u0000 \x7f \ufffd 'quoted' \"text\" </script>"
ARGUMENTS: dict[str, Any] = {
    "float": 1.0, "small": 5e-324, "large": 1.7976931348623157e308, "negative zero": -0.0, "integer": 2**63 + 1,
    "deep": {"list": [[], {}, [None, True, False, {"ü": [1.5, -1, "1"]}]], "empty": ""}, UNICODE: UNICODE,
}  # fmt: skip
THOUGHTS = (
    Thinking("signed", "sig=="),
    Thinking("", "opaque data", redacted=True),
    Thinking("not signed", UNSIGNED),
    Thinking("cut off", ""),
)
RESULTS: dict[str, ToolResult] = {
    "call_text": ToolResult("call_text", UNICODE),
    "call_empty": ToolResult("call_empty", ""),
    "call_blocks": ToolResult("call_blocks", (Text("a plot"), *map(image, FILES), Text(""))),
    "call_failed": ToolResult("call_failed", "failed", is_error=True),
}
PROVIDERS: dict[str, Any] = {"claude-haiku-5-5": upstream, **dict.fromkeys(chunks.MODELS.values(), chunks)}
ANSWERS = {
    upstream: upstream.stream_of([START, *said("Yes."), reason("end_turn"), STOP]),
    chunks: chunks.stream_of([chunks.delta(content="Yes."), chunks.delta("stop"), chunks.USAGE, chunks.DONE]),
}


def fill(tenant_env: TenantEnv) -> SessionId:
    """Return a session with every kind of block, outcome and run. The last message has the results of tool calls."""
    session_id = add_session(tenant_env)
    question = build_message("user", Text(UNICODE), *map(image, FILES))
    add_run(
        tenant_env, session_id, build_message("assistant", *THOUGHTS, UNICODE), asked=question,
        metadata=ARGUMENTS, end_user="ann", own_keys=frozenset({"anthropic"}), routing=Routing("cheap", "short text"),
    )  # fmt: skip
    used = Spend(Tokens(7, 5, 3, 2, estimated=True), {"calculator": 2}, 123_456_789_012)
    add_outcome(tenant_env, session_id, build_message("assistant", "Short."), degraded=True, model="claude-haiku-5-5")
    add_outcome(tenant_env, session_id, build_message("assistant", "No."), stop_reason="refusal", spend=used)
    error = RunError("MODEL_FAILED", UNICODE, retryable=True, retry_after_seconds=7)
    add_outcome(tenant_env, session_id, status="failed", error=error, stop_reason=None, swept=True)
    add_outcome(tenant_env, session_id, status="cancelled", stop_reason="cancelled", tail=tuple(build_events(2, 4)))
    summary = Summary(UNICODE, partial=0)
    add_run(tenant_env, session_id, build_message("assistant", "So far."), summary=summary)
    calls = (ToolUse(call, "calculator", ARGUMENTS) for call in RESULTS)
    results = build_message("tool", *RESULTS.values())
    add_run(tenant_env, session_id, build_message("assistant", *THOUGHTS, "See:", *calls), results)
    return session_id


def add_outcome(tenant_env: TenantEnv, session_id: SessionId, *messages: Message, **changes: Any) -> None:
    tenant_env.clock.advance(1)
    run = build_run(session_id, at=tenant_env.clock())
    tenant_env.runs().open(run)
    tenant_env.runs().end(run.id, build_outcome(messages=messages, **changes), at=tenant_env.clock())


def sent(model: str, messages: Sequence[ModelMessage]) -> bytes:
    """Return the bytes of the request that a provider receives."""
    bodies: list[bytes] = []
    vendor = PROVIDERS[model]

    def handle(request: httpx2.Request) -> httpx2.Response:
        bodies.append(request.read())
        return httpx2.Response(200, headers=ANSWERS[vendor].headers, content=ANSWERS[vendor].content)

    tools = (ToolSchema("calculator", "Calculates.", {"type": "object"}),)
    options = {"vendor": MODELS[model].vendor} if vendor is chunks else {}
    request = repair_request(ModelRequest(model, "Help.", tuple(messages), 100, tools))
    list(vendor.provider_over(handle, **options).open(request, deadline_seconds=60))
    return bodies[0]


def requests_of(tenant_env: TenantEnv, session_id: SessionId) -> dict[tuple[str, bool], bytes]:
    """Return the request of each provider, with and without a next question."""
    history = next_messages(tenant_env, session_id)
    question = ModelMessage("user", (Text("And now?"),))
    return {
        (model, asks): sent(model, [*history, question] if asks else history)
        for model in PROVIDERS
        for asks in (True, False)
    }


def test_every_kind_of_message_is_restored(tenant_env: TenantEnv) -> None:
    session_id = fill(tenant_env)
    before, requests = seen(tenant_env, session_id), requests_of(tenant_env, session_id)
    assert b"opaque data" in requests["claude-haiku-5-5", False]
    assert all(PNG.encode() in body and b"call_blocks" in body for body in requests.values())
    assert archive(tenant_env).runs == 7
    assert hot_runs(tenant_env, session_id) == []
    assert (seen(tenant_env, session_id), requests_of(tenant_env, session_id)) == (before, requests)
    tenant_env.talk("again", session_id=session_id)
    before, requests = seen(tenant_env, session_id), requests_of(tenant_env, session_id)
    assert archive(tenant_env).runs == 1
    assert (seen(tenant_env, session_id), requests_of(tenant_env, session_id)) == (before, requests)


def test_every_vendor_is_covered() -> None:
    assert {MODELS[model].vendor for model in PROVIDERS} == {model.vendor for model in MODELS.values()}


def test_numbers_that_are_not_json_are_the_same_after_a_run_is_archived(tenant_env: TenantEnv) -> None:
    """Such numbers are rejected when a message enters. Items of older versions may contain them."""
    session_id = add_session(tenant_env)
    odd = [ToolUse("call_1", "calculator", {"a": number}) for number in (1e400, float("nan"), 10**400)]
    add_run(tenant_env, session_id, build_message("assistant", *odd))
    before = seen(tenant_env, session_id)
    archive(tenant_env)
    assert seen(tenant_env, session_id) == before


texts = st.text(max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
contents = texts | st.lists(st.builds(Text, texts) | st.sampled_from(sorted(FILES)).map(image), max_size=3).map(tuple)
blocks: st.SearchStrategy[Block] = st.one_of(
    st.builds(Text, texts),
    st.sampled_from(sorted(FILES)).map(image),
    st.builds(Thinking, texts, texts, st.booleans()),
    st.builds(ToolUse, texts, texts, st.dictionaries(texts, values, max_size=3)),
    st.builds(ToolResult, texts, contents, st.booleans()),
)


@given(st.lists(st.tuples(st.lists(blocks, max_size=4), st.none() | st.lists(blocks, max_size=4)), max_size=4))
def test_a_segment_contains_the_payloads_of_its_runs(runs: list[tuple[list[Block], list[Block] | None]]) -> None:
    items: list[dict[str, Any]] = []
    for number, (question, outcome) in enumerate(runs):
        items.append({"sk": f"RUN#{number}", "question": pack(encode_blocks(question))})
        if outcome is not None:
            items[-1]["outcome"] = pack(encode_blocks(outcome))
    segment = encode_segment(items)
    found = decode_segment(segment_reference(SessionId("ses_1"), segment), segment)
    assert found == {item["sk"].removeprefix("RUN#"): {n: item[n] for n in item if n != "sk"} for item in items}
    for (question, outcome), payloads in zip(runs, found.values(), strict=True):
        for block_list, name in ((question, "question"), (outcome, "outcome")):
            if block_list is not None:
                again = decode_blocks(unpack(payloads[name]))
                assert encode_blocks(again) == encode_blocks(decode_blocks(unpack(pack(encode_blocks(block_list)))))


@pytest.mark.parametrize("seed", range(8))
def test_a_segment_of_equal_runs_is_equal(seed: int) -> None:
    items = [{"sk": f"RUN#{number}", "question": pack([seed, number])} for number in range(seed)]
    assert encode_segment(items) == encode_segment([dict(reversed(item.items())) for item in items])
