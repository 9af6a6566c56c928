"""Which messages of a session a model is shown, and how: whole turns, newest first, within bounds (A7's defaults)."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from atrium.llm import model as llm
from atrium.runs.blocks import encode_blocks
from atrium.runs.model import Message, Run

MESSAGES_MAX = 100
TOKENS_MAX = 100_000
RUNS_READ = 50
_BYTES_PER_TOKEN = 4


def select_history(runs_newest_first: Sequence[Run], model: str) -> tuple[Message, ...]:
    """Return the messages of as many whole turns as fit, oldest first, for a call of that model.

    Turns stay whole, so that a tool call never loses its result. The estimate is four bytes a token. Thoughts are
    kept for the model that had them: another one refuses their signatures.
    """
    chosen: list[tuple[Message, ...]] = []
    count = tokens = 0
    for run in runs_newest_first:
        if run.is_open:
            continue
        messages = run.messages if run.model == model else tuple(map(_without_thoughts, run.messages))
        count += len(messages)
        tokens += sum(_estimate(message) for message in messages)
        if count > MESSAGES_MAX or tokens > TOKENS_MAX:
            break
        chosen.append(messages)
    return tuple(message for messages in reversed(chosen) for message in messages)


def as_model_messages(messages: Iterable[Message], before: Sequence[llm.Message] = ()) -> tuple[llm.Message, ...]:
    """Return messages as a model takes them, after those `before`: tool results are the user's, and neighbours of
    one role are one message. What providers refuse is left out: blank text, and thoughts that lead to nothing."""
    merged = list(before)
    for message in messages:
        role: llm.Role = "assistant" if message.role == "assistant" else "user"
        content = _acceptable(message.content)
        if content and merged and merged[-1].role == role:
            merged[-1] = llm.Message(role, merged[-1].content + content)
        elif content:
            merged.append(llm.Message(role, content))
    return tuple(merged)


def _acceptable(blocks: Sequence[llm.Block]) -> tuple[llm.Block, ...]:
    kept = [block for block in blocks if not (isinstance(block, llm.Text) and not block.text.strip())]
    while kept and isinstance(kept[-1], llm.Thinking):
        kept.pop()
    return tuple(kept)


def _without_thoughts(message: Message) -> Message:
    return replace(message, content=tuple(each for each in message.content if not isinstance(each, llm.Thinking)))


def _estimate(message: Message) -> int:
    return len(str(encode_blocks(message.content)).encode(errors="replace")) // _BYTES_PER_TOKEN
