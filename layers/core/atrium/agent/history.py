"""Which messages of a session a model is shown, and how: whole turns, newest first, within bounds (A7's defaults)."""

from collections.abc import Iterable, Sequence

from atrium.llm import model as llm
from atrium.runs.blocks import encode_blocks
from atrium.runs.model import Message, Run

MESSAGES_MAX = 100
TOKENS_MAX = 100_000
RUNS_READ = 50
_BYTES_PER_TOKEN = 4


def select_history(runs_newest_first: Sequence[Run]) -> tuple[Message, ...]:
    """Return the messages of as many whole turns as fit, oldest first.

    Turns stay whole, so that a tool call never loses its result. A question that was cancelled, or that failed, before
    anything was said is left out: the model would take it up with the next one, and what made it fail, fail again.
    The estimate is four bytes a token.
    """
    chosen: list[tuple[Message, ...]] = []
    count = tokens = 0
    for run in runs_newest_first:
        if not _was_answered(run):
            continue
        count += len(run.messages)
        tokens += sum(_estimate(message) for message in run.messages)
        if count > MESSAGES_MAX or tokens > TOKENS_MAX:
            break
        chosen.append(run.messages)
    return tuple(message for messages in reversed(chosen) for message in messages)


def as_model_messages(messages: Iterable[Message], before: Sequence[llm.Message] = ()) -> tuple[llm.Message, ...]:
    """Return messages as a model takes them, after those `before`: tool results are the user's, and neighbours of
    one role are one message. What a provider does not take back (old thoughts, blank text) is its adapter's care."""
    merged = list(before)
    for message in messages:
        role: llm.Role = "assistant" if message.role == "assistant" else "user"
        if merged and merged[-1].role == role:
            merged[-1] = llm.Message(role, merged[-1].content + message.content)
        else:
            merged.append(llm.Message(role, message.content))
    return tuple(merged)


def _was_answered(run: Run) -> bool:
    return any(message.role == "assistant" for message in run.messages)


def _estimate(message: Message) -> int:
    return len(str(encode_blocks(message.content)).encode(errors="replace")) // _BYTES_PER_TOKEN
