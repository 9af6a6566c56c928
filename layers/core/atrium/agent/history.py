"""Which messages of a session a model is shown: whole turns, newest first, within bounds (A7's defaults)."""

from collections.abc import Sequence

from atrium.runs.blocks import encode_blocks
from atrium.runs.model import Message, Run

MESSAGES_MAX = 100
TOKENS_MAX = 100_000
RUNS_READ = 50
_BYTES_PER_TOKEN = 4


def select_history(runs_newest_first: Sequence[Run]) -> tuple[Message, ...]:
    """Return the messages of as many whole turns as fit, oldest first.

    Turns stay whole, so that a tool call never loses its result. The estimate is four bytes a token.
    """
    chosen: list[tuple[Message, ...]] = []
    count = tokens = 0
    for run in runs_newest_first:
        if run.is_open:
            continue
        count += len(run.messages)
        tokens += sum(_estimate(message) for message in run.messages)
        if count > MESSAGES_MAX or tokens > TOKENS_MAX:
            break
        chosen.append(run.messages)
    return tuple(message for messages in reversed(chosen) for message in messages)


def _estimate(message: Message) -> int:
    return len(str(encode_blocks(message.content)).encode()) // _BYTES_PER_TOKEN
