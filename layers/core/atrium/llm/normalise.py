"""Normalises untrusted model output: text, JSON, tool calls and whole conversations.

The results are valid UTF-8 text, JSON with finite numbers and bounded depth, and names and ids that providers accept.
The functions are used for received answers (`llm.answer`), stored runs (`runs`) and requests (`repair_request`).

A repaired conversation is valid for every provider. Messages alternate between user and assistant, start and end with
the user, and are not empty. Every tool use has exactly one result, at the start of the next message, and every result
has a tool use. Ids are unique. Images are valid, and only in messages of the user and in tool results. Valid content is
not changed. The repair of a message depends only on the messages before it, so a provider's cache of a continued
conversation remains valid.
"""

import json
import re
import secrets
from collections import defaultdict, deque
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from math import isfinite
from typing import Any

from atrium.llm.content import IMAGE_BROKEN, find_fault
from atrium.llm.model import (
    Block,
    Image,
    ModelMessage,
    ModelRequest,
    ResultContent,
    Role,
    Text,
    Thinking,
    ToolResult,
    ToolSchema,
    ToolUse,
)

DEPTH_MAX = 32
REPLACEMENT = "\ufffd"
NOT_JSON = "The arguments are not valid JSON."
NOT_AN_OBJECT = "The arguments are not a JSON object."
NOT_FINITE = "The arguments contain a number that is not finite or too large."
TOO_DEEP = f"The arguments are nested deeper than {DEPTH_MAX} levels."
NAME_MAX = 64
"""Maximum length of a tool name. OpenAI accepts 64 characters, Anthropic 128."""
NAME_RULE = f"must have 1 to {NAME_MAX} letters, digits, `_` or `-`"
NAME_PATTERN = f"[a-zA-Z0-9_-]{{1,{NAME_MAX}}}"
BAD_NAME = f"The tool name is invalid: it {NAME_RULE}."

_NAME = re.compile(NAME_PATTERN)
_IDENTIFIER = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_NOT_IDENTIFIER = re.compile(r"[^a-zA-Z0-9_-]+")
_NAME_LEFT_EMPTY = "invalid_name"
_INTEGER_BITS_MAX = 1_023  # the maximum of a double; most JSON parsers do not support larger numbers
NO_RESULT = "No result was recorded for this call."
NOTHING_SAID = "(no text)"
UNAVAILABLE_TOOL = ToolSchema(
    "unavailable_tool",
    "Stands for tools that were used earlier in this conversation and are not available any more. Never call it.",
    {"type": "object", "properties": {}},
)


def clean_text(text: str) -> str:
    """Return the text with surrogate pairs joined and lone surrogates replaced by U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


class TextJoiner:
    """Cleans text that is received in chunks. A surrogate pair may be split between two chunks."""

    def __init__(self) -> None:
        self._held = ""
        self.is_changed = False

    def feed(self, text: str) -> str:
        """Return the cleaned text of a chunk. A high surrogate at its end is held back for the next chunk."""
        text, self._held = self._held + text, ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._held = text[:-1], text[-1]
        return self._clean(text)

    def end(self) -> str:
        """Return the text that was held back, after the last chunk."""
        held, self._held = self._held, ""
        return self._clean(held)

    def _clean(self, text: str) -> str:
        cleaned = clean_text(text)
        self.is_changed |= cleaned.count(REPLACEMENT) > text.count(REPLACEMENT)
        return cleaned


def clean_json(value: object, *, depth_max: int = DEPTH_MAX) -> tuple[Any, str]:
    """Return a normalised JSON value and its first problem ("" if it is valid).

    Numbers that are not finite or too large, and values nested deeper than `depth_max` levels, become null.
    """
    problems: list[str] = []
    return _clean(value, depth_max, problems), problems[0] if problems else ""


def clean_arguments(value: object) -> tuple[dict[str, Any], str]:
    """Return the normalised arguments of a tool call and their first problem ("" if they are valid)."""
    if not isinstance(value, Mapping):
        return {}, NOT_AN_OBJECT
    return clean_json(value)


def read_arguments(text: str) -> tuple[dict[str, Any], str]:
    """Parse arguments that a model wrote as JSON text, then apply `clean_arguments`. Blank text means no arguments."""
    if not text.strip():
        return {}, ""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}, NOT_JSON
    return clean_arguments(value)


def clean_id(call_id: object, taken: Container[str]) -> str:
    """Return the id of a tool call, or a new id if it is not a valid identifier or is already in `taken`."""
    if is_identifier(call_id) and call_id not in taken:
        return str(call_id)
    return f"call_{secrets.token_hex(12)}"


def clean_name(name: object) -> str:
    """Return a tool name, with `_` instead of characters that providers do not accept."""
    if is_tool_name(name):
        return str(name)
    left = _NOT_IDENTIFIER.sub("_", name).strip("_")[:NAME_MAX] if isinstance(name, str) else ""
    return left or _NAME_LEFT_EMPTY


def is_tool_name(text: object) -> bool:
    """Return whether the text is a tool name that every provider accepts."""
    return isinstance(text, str) and _NAME.fullmatch(text) is not None


def is_identifier(text: object) -> bool:
    """Return whether the text is an id of a tool call. An adapter shortens ids for a provider that needs it."""
    return isinstance(text, str) and _IDENTIFIER.fullmatch(text) is not None


def clean_call(call_id: object, name: object, arguments: Mapping[str, Any], problem: str, taken: set[str]) -> ToolUse:
    """Return a tool call that can be stored and sent back. Its id is added to `taken`.

    `problem` is the problem with the arguments. A call whose name had to be changed also gets a problem, because the
    new name may belong to a tool that the model did not intend to call.
    """
    call = ToolUse(clean_id(call_id, taken), clean_name(name), arguments, problem if is_tool_name(name) else BAD_NAME)
    taken.add(call.id)
    return call


def _clean(value: object, levels_left: int, problems: list[str]) -> Any:
    cleaned: Any = None
    match value:
        case None | bool():
            cleaned = value
        case str():
            cleaned = clean_text(value)
        case int() if value.bit_length() <= _INTEGER_BITS_MAX:
            cleaned = value
        case float() if isfinite(value):
            cleaned = value
        case Mapping() if levels_left:
            cleaned = {clean_text(str(key)): _clean(each, levels_left - 1, problems) for key, each in value.items()}
        case list() if levels_left:
            cleaned = [_clean(each, levels_left - 1, problems) for each in value]
        case int() | float():
            problems.append(NOT_FINITE)
        case _:
            problems.append(TOO_DEEP)
    return cleaned


def repair_request(request: ModelRequest) -> ModelRequest:
    """Return the request in a form that every provider accepts.

    If the messages contain tool calls but the agent has no tools, a tool that must not be called is declared, because
    providers may otherwise reject the messages. Thinking blocks are then omitted, because they are valid only with the
    tools that were declared when they were written.
    """
    messages = repair_messages(request.messages)
    has_calls = any(isinstance(block, ToolUse) for message in messages for block in message.content)
    if request.tools or request.forces_tool or not has_calls:  # a forced call without tools is rejected later
        return replace(request, messages=messages)
    plain = repair_messages(without_thinking(messages))
    return replace(request, messages=plain, tools=(UNAVAILABLE_TOOL,), tool_choice="none")


def without_thinking(messages: Iterable[ModelMessage]) -> tuple[ModelMessage, ...]:
    """Return the messages without thinking blocks. Messages that have no other blocks are removed."""
    plain = (
        ModelMessage(each.role, tuple(block for block in each.content if not isinstance(block, Thinking)))
        for each in messages
    )
    return tuple(each for each in plain if each.content)


def repair_messages(messages: Iterable[ModelMessage]) -> tuple[ModelMessage, ...]:
    """Return the messages of a conversation in valid form, ending with a user message."""
    pairing, paired = _Pairing(), list[tuple[Role, Sequence[Block]]]()
    for message in _merged((each.role, [_cleaned(block) for block in each.content]) for each in messages):
        answers = message.role == "user"
        paired.append((message.role, pairing.answer(message.content) if answers else pairing.ask(message.content)))
    repaired = _merged([*paired, ("user", pairing.answer(()))])
    silence = ModelMessage("user", (Text(NOTHING_SAID),))
    first = [] if repaired and repaired[0].role == "user" else [silence]
    last = [silence] if repaired and repaired[-1].role == "assistant" else []
    return (*first, *repaired, *last)


def _merged(messages: Iterable[tuple[Role, Iterable[Block]]]) -> list[ModelMessage]:
    """Merge messages so that roles alternate. Blocks that their role does not allow and empty messages are removed."""
    merged: list[tuple[Role, list[Block]]] = []
    for role, content in messages:
        blocks = [block for block in content if _may_say(role, block)]
        if blocks and merged and merged[-1][0] == role:
            merged[-1][1].extend(blocks)
        elif blocks:
            merged.append((role, blocks))
    return [ModelMessage(role, tuple(blocks)) for role, blocks in merged]


def _may_say(role: Role, block: Block) -> bool:
    match block:
        case Text(text):
            return bool(text.strip())
        case ToolResult() | Image():
            return role == "user"
        case _:
            return role == "assistant"


def _cleaned(block: Block) -> Block:
    match block:
        case Text() | Image():
            return _cleaned_part(block)
        case ToolUse(input=arguments):
            return replace(block, name=clean_name(block.name), input=clean_arguments(arguments)[0], problem="")
        case ToolResult(content=content):
            return replace(block, content=_cleaned_result(content))
        case Thinking(text, signature):
            unchanged = clean_text(text) == text and clean_text(signature) == signature
            return block if unchanged else Thinking(clean_text(text), "")


def _cleaned_part(block: Text | Image) -> Text | Image:
    if isinstance(block, Text):
        return Text(clean_text(block.text))
    return block if find_fault(block.media_type, block.data) is None else Text(IMAGE_BROKEN)


def _cleaned_result(content: ResultContent) -> ResultContent:
    return clean_text(content) if isinstance(content, str) else tuple(map(_cleaned_part, content))


@dataclass(slots=True)
class _Pairing:
    """Pairs every tool use with one result. `asked` contains the calls of the last message with their original ids."""

    asked: list[tuple[str, ToolUse]] = field(default_factory=list)
    _taken: set[str] = field(default_factory=set)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def ask(self, content: Sequence[Block]) -> list[Block]:
        """Return an assistant's blocks, with tool call ids that are valid identifiers and unique."""
        blocks: list[Block] = []
        self.asked = []
        for block in content:
            if isinstance(block, ToolUse):
                call = replace(block, id=self._fresh(block.id))
                self.asked.append((block.id, call))
                blocks.append(call)
            else:
                blocks.append(block)
        return blocks

    def answer(self, content: Sequence[Block]) -> list[Block]:
        """Return a user's blocks: one result for each call in `asked`, in order, then the other blocks."""
        results = defaultdict[str, deque[ToolResult]](deque)
        for block in content:
            if isinstance(block, ToolResult):
                results[block.tool_use_id].append(block)
        answered: list[Block] = []
        for old_id, call in self.asked:
            found = results[old_id].popleft() if results[old_id] else ToolResult("", NO_RESULT, is_error=True)
            answered.append(replace(found, tool_use_id=call.id))
        self.asked = []
        return answered + [block for block in content if not isinstance(block, ToolResult)]

    def _fresh(self, call_id: str) -> str:
        fresh = call_id
        if not is_identifier(call_id) or call_id in self._taken:
            fresh = next(made for number in self._numbers if (made := f"call_{number}") not in self._taken)
        self._taken.add(fresh)
        return fresh
