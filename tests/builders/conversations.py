"""Builders of stored turns and conversations, and checks of what a model request contains."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

from atrium.context.conversation import Conversation, PastTurn, RecentRuns, as_model_messages
from atrium.kernel.ids import own_ulid
from atrium.kernel.pagination import Page
from atrium.llm.model import ModelMessage, ModelRequest, Thinking, ToolResult, ToolUse, Usage
from atrium.llm.tokens import bound_tokens
from atrium.runs.items import outcome_content, pack, question_content
from atrium.runs.model import Message, Run, Summary
from atrium.runs.store import RunStore
from atrium.storage import keys

from tests.builders.records import build_message, build_outcome, build_run
from tests.builders.runtimes import NOON
from tests.builders.scripted import Piece, ScriptedModel, ScriptedStream, calls, reply


def turn(number: int, question: str, *answers: str, summary: Summary | None = None) -> Run:
    """Build an ended run with one assistant message for each answer. Runs with larger numbers are newer."""
    return ended(number, question, [build_message("assistant", answer) for answer in answers], summary=summary)


def ended(number: int, question: str, messages: Sequence[Message], *, summary: Summary | None = None) -> Run:
    run = build_run(at=NOON + timedelta(seconds=number), question=question)
    return run.ended(build_outcome(messages=tuple(messages), summary=summary), NOON)


def rounds(turn_name: str, count: int, result: str = "2", tool: str = "calculator") -> list[Message]:
    """Build the messages of `count` rounds, each with one call and its result."""
    return [
        message
        for at in range(count)
        for message in (
            build_message("assistant", ToolUse(f"{turn_name}_{at}", tool, {"expression": "1+1"})),
            build_message("tool", ToolResult(f"{turn_name}_{at}", result)),
        )
    ]


def recent(runs: Iterable[Run]) -> RecentRuns:
    """Return the runs, given newest first, as they are read from the table in one page."""
    items: list[dict[str, Any]] = []
    for run in runs:
        outcome = {"outcome": pack(outcome_content(run.outcome))} if run.outcome else {}
        items.append({"sk": keys.run(run.id).sort, "question": pack(question_content(run)), **outcome})
    return RecentRuns(RunStore(cast("Any", None), cast("Any", None)), None, Page(items, None))


def past(number: int, messages: Sequence[Message]) -> PastTurn:
    """Build a turn whose question is its number."""
    run = build_run(at=NOON + timedelta(seconds=number))
    return PastTurn(own_ulid(run.id), tuple(as_model_messages([build_message("user", f"q{number}"), *messages])))


def texts(conversation: Conversation) -> list[str]:
    """Return the texts of a conversation's earlier messages, "" for a message without text."""
    return [text_of(message) for message in conversation.messages((), ())]


def text_of(message: ModelMessage) -> str:
    return "".join(getattr(block, "text", "") for block in message.content)


def assert_pairs(messages: Sequence[ModelMessage]) -> None:
    """Assert that each tool call has its result in the next message, and that there is no other result."""
    asked: list[str] = []
    for message in messages:
        results = [block.tool_use_id for block in message.content if isinstance(block, ToolResult)]
        assert results == asked
        asked = [block.id for block in message.content if isinstance(block, ToolUse)]
    assert not asked


def is_summary(request: ModelRequest) -> bool:
    """Return whether a request asks for a summary."""
    return "You summarise" in request.system


@dataclass
class RoundsModel(ScriptedModel):
    """A model that calls a tool in `rounds` rounds, then answers. It writes a summary if asked."""

    summary: str = "The user wants to look around."
    thinks: bool = False
    rounds: int = 1_000_000
    tool: str = "look"
    answered: int = 0

    def open(self, request: ModelRequest, *, deadline_seconds: float) -> ScriptedStream:
        used = Usage(bound_tokens(request) // 4, min(50, request.max_tokens))
        if is_summary(request):
            self.replies = [reply(self.summary, used=used)]
            return super().open(request, deadline_seconds=deadline_seconds)
        step: Piece = calls(self.tool, f"call_{self.answered}") if self.answered < self.rounds else "Done."
        thinking = [Thinking("hm", f"sig_{self.answered}")] if self.thinks else []
        self.answered += 1
        self.replies = [reply(*thinking, step, used=used)]
        return super().open(request, deadline_seconds=deadline_seconds)
