"""Reads the directives and simple questions in a conversation, which determine the server's response.

A directive is `[[name]]` or `[[name=value]]`. infra/docs/model-server.md lists all directives. An unknown `[[word]]` is
treated as text, and an unknown `[[word=…]]` causes a 400 error. Directives are read from the turn's text, which is the
text of the last user message without tool results.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from infra.local.model_server.blocks import Image, Text, ToolResult, ToolUse
from infra.local.model_server.protocol import ApiError, invalid
from infra.local.model_server.request import Message, images_in

type StopReason = Literal[
    "end_turn", "max_tokens", "stop_sequence", "tool_use", "pause_turn", "refusal", "model_context_window_exceeded"
]
type RefusalCategory = Literal["cyber", "bio", "frontier_llm", "reasoning_extraction", "general_harms"]

Seconds = Annotated[float, Field(ge=0, le=600, allow_inf_nan=False)]
Pieces = Annotated[int, Field(ge=0, le=100_000)]
Count = Annotated[int, Field(ge=1, le=100_000)]

BARE: dict[str, JsonValue] = {
    "overload_midstream": 2,
    "disconnect": 2,
    "hang": 0,
    "overflow": True,
    "refusal": "general_harms",
    "tools_forever": True,
    "echo": True,
}
OPENING = re.compile(r"\[\[([a-z_]+)(=|\]\])")
TOOL = re.compile(r"\s*([A-Za-z0-9_-]+)\s*")
CLOSING = re.compile(r"\s*\]\]")


class ToolCall(BaseModel):
    """A tool call that a directive requests."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    input: dict[str, JsonValue]


class Script(BaseModel):
    """The directives in one user text. `said` is the text without the directives."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    delay: Seconds = 0
    slow: Seconds = 0
    pieces: Count | None = None
    tokens: Count | None = None
    tool: list[ToolCall] = []
    rounds: Count = 1
    tools_forever: bool = False
    preface: str | None = None
    thinking: str | None = None
    status: Annotated[int, Field(ge=400, le=599)] | None = None
    overflow: bool = False
    overload_midstream: Pieces | None = None
    disconnect: Pieces | None = None
    hang: Pieces | None = None
    times: Count | None = None
    only: str | None = None
    retry_after: Seconds | None = None
    refusal: RefusalCategory | None = None
    stop: StopReason | None = None
    echo: bool = False
    cache_read: Count | None = None
    cache_write: Count | None = None
    said: str = ""

    @property
    def can_fail(self) -> bool:
        """Return whether the script contains a failure. If so, the attempts of the request must be counted."""
        breaks = (self.overload_midstream, self.disconnect, self.hang)
        return self.status is not None or self.overflow or any(after is not None for after in breaks)


NAMES = frozenset(Script.model_fields) - {"said"}


def read_script(text: str) -> Script:
    """Read the directives in `text`. Raises a 400 error for an unknown name with a value, or an invalid value."""
    values: dict[str, JsonValue] = {}
    calls: list[JsonValue] = []
    kept: list[str] = []
    at = 0
    while opening := OPENING.search(text, at):
        name = opening[1]
        kept.append(text[at : opening.start()])
        at = opening.end()
        if opening[2] == "]]" and name not in NAMES:
            kept.append(opening[0])
        elif opening[2] == "]]":
            values[name] = _bare(name)
        elif name == "tool":
            call, at = _read_call(text, at)
            calls.append(call)
        else:
            values[name], at = _read_value(name, text, at)
    kept.append(text[at:])
    try:
        return Script.model_validate({**values, "tool": calls, "said": "".join(kept).strip()})
    except ValidationError as error:
        raise invalid(error, "directive ") from error


def _bare(name: str) -> JsonValue:
    if name not in BARE:
        raise ApiError(400, f"directive {name}: needs a value, as in [[{name}=…]]")
    return BARE[name]


def _read_value(name: str, text: str, at: int) -> tuple[str, int]:
    if name not in NAMES:
        raise ApiError(400, f"directive {name}: unknown")
    end = text.find("]]", at)
    if end < 0:
        raise ApiError(400, f"directive {name}: not closed by ]]")
    return text[at:end].strip(), end + 2


def _read_call(text: str, at: int) -> tuple[dict[str, JsonValue], int]:
    """Parse `name {json}]]`, where the JSON may contain `]]`. Return the tool call and the position after it."""
    name = TOOL.match(text, at)
    if name is None:
        raise ApiError(400, "directive tool: needs a name, as in [[tool=calculator {…}]]")
    at = name.end()
    arguments: JsonValue = {}
    if text[at : at + 1] == "{":
        try:
            arguments, at = json.JSONDecoder().raw_decode(text, at)
        except ValueError as error:
            raise ApiError(400, f"directive tool: the input of {name[1]} is not a JSON object") from error
    closing = CLOSING.match(text, at)
    if closing is None:
        raise ApiError(400, f"directive tool: {name[1]} must be followed by a JSON object and ]]")
    return {"name": name[1], "input": arguments}, closing.end()


@dataclass(frozen=True)
class AnsweredCall:
    """A tool call of the current turn, and its result as text."""

    name: str
    input: dict[str, JsonValue]
    result: str
    is_error: bool


@dataclass(frozen=True)
class Conversation:
    """The contents of a conversation's messages.

    `user_texts` is sorted from oldest to newest, and its last item is the turn's text. `answers` contains the answered
    tool calls of the current turn. `rounds` is the number of responses with tool calls in the current turn, and
    `images` the number of images in the current turn.
    """

    message_count: int
    user_texts: tuple[str, ...]
    answers: tuple[AnsweredCall, ...]
    rounds: int
    images: int = 0

    @property
    def last(self) -> str:
        """Return the turn's text, or an empty string if no user message has text."""
        return self.user_texts[-1] if self.user_texts else ""


def read_conversation(messages: Sequence[Message]) -> Conversation:
    """Return the contents of validated messages."""
    texts: list[str] = []
    turn_at = 0
    for index, message in enumerate(messages):
        said = "\n".join(block.text for block in message.content if isinstance(block, Text))
        has_image = any(isinstance(block, Image) for block in message.content)
        if message.role == "user" and (said or has_image) and not _has_results(message):
            texts.append(said)
            turn_at = index
    turn = messages[turn_at:]
    calls = {block.id: block for message in turn for block in message.content if isinstance(block, ToolUse)}
    answers = tuple(
        AnsweredCall(calls[block.tool_use_id].name, calls[block.tool_use_id].input, block.text, block.is_error)
        for message in turn
        for block in message.content
        if isinstance(block, ToolResult)
    )
    rounds = sum(any(isinstance(block, ToolUse) for block in message.content) for message in turn)
    return Conversation(len(messages), tuple(texts), answers, rounds, sum(1 for _ in images_in(turn)))


def _has_results(message: Message) -> bool:
    return any(isinstance(block, ToolResult) for block in message.content)


WORDS = {"multiplied by": "*", "divided by": "/", "times": "*", "plus": "+", "minus": "-", "×": "*", "÷": "/"}
SUM = re.compile(
    r"\b(?:what(?:['’]s| is)|how much is|calculate|compute|evaluate|work out|solve)\s*:?\s*"
    r"(?:the (?:result|value) of\s*)?"
    r"(?P<sum>[-+(]*\d[\d\s.()+\-*/%]*)",
    re.IGNORECASE,
)
OPERATION = re.compile(r"[\d)]\s*[-+*/%]\s*[-+(]*\d")
TIME = re.compile(
    r"\bwhat time is it\b|\bcurrent time\b|\bwhat(?:['’]s| is) (?:the (?:current )?|today['’]s )(?:time|date)\b"
    r"|\bwhat day is (?:it|today)\b",
    re.IGNORECASE,
)
SPOKEN = r"(?:say|said|ask|asked|tell|told|write|wrote|message|question|thing)"
FIRST = re.compile(
    rf"\bmy (?:very )?first {SPOKEN}\b|\bi {SPOKEN}\b.*\bfirst\b|\bfirst {SPOKEN} (?:that )?i\b", re.IGNORECASE
)
BEFORE = re.compile(
    rf"\bwhat did i (?:just )?{SPOKEN}\b|\bi just {SPOKEN}\b|\bmy (?:previous|last) {SPOKEN}\b", re.IGNORECASE
)
MY_NAME = re.compile(r"\b(?:what(?:['’]s| is) my name|who am i)\b", re.IGNORECASE)
NAMED = re.compile(r"\b(?:my name is|i am called|i['’]m called)\s+([^\W\d_][\w’'-]*)", re.IGNORECASE)
QUOTE_MAX = 200


def asked_sum(text: str) -> str | None:
    """Return the expression of an arithmetic question, such as `12*7` in “what is 12*7?”, or None."""
    for word, sign in WORDS.items():
        text = re.sub(rf"\s*{word}\s*", sign, text, flags=re.IGNORECASE)
    found = SUM.search(text)
    expression = found["sum"].rstrip(" \n\t.+-*/%(") if found else ""
    return expression if OPERATION.search(expression) else None


def asks_time(text: str) -> bool:
    """Return whether the text asks for the time or the date."""
    return TIME.search(text) is not None


def recall(texts: Sequence[str]) -> str | None:
    """Return the answer to a question about the user's earlier texts, or None if the last text is not such a question.

    `texts` is sorted from oldest to newest.
    """
    *earlier, question = texts or [""]
    if MY_NAME.search(question):
        named = [found[1] for text in earlier for found in NAMED.finditer(text)]
        return f"Your name is {named[-1]}." if named else "You have not told me your name."
    if FIRST.search(question):
        return f"The first thing you said was: {quote(texts[0])}"
    if BEFORE.search(question):
        return f"Before that you said: {quote(earlier[-1])}" if earlier else "That is the first thing you said."
    return None


def quote(text: str) -> str:
    """Return at most 200 characters of the text in quotation marks."""
    return f"“{text}”" if len(text) <= QUOTE_MAX else f"“{text[:QUOTE_MAX]}…”"
