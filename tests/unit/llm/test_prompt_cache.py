"""Cache marks: each request of a conversation continues a prompt that an earlier request wrote to the cache."""

import json
from dataclasses import replace
from typing import Any

import pytest
from atrium.llm.anthropic.wire import message_params, system_blocks, tool_params
from atrium.llm.model import Block, ModelMessage, ModelRequest, Text, Thinking, ToolResult, ToolSchema, ToolUse

from tests.builders.images import image

MARKS_MAX = 4
TOOL = ToolSchema("look", "Looks.", {"type": "object"})
type Turn = list[ModelMessage]


def user(*blocks: Block) -> ModelMessage:
    return ModelMessage("user", blocks)


def assistant(*blocks: Block) -> ModelMessage:
    return ModelMessage("assistant", blocks)


def turn(name: str, *, rounds: int, parallel: int = 1, question: tuple[Block, ...] = ()) -> Turn:
    """Return the messages of a turn: a question, rounds of thinking and tool calls with images, and an answer."""
    messages = [user(*question, Text(f"{name}?"))]
    for at in range(rounds):
        ids = [f"{name}_{at}_{number}" for number in range(parallel)]
        messages.append(assistant(Thinking(f"{name} {at}", "signature"), *(ToolUse(each, "look", {}) for each in ids)))
        messages.append(user(*(ToolResult(each, (Text(each), image("image/gif"))) for each in ids)))
    return [*messages, assistant(Thinking(name, "signature"), Text(f"{name}!"))]


def requests_of(*turns: Turn) -> list[dict[str, Any]]:
    """Return the body of each request of a conversation: one for every message of the user."""
    messages: list[ModelMessage] = []
    bodies: list[dict[str, Any]] = []
    for message in (each for one in turns for each in one):
        messages.append(message)
        if message.role == "user":
            request = ModelRequest("claude-haiku-5-5", "Be brief.", tuple(messages), 10, (TOOL,))
            bodies.append({
                "tools": tool_params(request.tools, marked=False),
                "system": system_blocks(request.system),
                "messages": message_params(request),
            })  # fmt: skip
    return bodies


def blocks_of(body: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the blocks of a prompt in the order in which the API reads them: tools, system prompt, messages."""
    said = [{"role": each["role"], **block} for each in body["messages"] for block in each["content"]]
    return [*body["tools"], *body["system"], *said]


def prefixes(body: dict[str, Any]) -> dict[str, int]:
    """Return the prompt up to each cache mark, and its number of blocks."""
    found: dict[str, int] = {}
    plain: list[dict[str, Any]] = []
    for block in blocks_of(body):
        plain.append({name: value for name, value in block.items() if name != "cache_control"})
        if "cache_control" in block:
            found[json.dumps(plain)] = len(plain)
    return found


def cached_blocks(body: dict[str, Any], written: set[str]) -> int:
    """Return the number of blocks of a prompt that are read from the cache at one of its marks."""
    return max((size for prefix, size in prefixes(body).items() if prefix in written), default=0)


CONVERSATIONS = {
    "text": (turn("a", rounds=0), turn("b", rounds=0), turn("c", rounds=0)),
    "images": (turn("a", rounds=0, question=(image(), image())), turn("b", rounds=0, question=(image(),))),
    "tool rounds": (turn("a", rounds=3), turn("b", rounds=2), turn("c", rounds=0)),
    "many parallel calls": (turn("a", rounds=2, parallel=30), turn("b", rounds=1, parallel=30), turn("c", rounds=0)),
}


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_every_request_reads_the_prompt_of_an_earlier_one(name: str) -> None:
    """Within a turn, this is the whole previous request; across turns, everything up to the last question."""
    turns = CONVERSATIONS[name]
    bodies = requests_of(*turns)
    written = set(prefixes(bodies[0]))
    starts = [sum(message.role == "user" for one in turns[:at] for message in one) for at in range(len(turns))]
    for number, body in enumerate(bodies[1:], 1):
        last_start = max(start for start in starts if start < number)
        before = bodies[last_start] if number in starts else bodies[number - 1]
        assert cached_blocks(body, written) >= len(blocks_of(before)), f"request {number}"
        written |= prefixes(body).keys()


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_marks_are_at_most_those_that_the_api_allows(name: str) -> None:
    for body in requests_of(*CONVERSATIONS[name]):
        assert 2 <= len(prefixes(body)) <= MARKS_MAX
        assert "cache_control" in blocks_of(body)[-1], "the end of the conversation is marked"
        assert "cache_control" in body["system"][-1], "tools and system prompt come first and are marked"


def test_the_prompt_of_other_sessions_of_an_agent_begins_in_the_same_way() -> None:
    (first,), (second,) = requests_of(turn("a", rounds=0)), requests_of(turn("b", rounds=0, question=(image(),)))
    assert next(iter(prefixes(first))) == next(iter(prefixes(second)))


def test_a_reminder_follows_after_the_last_mark() -> None:
    messages = turn("a", rounds=2)[:-1]
    plain = ModelRequest("claude-haiku-5-5", "", tuple(messages), 10, (TOOL,))
    reminded = message_params(replace(plain, reminder="Two tasks are open."))
    last = list(reminded[-1]["content"])
    assert last.pop() == {"type": "text", "text": "Two tasks are open."}
    assert [*reminded[:-1], {**reminded[-1], "content": last}] == message_params(plain)
