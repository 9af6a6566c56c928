"""Builds model requests for provider tests."""

from collections.abc import Iterable

from atrium.llm.model import Completed, ModelEvent, ModelMessage, ModelRequest, Text, TextDelta, ToolSchema

HAIKU = "claude-haiku-5-5"

CALCULATOR = ToolSchema(
    "calculator",
    "Evaluates arithmetic.",
    {"type": "object", "properties": {"expression": {"type": "string"}}, "required": ["expression"]},
)


def said(text: str) -> ModelMessage:
    return ModelMessage("user", (Text(text),))


def answered(text: str) -> ModelMessage:
    return ModelMessage("assistant", (Text(text),))


def ask(*messages: ModelMessage | str, system: str = "", tools: tuple[ToolSchema, ...] = ()) -> ModelRequest:
    return ModelRequest(
        model=HAIKU,
        system=system,
        messages=tuple(said(each) if isinstance(each, str) else each for each in messages),
        tools=tools,
        max_tokens=1_000,
    )


def text_of(events: Iterable[ModelEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def completed(events: Iterable[ModelEvent]) -> Completed:
    """Return the last event of an answer. Fail if the answer is not complete."""
    *_, last = events
    assert isinstance(last, Completed)
    return last
