"""What the caller of a vendor-compatible endpoint determines for one turn: earlier messages, tools and model options.

A turn ends if the model calls tools of the caller. The caller sends their results with the next call. A model may have
called tools of the platform in the same turn, and a vendor's format may omit its thinking. The caller does not know
these messages, so `restore` reads them from the earlier turns: the ids of the caller's tool calls contain the run.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from atrium.context.conversation import as_model_messages, without_thinking
from atrium.kernel.errors import invalid_field
from atrium.kernel.ids import ULID_PATTERN, RunId, own_ulid, stateless_run_id
from atrium.llm.content import has_images, result_texts
from atrium.llm.model import (
    Block,
    ModelMessage,
    ModelRequest,
    ToolResult,
    ToolSchema,
    ToolUse,
    texts_of,
    turn_start,
)
from atrium.runs.model import Run

RESTORED_MAX = 20
"""Maximum number of earlier runs of one turn whose messages are restored: the newest."""
_CALL_ID = re.compile(rf"[a-z]+_({ULID_PATTERN})_[0-9]+")

type FindRuns = Callable[[Collection[RunId]], Mapping[RunId, Run]]


@dataclass(frozen=True, slots=True)
class CallerOptions:
    """The part of a turn that its caller determines.

    `dialog` are the messages before the question, oldest first. It is empty for a turn in a session, whose messages are
    stored. `system` follows the agent's system prompt. `call_prefix` begins the ids of calls of `tools`. `max_tokens`
    is None for the agent's maximum. `options` are fields of `ModelRequest`.
    """

    dialog: tuple[ModelMessage, ...] = ()
    system: str = ""
    tools: tuple[ToolSchema, ...] = ()
    call_prefix: str = "call"
    max_tokens: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tool_names(self) -> frozenset[str]:
        return frozenset(tool.name for tool in self.tools)

    def other_texts(self, question: Sequence[Block]) -> list[str]:
        """Return the texts from outside besides those that the user wrote in the question: the dialog and results."""
        asked = (message.content for message in self.dialog if message.role == "user")
        return [*(text for content in asked for text in texts_of(content)), *result_texts(question)]

    def routed_text(self, question: Sequence[Block]) -> str:
        """Return the text by which the turn is routed. Tool results alone continue the last message of the user."""
        asked = (texts_of(each.content) for each in reversed(self.dialog) if each.role == "user")
        return "\n".join(texts_of(question) or next((texts for texts in asked if texts), []))

    def completed(self, question: Sequence[Block], taken: Collection[str], model: str, find: FindRuns) -> Self:
        """Return the options with a complete dialog (`restore`). `taken` are the names of the agent's tools.

        A question without tool results begins a new turn, so nothing is restored. Raises `ValidationFailed` if
        a tool has a name of the agent's tools.
        """
        for at, tool in enumerate(self.tools):
            if tool.name in taken:
                raise invalid_field(
                    f"tools[{at}]", f"must not have the name {tool.name}, which a tool of the agent has"
                )
        if not any(isinstance(block, ToolResult) for block in question):
            return self
        return replace(self, dialog=restore(self.dialog, find, model))

    def apply(self, request: ModelRequest, *, is_first: bool) -> ModelRequest:
        """Return a request of the turn with these options. Only the first one can require a tool call."""
        options = dict(self.options)
        if not is_first and options.get("tool_choice") != "none":
            options.pop("tool_choice", None)
        system = "\n\n".join(text for text in (request.system, self.system) if text)
        return replace(request, system=system, tools=(*request.tools, *self.tools), **options)

    def bound(self, agent_id: str, agent_max: int) -> int:
        """Return the maximum output tokens of a model call. It cannot exceed an agent's, if there is an agent."""
        if self.max_tokens is None:
            return agent_max
        return min(self.max_tokens, agent_max) if agent_id else self.max_tokens

    def has_images(self) -> bool:
        return any(has_images(message.content) for message in self.dialog)


def call_id(prefix: str, run_id: RunId, number: int) -> str:
    """Return the id of a call of a caller's tool."""
    return f"{prefix}_{own_ulid(run_id)}_{number}"


def is_call_of(run_id: RunId, tool_call_id: str) -> bool:
    """Return whether a tool call of a run is a call of a tool of its caller."""
    found = _CALL_ID.fullmatch(tool_call_id)
    return found is not None and found.group(1) == own_ulid(run_id)


def restore(dialog: Sequence[ModelMessage], find: FindRuns, model: str) -> tuple[ModelMessage, ...]:
    """Return a dialog in which the answers of the current turn are complete.

    An answer with the calls that an earlier run returned is replaced by all messages of that run. Thinking of another
    model than `model` is omitted. `find` returns the runs that exist and belong to the caller.
    """
    asked = {at: found for at in range(turn_start(dialog), len(dialog)) if (found := _run_of(dialog[at])) is not None}
    wanted = set(list(asked.values())[-RESTORED_MAX:])
    runs = find(wanted) if wanted else {}
    restored: list[ModelMessage] = []
    for at, message in enumerate(dialog):
        run = runs.get(asked[at]) if at in asked else None
        own = _answers(run, model) if run is not None else []
        returned = {call for each in own for call in _calls(each) if run is not None and is_call_of(run.id, call)}
        restored.extend(own if own and _calls(message) == returned else [message])
    return tuple(restored)


def _calls(message: ModelMessage) -> set[str]:
    return {block.id for block in message.content if isinstance(block, ToolUse)}


def _run_of(message: ModelMessage) -> RunId | None:
    matches = (_CALL_ID.fullmatch(call) for call in _calls(message))
    return next((stateless_run_id(found.group(1)) for found in matches if found), None)


def _answers(run: Run, model: str) -> list[ModelMessage]:
    messages = as_model_messages(run.outcome.messages if run.outcome else ())
    return messages if run.model == model else list(map(without_thinking, messages))
