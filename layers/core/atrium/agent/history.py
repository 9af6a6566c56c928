"""Selects the messages of a session to send to a model: whole turns, newest first, within a budget of tokens."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from atrium.llm import model as llm
from atrium.runs.blocks import encode_blocks
from atrium.runs.model import Message, Run

TOKENS_MAX = 100_000
RUNS_READ = 50
_BYTES_PER_TOKEN = 4
_CUT = "[cut: the beginning is left out]\n"


def select_history(runs_newest_first: Sequence[Run]) -> tuple[Message, ...]:
    """Return the messages of as many whole turns as fit, oldest first; the newest turn always.

    Turns stay whole, so that every tool call keeps its result. Only the newest turn is shortened, if it alone does not
    fit. A turn that was cancelled or failed without an answer is left out: the model would answer its question together
    with the next one, and may fail again. The estimate is four bytes per token.
    """
    chosen: list[tuple[Message, ...]] = []
    tokens = 0
    for run in runs_newest_first:
        if not _was_answered(run):
            continue
        messages = run.messages if chosen else _fitted(run)
        tokens += _estimate(messages)
        if tokens > TOKENS_MAX and chosen:
            break
        chosen.append(messages)
    return tuple(message for messages in reversed(chosen) for message in messages)


def _fitted(run: Run) -> tuple[Message, ...]:
    """Return a turn's messages; if it is too large, its question and the end of the assistant's text."""
    if _estimate(run.messages) <= TOKENS_MAX:
        return run.messages
    last = next(message for message in reversed(run.messages) if message.role == "assistant")
    said = "\n\n".join(message.text for message in run.messages if message.role == "assistant" and message.text)
    kept = said.encode(errors="replace")[-TOKENS_MAX * _BYTES_PER_TOKEN // 2 :].decode(errors="ignore")
    text = kept if len(kept) == len(said) else _CUT + kept
    return run.question, replace(last, content=(llm.Text(text),))


def as_model_messages(
    messages: Iterable[Message], before: Sequence[llm.ModelMessage] = ()
) -> tuple[llm.ModelMessage, ...]:
    """Return messages as a model takes them, after those `before`: tool results are the user's, and neighbours of
    one role are one message. What a provider does not take back (old thoughts, blank text) is its adapter's care."""
    merged = list(before)
    for message in messages:
        role: llm.Role = "assistant" if message.role == "assistant" else "user"
        if merged and merged[-1].role == role:
            merged[-1] = llm.ModelMessage(role, merged[-1].content + message.content)
        else:
            merged.append(llm.ModelMessage(role, message.content))
    return tuple(merged)


def _was_answered(run: Run) -> bool:
    return any(message.role == "assistant" for message in run.messages)


def _estimate(messages: Iterable[Message]) -> int:
    return sum(len(str(encode_blocks(each.content)).encode(errors="replace")) for each in messages) // _BYTES_PER_TOKEN
