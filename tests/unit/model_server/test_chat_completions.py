"""The Chat Completions API of the model server, called with the OpenAI SDK and with plain HTTP."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from infra.local.model_server import ModelServer
from tests.builders.images import PNG

pytestmark = pytest.mark.loopback

TOOL = {
    "type": "function",
    "function": {
        "name": "calculator",
        "description": "Works out a sum.",
        "parameters": {"type": "object", "properties": {"expression": {"type": "string"}}, "required": ["expression"]},
    },
}
GPT, GLM = "gpt-6-luna", "glm-5.3-flash"


@pytest.fixture(scope="module")
def open_openai(running_server: ModelServer) -> Iterator[openai.OpenAI]:
    http_client = openai.DefaultHttpxClient(trust_env=False)
    url = f"{running_server.url}/v1"
    with openai.OpenAI(api_key="any", base_url=url, max_retries=0, http_client=http_client) as made:
        yield made


@pytest.fixture
def chat(server: ModelServer, open_openai: openai.OpenAI) -> Any:
    assert not server.requests()
    return open_openai.chat.completions


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def chunks_of(chat: Any, text: str, model: str = GPT, **fields: Any) -> list[Any]:
    return list(chat.create(model=model, messages=[user(text)], stream=True, **fields))


def test_answers_with_text_and_usage(chat: Any) -> None:
    answer = chat.create(model=GPT, messages=[{"role": "system", "content": "Be brief."}, user("Hello")])
    (choice,) = answer.choices
    assert (choice.message.content, choice.finish_reason) == ("You said: “Hello” I was shown 1 message.", "stop")
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0


def test_streams_text_in_pieces_then_usage_if_requested(chat: Any) -> None:
    without = chunks_of(chat, "Hello [[pieces=3]]")
    assert [each.usage for each in without] == [None] * 5
    chunks = chunks_of(chat, "Hello [[pieces=3]]", stream_options={"include_usage": True})
    text = [each.choices[0].delta.content for each in chunks if each.choices]
    assert (text[0], len(text), "".join(filter(None, text))) == ("", 5, "You said: “Hello” I was shown 1 message.")
    assert (chunks[-1].choices, chunks[-1].usage is not None) == ([], True)


def test_zhipu_reports_usage_with_the_finish_reason(chat: Any) -> None:
    last = chunks_of(chat, "Hello", GLM)[-1]
    assert last.choices[0].finish_reason == "stop"
    assert last.usage is not None


def test_only_zhipu_shows_its_thinking(chat: Any) -> None:
    thoughts = {
        model: "".join(
            str(getattr(each.choices[0].delta, "reasoning_content", "")) for each in chunks_of(chat, text, model)
        )
        for model in (GPT, GLM)
        for text in ("[[thinking=Let me see, this is long.]] Hello",)
    }
    assert thoughts == {GPT: "", GLM: "Let me see, this is long."}
    answer = chat.create(model=GLM, messages=[user("[[thinking=Hm.]] Hello")])
    assert answer.choices[0].message.reasoning_content == "Hm."


@pytest.mark.parametrize("model", [GPT, GLM])
def test_calls_tools_in_parallel_and_answers_with_their_results(chat: Any, model: str) -> None:
    text = '[[tool=calculator {"expression":"6*7"}]] [[tool=calculator {"expression":"1+1"}]] Add.'
    effort = {"reasoning_effort": "none"} if model == GPT else {}
    chunks = chunks_of(chat, text, model, tools=[TOOL], **effort)
    calls: dict[int, dict[str, str]] = {}
    for chunk in chunks:
        for call in chunk.choices[0].delta.tool_calls or [] if chunk.choices else []:
            known = calls.setdefault(call.index, {"id": call.id, "name": call.function.name, "arguments": ""})
            known["arguments"] += call.function.arguments or ""
    assert [json.loads(each["arguments"])["expression"] for each in calls.values()] == ["6*7", "1+1"]

    asked = {
        "role": "assistant",
        "tool_calls": [
            {"id": each["id"], "type": "function", "function": {"name": each["name"], "arguments": each["arguments"]}}
            for each in calls.values()
        ],
    }
    results = [
        {"role": "tool", "tool_call_id": each["id"], "content": value}
        for each, value in zip(calls.values(), ("42", "2"), strict=True)
    ]
    answer = chat.create(model=model, messages=[user(text), asked, *results], tools=[TOOL], **effort)
    assert answer.choices[0].message.content == "6*7 = 42\n1+1 = 2"


def test_counts_images_of_messages_and_of_results(chat: Any) -> None:
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    content = [{"type": "text", "text": "Look."}, image, image]
    answer = chat.create(model=GPT, messages=[{"role": "user", "content": content}])
    assert "2 images" in answer.choices[0].message.content


@pytest.mark.parametrize(
    ("directives", "reason"),
    [
        ("[[stop=max_tokens]]", "length"),
        ("[[refusal]]", "content_filter"),
        ("[[stop=model_context_window_exceeded]]", "length"),
        ("[[stop=pause_turn]]", "stop"),
    ],
)
def test_reasons_to_stop(chat: Any, directives: str, reason: str) -> None:
    assert chat.create(model=GPT, messages=[user(directives)]).choices[0].finish_reason == reason


def test_reports_cached_tokens_as_part_of_the_prompt(chat: Any) -> None:
    usage = chat.create(model=GPT, messages=[user("[[cache_read=3]] [[cache_write=2]] " + "x" * 100)]).usage
    assert (usage.prompt_tokens_details.cached_tokens, usage.prompt_tokens_details.cache_write_tokens) == (3, 2)
    assert usage.prompt_tokens > 30


@pytest.mark.parametrize(
    ("directives", "status", "code"),
    [
        ("[[status=429]] [[retry_after=1]]", 429, "rate_limit_exceeded"),
        ("[[status=401]]", 401, "invalid_api_key"),
        ("[[status=500]]", 500, "server_error"),
        ("[[status=529]]", 529, "server_is_overloaded"),
        ("[[overflow]]", 400, "context_length_exceeded"),
    ],
)
def test_scripted_errors_have_openais_form(
    chat: Any, server: ModelServer, directives: str, status: int, code: str
) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        chat.create(model=GPT, messages=[user(directives)])
    assert (caught.value.status_code, caught.value.code) == (status, code)
    assert caught.value.request_id == server.requests()[-1].request_id
    assert caught.value.response.headers.get("retry-after") == ("1" if status == 429 else None)


def test_an_overload_in_the_stream_is_an_error_chunk(server: ModelServer, open_http: httpx.Client) -> None:
    body = {"model": GPT, "messages": [user("[[overload_midstream]] Hello")], "stream": True}
    lines = open_http.post("/v1/chat/completions", json=body).text.split("\n\n")
    assert json.loads(lines[-2].removeprefix("data: "))["error"]["code"] == "server_is_overloaded"
    assert (lines[-1], server.requests()[-1].outcome) == ("", "error")


def test_a_stream_ends_with_done(server: ModelServer, open_http: httpx.Client) -> None:
    response = open_http.post("/v1/chat/completions", json={"model": GPT, "messages": [user("Hi")], "stream": True})
    assert response.text.endswith("\n\ndata: [DONE]\n\n")
    assert "event:" not in response.text
    record = server.requests()[-1]
    assert (record.outcome, record.model, record.message_count, record.usage) == ("completed", GPT, 1, None)


OUTPUT = {
    "type": "json_schema",
    "json_schema": {
        "name": "place",
        "schema": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "at": {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]},
            },
            "required": ["name", "at"],
        },
    },
}


@pytest.mark.parametrize(
    ("model", "output", "expected"),
    [
        (GPT, OUTPUT, {"name": "example", "at": {"x": 1}}),
        (GPT, {"type": "json_object"}, {"answer": "example"}),
        (GLM, {"type": "json_object"}, {"answer": "example"}),
    ],
)
def test_an_output_format_gets_an_example(chat: Any, model: str, output: dict[str, Any], expected: Any) -> None:
    answer = chat.create(model=model, messages=[user("As JSON, please.")], response_format=output)
    assert json.loads(answer.choices[0].message.content) == expected
    echoed = chat.create(model=model, messages=[user("[[echo]]no JSON")], response_format=output)
    assert echoed.choices[0].message.content == "no JSON"


CALL = {"id": "call_1", "type": "function", "function": {"name": "calculator", "arguments": "{}"}}
ASKED = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "1"}
INVALID: list[tuple[int, dict[str, Any]]] = [
    (404, {"model": "gpt-nothing"}),
    (400, {"messages": []}),
    (400, {"hologram": 1}),
    (400, {"max_tokens": 5}),
    (400, {"model": GLM, "max_completion_tokens": 5}),
    (400, {"temperature": 0.5}),
    (400, {"model": GLM, "temperature": 1.5}),
    (400, {"top_p": 0.5}),
    (400, {"seed": 1}),
    (400, {"stop": ["END"]}),
    (400, {"model": GLM, "seed": 1}),
    (400, {"model": GLM, "stop": ["1", "2"]}),
    (400, {"model": GLM, "reasoning_effort": "medium"}),
    (400, {"model": GLM, "tools": [TOOL], "parallel_tool_calls": False}),
    (400, {"model": GLM, "response_format": OUTPUT}),
    (400, {"response_format": {"type": "json_object"}}),  # the messages do not mention JSON
    (400, {"tools": [TOOL]}),
    (400, {"tool_choice": "none"}),
    (400, {"model": GLM, "tools": [TOOL], "tool_choice": "none"}),
    (400, {"stop": ["1", "2", "3", "4", "5"], "reasoning_effort": "none"}),
    (400, {"messages": [user("a"), ASKED]}),
    (400, {"messages": [user("a"), ASKED, user("b")]}),
    (400, {"messages": [user("a"), RESULT]}),
    (400, {"messages": [user("a"), ASKED, RESULT, RESULT]}),
    (400, {"messages": [user("a"), {"role": "assistant", "content": None}, user("b")]}),
    (400, {"messages": [user("a"), {**ASKED, "tool_calls": [{**CALL, "id": "x" * 41}]}, RESULT]}),
    (400, {"messages": [user("a"), ASKED, {**RESULT, "content": None}]}),
    (400, {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x/y.png"}}]}]}),
    (400, {"messages": [{"role": "user", "content": [{"type": "text"}]}]}),
    (400, {"messages": [{**user("a"), "reasoning_content": "x"}]}),
]


@pytest.mark.parametrize(("status", "fields"), INVALID, ids=range(len(INVALID)))
def test_refuses_what_the_vendors_refuse(chat: Any, status: int, fields: dict[str, Any]) -> None:
    body: dict[str, Any] = {"model": GPT, "messages": [user("Hi")], **fields}
    with pytest.raises(openai.APIStatusError) as caught:
        chat.create(**{name: value for name, value in body.items() if name != "hologram"},
                    extra_body={"hologram": 1} if "hologram" in body else {})  # fmt: skip
    assert caught.value.status_code == status


def test_requires_a_key(running_server: ModelServer) -> None:
    url = f"{running_server.url}/v1/chat/completions"
    response = httpx.post(url, json={"model": GPT, "messages": [user("Hi")]}, trust_env=False)
    assert (response.status_code, response.json()["error"]["code"]) == (401, "invalid_api_key")
