"""The options of a request: which model accepts which, and the bytes that each vendor receives."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import httpx2
import pytest
from atrium.kernel.errors import ValidationFailed
from atrium.llm.catalogue import MODELS, STOP_CHARACTERS_MAX, check_options
from atrium.llm.model import (
    ModelMessage,
    ModelRequest,
    NamedTool,
    OutputSchema,
    Text,
    TextDelta,
    ToolResult,
    ToolSchema,
    ToolUse,
)
from atrium.llm.normalise import repair_request

from infra.local.model_server.chat_request import read_chat
from tests.builders import chunks, upstream
from tests.builders.upstream import HELLO

HAIKU, SONNET, OPUS = "claude-haiku-5-5", "claude-sonnet-5-5", "claude-opus-5-5"
GPT, GLM = "gpt-6-luna", "glm-5.3"
ALL = frozenset(MODELS)
CLAUDE = frozenset({HAIKU, SONNET, OPUS})
GPTS = frozenset({GPT, "gpt-6-sol"})
GLMS = frozenset({GLM, "glm-5.3-flash"})

TOOL = ToolSchema("calculator", "Calculates.", {"type": "object", "properties": {}})
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
CITY = OutputSchema("city", SCHEMA, "Where it is.", strict=True)
MAP = OutputSchema("ages", {"type": "object", "additionalProperties": {"type": "integer"}})
JSON_ONLY = "Answer with one JSON object and nothing else: no text before or after it, and no Markdown."


def asks(model: str = HAIKU, **fields: Any) -> ModelRequest:
    return replace(HELLO, model=model, **fields)


def with_tools(**fields: Any) -> dict[str, Any]:
    return {"tools": (TOOL,), **fields}


def rejected_field(request: ModelRequest) -> str | None:
    """Return the field that makes the model reject the request, or None."""
    try:
        check_options(request, MODELS[request.model])
    except ValidationFailed as error:
        (problem,) = cast("list[dict[str, Any]]", error.extensions["errors"])
        return str(problem["loc"][-1])
    return None


@pytest.mark.parametrize(
    ("fields", "field", "accepted"),
    [
        pytest.param(with_tools(), "tools", ALL, id="tools"),
        pytest.param({"tools": (TOOL, TOOL)}, "tools", (), id="two tools of one name"),
        pytest.param(with_tools(tool_choice="none"), "tool_choice", ALL, id="no tool call"),
        pytest.param({"tool_choice": "none"}, "tool_choice", ALL, id="no tool call without tools"),
        pytest.param(with_tools(tool_choice="required"), "tool_choice", {HAIKU, *GPTS}, id="any tool"),
        pytest.param(with_tools(tool_choice=NamedTool("calculator")), "tool_choice", {HAIKU, *GPTS}, id="one tool"),
        pytest.param(with_tools(tool_choice=NamedTool("other")), "tool_choice", (), id="an unknown tool"),
        pytest.param({"tool_choice": "required"}, "tool_choice", (), id="any of no tools"),
        pytest.param(with_tools(parallel_tool_calls=False), "parallel_tool_calls", ALL - GLMS, id="one call"),
        pytest.param({"parallel_tool_calls": False}, "parallel_tool_calls", ALL, id="one call of no tools"),
        pytest.param(
            with_tools(parallel_tool_calls=False, tool_choice="none"), "parallel_tool_calls", ALL, id="one call of none"
        ),
        pytest.param({"thinking": "off"}, "thinking", {HAIKU, SONNET, *GPTS}, id="no thinking"),
        pytest.param({"effort": "low"}, "effort", ALL, id="low effort"),
        pytest.param({"effort": "medium"}, "effort", ALL - GLMS, id="medium effort"),
        pytest.param({"effort": "max"}, "effort", ALL, id="highest effort"),
        pytest.param(with_tools(effort="low"), "effort", ALL - GPTS, id="effort with tools"),
        pytest.param({"effort": "high", "thinking": "off"}, "effort", {HAIKU, SONNET}, id="effort without thinking"),
        pytest.param({"effort": "xhigh", "thinking": "off"}, "effort", (), id="high effort without thinking"),
        pytest.param({"temperature": 0.5}, "temperature", GLMS, id="temperature"),
        pytest.param({"temperature": 0.5, "thinking": "off"}, "temperature", GPTS, id="temperature, no thinking"),
        pytest.param(with_tools(temperature=0.5), "temperature", ALL - CLAUDE, id="temperature with tools"),
        pytest.param({"temperature": 2.1}, "temperature", (), id="too high a temperature"),
        pytest.param({"temperature": float("nan")}, "temperature", (), id="a temperature that is no number"),
        pytest.param({"top_p": 0.9}, "top_p", GLMS, id="top_p"),
        pytest.param({"top_p": 0.9, "thinking": "off"}, "top_p", GPTS, id="top_p, no thinking"),
        pytest.param({"top_p": 0.0}, "top_p", (), id="an empty top_p"),
        pytest.param({"seed": 7, "thinking": "off"}, "seed", GPTS, id="seed, no thinking"),
        pytest.param({"seed": 7}, "seed", (), id="seed"),
        pytest.param({"seed": 2**60, "thinking": "off"}, "seed", (), id="too large a seed"),
        pytest.param({"stop_sequences": ("END",)}, "stop_sequences", ALL - GPTS, id="a stop sequence"),
        pytest.param({"stop_sequences": ("\n",)}, "stop_sequences", GLMS, id="a line break"),
        pytest.param({"stop_sequences": ("a", "b")}, "stop_sequences", CLAUDE, id="two stop sequences"),
        pytest.param({"stop_sequences": tuple("abcdefghijklmnopq")}, "stop_sequences", (), id="17 stop sequences"),
        pytest.param(with_tools(stop_sequences=tuple("abcd")), "stop_sequences", ALL - GLMS, id="4 with tools"),
        pytest.param(with_tools(stop_sequences=("",)), "stop_sequences", (), id="an empty stop sequence"),
        pytest.param(
            with_tools(stop_sequences=("x" * (STOP_CHARACTERS_MAX + 1),)), "stop_sequences", (), id="a long sequence"
        ),
        pytest.param({"output_format": "json_object"}, "output_format", ALL, id="a JSON object"),
        pytest.param({"output_format": CITY}, "output_format", ALL, id="a schema"),
        pytest.param({"output_format": MAP}, "output_format", ALL, id="a map"),
        pytest.param({"output_format": replace(MAP, strict=True)}, "output_format", (), id="a map, strictly"),
    ],
)
def test_a_model_accepts_only_its_options(fields: dict[str, Any], field: str, accepted: frozenset[str]) -> None:
    rejected = {model: rejected_field(asks(model, **fields)) for model in ALL}
    assert {model for model, name in rejected.items() if name is None} == set(accepted)
    other = {"thinking"} if fields.get("thinking") == "off" else set()
    assert {name for name in rejected.values() if name} <= {field} | other


def test_only_claude_cannot_enforce_a_recursive_schema() -> None:
    node = SCHEMA | {"properties": {"city": {"$ref": "#/$defs/node"}}}
    tree = OutputSchema("tree", node | {"$defs": {"node": node}}, strict=True)
    assert {model for model in ALL if rejected_field(asks(model, output_format=tree))} == CLAUDE


@pytest.mark.parametrize("choice", ["required", NamedTool("calculator")])
def test_a_required_call_without_tools_is_rejected_for_any_history(choice: Any) -> None:
    called = (
        ModelMessage("assistant", (ToolUse("a", "calculator", {}),)),
        ModelMessage("user", (ToolResult("a", "1"),)),
    )
    for messages in (HELLO.messages, (*HELLO.messages, *called)):
        assert rejected_field(repair_request(asks(messages=messages, tool_choice=choice))) == "tool_choice"


def test_tools_that_must_not_be_called_are_omitted_where_a_vendor_has_no_such_choice() -> None:
    called = (
        ModelMessage("assistant", (ToolUse("a", "calculator", {}),)),
        ModelMessage("user", (ToolResult("a", "1"),)),
    )
    request = asks(GLM, **with_tools(tool_choice="none"))
    assert "tools" not in sent(request)
    assert "tools" in sent(replace(request, messages=(*HELLO.messages, *called))), "the messages refer to them"


def test_an_option_is_rejected_before_any_call() -> None:
    handler = upstream.Upstream()
    with pytest.raises(ValidationFailed):
        upstream.provider_over(handler).open(asks(temperature=0.5), deadline_seconds=5)
    with pytest.raises(ValidationFailed):
        upstream.provider_over(handler).count_tokens(asks(temperature=0.5))
    assert handler.requests == []


def sent(request: ModelRequest) -> dict[str, Any]:
    """Return the body that the vendor of the request's model receives and accepts."""
    bodies: list[bytes] = []

    def receive(received: httpx2.Request) -> httpx2.Response:
        bodies.append(received.content)
        return next(replies)

    def reply() -> Iterator[httpx2.Response]:
        while True:
            if vendor == "anthropic":
                yield upstream.Upstream()(httpx2.Request("POST", "http://model.test", content=bodies[-1]))
            else:
                yield chunks.stream_of([chunks.delta(content="Hi"), *chunks.stop()])

    vendor, replies = MODELS[request.model].vendor, reply()
    provider = (
        upstream.provider_over(receive) if vendor == "anthropic" else chunks.provider_over(receive, vendor=vendor)
    )
    list(provider.open(request, deadline_seconds=5))
    (body,) = bodies
    fields: dict[str, Any] = json.loads(body)
    if vendor != "anthropic":
        read_chat(fields)
    return fields


ADAPTIVE = {"type": "adaptive", "display": "summarized"}
ONE_CALL = {"disable_parallel_tool_use": True}


@pytest.mark.parametrize(
    ("model", "fields", "expected"),
    [
        (HAIKU, {}, {"thinking": ADAPTIVE}),
        (OPUS, with_tools(), {"thinking": ADAPTIVE}),
        (OPUS, with_tools(tool_choice="none"), {"tool_choice": {"type": "none"}, "thinking": ADAPTIVE}),
        (HAIKU, {"tool_choice": "none"}, {"thinking": ADAPTIVE}),
        (
            HAIKU,
            with_tools(tool_choice="required"),
            {"tool_choice": {"type": "any"}, "thinking": {"type": "disabled"}},
        ),
        (
            HAIKU,
            with_tools(tool_choice=NamedTool("calculator"), parallel_tool_calls=False),
            {"tool_choice": {"type": "tool", "name": "calculator", **ONE_CALL}, "thinking": {"type": "disabled"}},
        ),
        (
            SONNET,
            with_tools(parallel_tool_calls=False),
            {"tool_choice": {"type": "auto", **ONE_CALL}, "thinking": ADAPTIVE},
        ),
        (SONNET, {"parallel_tool_calls": False}, {"thinking": ADAPTIVE}),
        (SONNET, {"thinking": "off"}, {"thinking": {"type": "between_tools"}}),
        (
            HAIKU,
            {"thinking": "off", "effort": "low"},
            {"thinking": {"type": "disabled"}, "output_config": {"effort": "low"}},
        ),
        (
            OPUS,
            {"effort": "max", "output_format": CITY},
            {
                "output_config": {
                    "effort": "max",
                    "format": {"type": "json_schema", "schema": {**SCHEMA, "description": "Where it is."}},
                },
                "thinking": ADAPTIVE,
            },
        ),
        (OPUS, {"stop_sequences": ("END", "STOP")}, {"stop_sequences": ["END", "STOP"], "thinking": ADAPTIVE}),
        (GPT, {}, {}),
        (GPT, with_tools(), {"reasoning_effort": "none"}),
        (GPT, {"tool_choice": "none"}, {}),
        (GPT, with_tools(tool_choice="none"), {"tool_choice": "none", "reasoning_effort": "none"}),
        (GPT, with_tools(tool_choice="required"), {"tool_choice": "required", "reasoning_effort": "none"}),
        (
            GPT,
            with_tools(tool_choice=NamedTool("calculator"), parallel_tool_calls=False),
            {
                "tool_choice": {"type": "function", "function": {"name": "calculator"}},
                "parallel_tool_calls": False,
                "reasoning_effort": "none",
            },
        ),
        (GPT, {"parallel_tool_calls": False}, {}),
        (GPT, {"effort": "xhigh"}, {"reasoning_effort": "xhigh"}),
        (
            GPT,
            {"thinking": "off", "temperature": 0.0, "top_p": 0.5, "seed": 0, "stop_sequences": ("END",)},
            {"reasoning_effort": "none", "temperature": 0.0, "top_p": 0.5, "seed": 0, "stop": ["END"]},
        ),
        (
            GPT,
            {"output_format": CITY},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "city", "schema": SCHEMA, "strict": True, "description": "Where it is."},
                }
            },
        ),
        (
            GPT,
            {"output_format": MAP},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "ages", "schema": MAP.schema, "strict": False},
                }
            },
        ),
        (GLM, with_tools(), {}),
        (
            GLM,
            {"effort": "low", "temperature": 1.5, "top_p": 0.5},
            {"reasoning_effort": "low", "temperature": 1.0, "top_p": 0.5},
        ),
        (GLM, {"stop_sequences": ("END",)}, {"stop": ["END"]}),
    ],
)
def test_the_vendor_receives_the_options(model: str, fields: dict[str, Any], expected: dict[str, Any]) -> None:
    always = {"model", "messages", "max_tokens", "max_completion_tokens", "stream", "stream_options", "tools", "system"}
    body = sent(asks(model, **fields))
    assert {name: value for name, value in body.items() if name not in always} == expected
    assert ("tools" in body) is ("tools" in fields)
    assert "system" not in body


@pytest.mark.parametrize("system", ["", "Be brief."])
@pytest.mark.parametrize(
    ("model", "output", "words"),
    [
        (HAIKU, "json_object", [JSON_ONLY]),
        (SONNET, MAP, [JSON_ONLY, "(ages)", json.dumps(MAP.schema)]),
        (GPT, "json_object", [JSON_ONLY]),
        (GLM, "json_object", [JSON_ONLY]),
        (GLM, CITY, [JSON_ONLY, "(city: Where it is.)", json.dumps(SCHEMA)]),
    ],
)
def test_the_system_prompt_asks_for_what_a_vendor_does_not_enforce(
    model: str, output: Any, words: list[str], system: str
) -> None:
    body = sent(asks(model, system=system, output_format=output))
    if MODELS[model].vendor == "anthropic":
        (block,) = body["system"]
        prompt = block["text"]
        assert "output_config" not in body
    else:
        prompt = body["messages"][0]["content"]
        assert body["response_format"] == {"type": "json_object"}
    assert prompt.startswith(system)
    assert all(each in prompt for each in words)


def test_a_token_count_has_the_fields_of_the_call() -> None:
    counted: list[dict[str, Any]] = []

    def count(received: httpx2.Request) -> httpx2.Response:
        counted.append(json.loads(received.content))
        return httpx2.Response(200, json={"input_tokens": 12})

    request = asks(**with_tools(tool_choice="required"), output_format=CITY, system="Be brief.")
    assert upstream.provider_over(count).count_tokens(request) == 12
    assert counted == [{k: v for k, v in sent(request).items() if k not in {"max_tokens", "stream"}}]


ANSWER = '{"city": "Z\u00fcrich \U0001f3d4"}'
PIECES = ['{"ci', 'ty": "Z', "\u00fcrich ", "\ud83c", '\udfd4"', "}"]


@pytest.mark.parametrize("stop", ["end", "limit"])
@pytest.mark.parametrize("vendor", ["anthropic", "openai", "zhipu"])
def test_a_structured_answer_is_streamed_as_text(vendor: str, stop: str) -> None:
    request = asks(output_format=CITY)
    if vendor == "anthropic":
        reason = {"end": "end_turn", "limit": "max_tokens"}[stop]
        deltas, end = upstream.answer(*upstream.texts(*PIECES), upstream.reason(reason), upstream.STOP, request=request)
    else:
        reason = {"end": "stop", "limit": "length"}[stop]
        sent_chunks = (*(chunks.delta(content=each) for each in PIECES), *chunks.stop(reason))
        deltas, end = chunks.answer(*sent_chunks, request=request, vendor=vendor)
    assert "".join(each.text for each in deltas if isinstance(each, TextDelta)) == ANSWER
    assert end.content == (Text(ANSWER),)
    assert end.stop_reason == {"end": "end_turn", "limit": "max_tokens"}[stop]


def test_a_refusal_of_structured_output_is_a_refusal() -> None:
    _, end = chunks.answer(chunks.delta(refusal="I cannot."), *chunks.stop(), request=asks(output_format=CITY))
    assert (end.content, end.stop_reason) == ((Text("I cannot."),), "refusal")
