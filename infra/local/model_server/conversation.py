"""What a request shows of the conversation: who said what, and which tools have answered in this turn.

The turn begins at the last user message that carries no tool result; texts beside tool results open none.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from infra.local.model_server.content import Text, ToolResult, ToolUse
from infra.local.model_server.request import Message


@dataclass(frozen=True)
class ToolAnswer:
    """A tool call of this turn, with its result as text."""

    name: str
    input: dict[str, JsonValue]
    result: str
    is_error: bool


@dataclass(frozen=True)
class Conversation:
    """A reading of the messages; `user_texts` is oldest first and ends with the turn's own text."""

    message_count: int
    user_texts: tuple[str, ...]
    answers: tuple[ToolAnswer, ...]
    rounds: int

    @property
    def last(self) -> str:
        """What the user said in this turn; empty when no message has text."""
        return self.user_texts[-1] if self.user_texts else ""


def read_conversation(messages: Sequence[Message]) -> Conversation:
    """Read a validated conversation."""
    texts: list[str] = []
    turn_at = 0
    for index, message in enumerate(messages):
        said = "\n".join(block.text for block in message.content if isinstance(block, Text))
        if message.role == "user" and said and not _has_results(message):
            texts.append(said)
            turn_at = index
    turn = messages[turn_at:]
    calls = {block.id: block for message in turn for block in message.content if isinstance(block, ToolUse)}
    answers = tuple(
        ToolAnswer(calls[block.tool_use_id].name, calls[block.tool_use_id].input, block.text, block.is_error)
        for message in turn
        for block in message.content
        if isinstance(block, ToolResult)
    )
    rounds = sum(any(isinstance(block, ToolUse) for block in message.content) for message in turn)
    return Conversation(len(messages), tuple(texts), answers, rounds)


def _has_results(message: Message) -> bool:
    return any(isinstance(block, ToolResult) for block in message.content)
