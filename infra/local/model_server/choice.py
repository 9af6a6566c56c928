"""Which tools an answer asks for: those of the script, those that a question needs, or one that the caller forces."""

from collections.abc import Sequence

from pydantic import JsonValue

from infra.local.model_server.conversation import Conversation
from infra.local.model_server.questions import asked_sum, asks_time
from infra.local.model_server.request import MessagesRequest, Tool
from infra.local.model_server.script import Script, ToolCall


def choose_calls(request: MessagesRequest, script: Script, conversation: Conversation) -> list[ToolCall]:
    """The calls of the next answer, none when it should be text.

    Scripted tools are asked for whether they are offered or not (a model may make names up), but never when the
    request offers no tool at all or `tool_choice` is `none`.
    """
    choice = request.tool_choice
    done = conversation.rounds
    if not request.tools or choice.type == "none":
        return []
    named = [tool for tool in request.tools if tool.name == choice.name] or request.tools
    wanted = script.tool or _natural(request.tools, script.said)
    rounds = len(wanted) * script.rounds if choice.disable_parallel_tool_use else script.rounds
    if script.tools_forever:
        wanted = script.tool or [_call(_preferred(request.tools), done)]
    elif done >= rounds:
        wanted = []
    if not wanted and choice.type in {"any", "tool"}:
        wanted = [_call(_preferred(named), done)]
    if wanted and choice.disable_parallel_tool_use:
        return [wanted[done % len(wanted)]]
    return wanted


def _natural(tools: Sequence[Tool], said: str) -> list[ToolCall]:
    offered = {tool.name: tool for tool in tools}
    calls: list[ToolCall] = []
    expression = asked_sum(said)
    if expression and "calculator" in offered:
        names = _properties(offered["calculator"])
        name = "expression" if "expression" in names or not names else names[0]
        calls.append(ToolCall(name="calculator", input={name: expression}))
    if asks_time(said) and "current_time" in offered:
        calls.append(_call(offered["current_time"], 0))
    return calls


def _preferred(tools: Sequence[Tool]) -> Tool:
    return next((tool for tool in tools if tool.name in {"calculator", "current_time"}), tools[0])


def _call(tool: Tool, number: int) -> ToolCall:
    schema = tool.input_schema or {}
    properties, required = schema.get("properties"), schema.get("required")
    known = properties if isinstance(properties, dict) else {}
    names = required if isinstance(required, list) else []
    return ToolCall(
        name=tool.name,
        input={name: example(known.get(name), name, number) for name in names if isinstance(name, str)},
    )


def _properties(tool: Tool) -> list[str]:
    properties = (tool.input_schema or {}).get("properties")
    return list(properties) if isinstance(properties, dict) else []


def example(schema: JsonValue, name: str, number: int) -> JsonValue:
    """A small value that fits a property's schema; `number` makes the expressions of successive rounds differ."""
    if not isinstance(schema, dict):
        return "example"
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    for key in ("enum", "anyOf"):
        options = schema.get(key)
        if isinstance(options, list) and options:
            return options[0] if key == "enum" else example(options[0], name, number)
    return _example_of_type(schema, name, number)


def _example_of_type(schema: dict[str, JsonValue], name: str, number: int) -> JsonValue:
    kind = schema.get("type")
    minimum = schema.get("minimum")
    if kind in {"integer", "number"}:
        return minimum if isinstance(minimum, int | float) else 1
    text = f"1+{number}" if name == "expression" else "UTC" if "zone" in name else "example"
    values: dict[str, JsonValue] = {"boolean": True, "array": [], "object": {}, "null": None}
    return values.get(kind, text) if isinstance(kind, str) else text
