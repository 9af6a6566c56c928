"""Runs one Python SDK through the scenarios, in the environment of `infra/requirements/clients.txt`.

`python sdks.py <client>` reads `{"base_url", "api_key", "model", "options"}` from the standard input and writes a JSON
object with the result of each scenario. `options` are arguments of each call.

    text    the answer to "[[echo]] Hello."
    stream  the same from a stream, with the number of its parts and the tokens of the answer
    tool    the call of the tool `calculator`, then the answer to its result
    output  the answer to a question, which fits a schema
    image   the answer to a message with an image
    error   the status of the error for an unknown model
"""

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

HELLO = "[[echo]] Hello."
SUM = "what is 12*7?"
PLACE = "Name a city. Answer as JSON."
TOOL = {
    "name": "calculator",
    "description": "Works out an expression.",
    "schema": {"type": "object", "properties": {"expression": {"type": "string"}}, "required": ["expression"]},
}
SCHEMA = {
    "title": "place",
    "description": "A place.",
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
FUNCTION = {"name": TOOL["name"], "description": TOOL["description"], "parameters": TOOL["schema"]}
RESPONSE_FORMAT = {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA, "strict": True}}
TOKENS_MAX = 200
UNKNOWN = "no-such-model"
LOOK = "What is this?"
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
IMAGE_URL = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}

type Given = Mapping[str, Any]
type Scenarios = Mapping[str, Callable[[], Any]]


def user(content: str | list[Any]) -> Any:
    return {"role": "user", "content": content}


def status_of(call: Callable[[], Any]) -> Any:
    """Return the status of the error that a call raises."""
    try:
        return call()
    except Exception as error:  # noqa: BLE001 - the test shows it
        return {"status": error.status_code} if hasattr(error, "status_code") else {"error": repr(error)}


def of_chat(create: Callable[..., Any]) -> Scenarios:
    """Return the scenarios of a function with the arguments and results of OpenAI's `chat.completions.create`."""

    def text() -> Any:
        return create(messages=[user(HELLO)]).choices[0].message.content

    def stream() -> Any:
        chunks = list(create(messages=[user(HELLO)], stream=True, stream_options={"include_usage": True}))
        pieces = [each.choices[0].delta.content for each in chunks if each.choices and each.choices[0].delta.content]
        usages = [each.usage for each in chunks if getattr(each, "usage", None)]
        return {"text": "".join(pieces), "parts": len(pieces), "tokens": usages[-1].completion_tokens}

    def tool() -> Any:
        tools = [{"type": "function", "function": FUNCTION}]
        asked = create(messages=[user(SUM)], tools=tools).choices[0].message
        (call,) = asked.tool_calls
        result = {"role": "tool", "tool_call_id": call.id, "content": "84"}
        said = {"role": "assistant", "content": asked.content, "tool_calls": [call.model_dump()]}
        answer = create(messages=[user(SUM), said, result], tools=tools).choices[0].message.content
        return {"name": call.function.name, "args": json.loads(call.function.arguments), "text": answer}

    def output() -> Any:
        answer = create(messages=[user(PLACE)], response_format=RESPONSE_FORMAT)
        return json.loads(answer.choices[0].message.content)

    def image() -> Any:
        content = [{"type": "text", "text": LOOK}, IMAGE_URL]
        return create(messages=[user(content)]).choices[0].message.content

    def error() -> Any:
        return status_of(lambda: create(messages=[user(HELLO)], model=UNKNOWN))

    return {"text": text, "stream": stream, "tool": tool, "output": output, "image": image, "error": error}


def openai(given: Given) -> Scenarios:
    """OpenAI's SDK."""
    from openai import OpenAI

    client = OpenAI(base_url=f"{given['base_url']}/v1", api_key=given["api_key"], max_retries=0)
    always = {"model": given["model"], **given["options"]}
    return of_chat(lambda **fields: client.chat.completions.create(**{**always, **fields}))


def litellm(given: Given) -> Scenarios:
    """LiteLLM as a client of an OpenAI-compatible endpoint."""
    import litellm as sdk

    sdk.suppress_debug_info = True  # it is printed to the standard output
    target = {"api_base": f"{given['base_url']}/v1", "api_key": given["api_key"], **given["options"]}

    def create(model: str = given["model"], **fields: Any) -> Any:
        return sdk.completion(model=f"openai/{model}", **target, **fields)

    return of_chat(create)


def anthropic(given: Given) -> Scenarios:
    """Anthropic's SDK."""
    from anthropic import Anthropic

    client = Anthropic(base_url=given["base_url"], api_key=given["api_key"], max_retries=0)
    always = {"model": given["model"], "max_tokens": TOKENS_MAX, **given["options"]}

    def create(**fields: Any) -> Any:
        return client.messages.create(**{**always, **fields})

    def text_of(message: Any) -> str:
        return "".join(block.text for block in message.content if block.type == "text")

    def stream() -> Any:
        with client.messages.stream(**always, messages=[user(HELLO)]) as events:
            pieces = list(events.text_stream)
            final = events.get_final_message()
        return {"text": "".join(pieces), "parts": len(pieces), "tokens": final.usage.output_tokens}

    def tool() -> Any:
        tools = [{"name": TOOL["name"], "description": TOOL["description"], "input_schema": TOOL["schema"]}]
        asked = create(messages=[user(SUM)], tools=tools)
        (call,) = [block for block in asked.content if block.type == "tool_use"]
        result = {"type": "tool_result", "tool_use_id": call.id, "content": "84"}
        messages = [user(SUM), {"role": "assistant", "content": asked.content}, {"role": "user", "content": [result]}]
        return {"name": call.name, "args": call.input, "text": text_of(create(messages=messages, tools=tools))}

    def output() -> Any:
        form = {"type": "json_schema", "schema": SCHEMA}
        return json.loads(text_of(create(messages=[user(PLACE)], output_config={"format": form})))

    def image() -> Any:
        return text_of(create(messages=[user([{"type": "text", "text": LOOK}, IMAGE])]))

    def error() -> Any:
        return status_of(lambda: create(messages=[user(HELLO)], model=UNKNOWN))

    scenarios = {"stream": stream, "tool": tool, "output": output, "image": image, "error": error}
    return {"text": lambda: text_of(create(messages=[user(HELLO)])), **scenarios}


def of_langchain(model: Any, unknown: Any) -> Scenarios:
    """Return the scenarios of a LangChain chat model. `unknown` is one with an unknown model id."""
    from langchain_core.messages import HumanMessage, ToolMessage

    def stream() -> Any:
        chunks = list(model.stream(HELLO))
        texts = [each.text for each in chunks if each.text]
        whole = chunks[0]
        for each in chunks[1:]:
            whole = whole + each
        return {"text": "".join(texts), "parts": len(texts), "tokens": whole.usage_metadata["output_tokens"]}

    def tool() -> Any:
        bound = model.bind_tools([{"type": "function", "function": FUNCTION}])
        asked = bound.invoke(SUM)
        (call,) = asked.tool_calls
        answer = bound.invoke([HumanMessage(SUM), asked, ToolMessage("84", tool_call_id=call["id"])])
        return {"name": call["name"], "args": call["args"], "text": answer.text}

    def output() -> Any:
        return model.with_structured_output(SCHEMA, method="json_schema").invoke(PLACE)

    def image() -> Any:
        return model.invoke([HumanMessage([{"type": "text", "text": LOOK}, IMAGE_URL])]).text

    def error() -> Any:
        return status_of(lambda: unknown.invoke(HELLO))

    def text() -> Any:
        return model.invoke(HELLO).text

    return {"text": text, "stream": stream, "tool": tool, "output": output, "image": image, "error": error}


def langchain_openai(given: Given) -> Scenarios:
    """LangChain's OpenAI integration."""
    from langchain_openai import ChatOpenAI

    target = {"base_url": f"{given['base_url']}/v1", "api_key": given["api_key"], **given["options"]}
    always = {"stream_usage": True, "max_retries": 0, "use_responses_api": False}  # by default, tools of GPT need it
    return of_langchain(*(ChatOpenAI(model=model, **target, **always) for model in (given["model"], UNKNOWN)))


def langchain_anthropic(given: Given) -> Scenarios:
    """LangChain's Anthropic integration."""
    from langchain_anthropic import ChatAnthropic

    target = {"base_url": given["base_url"], "api_key": given["api_key"], **given["options"]}
    always = {"max_tokens": TOKENS_MAX, "max_retries": 0}
    return of_langchain(*(ChatAnthropic(model=model, **target, **always) for model in (given["model"], UNKNOWN)))


CLIENTS = {
    each.__name__.replace("_", "-"): each
    for each in (openai, anthropic, litellm, langchain_openai, langchain_anthropic)
}


def run(scenario: Callable[[], Any]) -> Any:
    """Return the result of a scenario, or `{"error"}`."""
    try:
        return scenario()
    except Exception as error:  # noqa: BLE001 - the test shows it
        return {"error": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    scenarios = CLIENTS[sys.argv[1]](json.load(sys.stdin))
    json.dump({name: run(each) for name, each in scenarios.items()}, sys.stdout)
