"""A scripted model, which returns one scripted reply per model call.

A reply is a list of pieces. A piece is text, thinking, a tool call, an error to raise, or a function that is called at
this point of the answer.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from atrium.llm.model import (
    Block,
    Completed,
    ModelEvent,
    ModelRequest,
    StopReason,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolResult,
    ToolUse,
    Usage,
)

type Piece = str | Thinking | ToolUse | Exception | Callable[[], object]

USED = Usage(100, 20)
CUT = Usage(100, 3)


def calls(tool: str, call_id: str = "call_1", **arguments: object) -> ToolUse:
    return ToolUse(call_id, tool, arguments)


@dataclass(frozen=True)
class Reply:
    """One answer of the model.

    If `stop` is None, the stop reason is `tool_use` for an answer with tool calls, and otherwise `end_turn`. If
    `completes` is false, the stream ends without a `Completed` event.
    """

    pieces: Sequence[Piece]
    stop: StopReason | None = None
    used: Usage = USED
    completes: bool = True

    @property
    def stop_reason(self) -> StopReason:
        return self.stop or ("tool_use" if any(isinstance(piece, ToolUse) for piece in self.pieces) else "end_turn")


def reply(*pieces: Piece, stop: StopReason | None = None, used: Usage = USED, completes: bool = True) -> Reply:
    return Reply(pieces, stop, used, completes)


class ScriptedStream:
    """A streaming answer. Its usage is empty before the first piece, and `CUT` until the answer is complete."""

    def __init__(self, said: Reply, model: str) -> None:
        self._reply, self.model = said, model
        self._used = Usage()
        self.closed = threading.Event()

    @property
    def usage(self) -> Usage:
        return self._used

    def close(self) -> None:
        self.closed.set()

    def __iter__(self) -> Iterator[ModelEvent]:
        content: list[Block] = []
        for piece in self._reply.pieces:
            if isinstance(piece, Exception):
                raise piece
            if self.closed.is_set():
                return
            self._used = CUT
            if isinstance(piece, str | Thinking | ToolUse):
                yield from _events(piece)
                _append(content, piece)
            else:
                piece()
        if self._reply.completes and not self.closed.is_set():
            self._used = self._reply.used
            yield Completed(tuple(content), self._reply.stop_reason, self._reply.used)


def _events(piece: str | Thinking | ToolUse) -> Iterator[ModelEvent]:
    if isinstance(piece, str):
        yield TextDelta(piece)
    elif isinstance(piece, Thinking):
        yield ThinkingDelta(piece.text)


def _append(content: list[Block], piece: str | Thinking | ToolUse) -> None:
    if isinstance(piece, str) and content and isinstance(content[-1], Text):
        content[-1] = Text(content[-1].text + piece)
    else:
        content.append(Text(piece) if isinstance(piece, str) else piece)


@dataclass
class ScriptedModel:
    """A provider that returns its replies in order, and then always "Hello."

    `requests` contains the received requests.
    """

    replies: list[Reply] = field(default_factory=list)
    requests: list[ModelRequest] = field(default_factory=list)
    streams: list[ScriptedStream] = field(default_factory=list)
    name: str = "scripted"

    def say(self, *pieces: Piece, stop: StopReason | None = None, used: Usage = USED, completes: bool = True) -> None:
        self.replies.append(Reply(pieces, stop, used, completes))

    def open(self, request: ModelRequest, *, deadline_seconds: float) -> ScriptedStream:
        assert_acceptable(request)
        self.requests.append(request)
        said = self.replies.pop(0) if self.replies else reply("Hello.")
        self.streams.append(ScriptedStream(said, request.model))
        return self.streams[-1]

    def count_tokens(self, request: ModelRequest) -> int:
        return 1


def assert_acceptable(request: ModelRequest) -> None:
    """Assert that a request's history is valid for every provider."""
    roles = [message.role for message in request.messages]
    assert roles[0] == roles[-1] == "user", roles
    assert all(left != right for left, right in pairwise(roles)), roles
    asked: set[str] = set()
    for message in request.messages:
        results = {block.tool_use_id for block in message.content if isinstance(block, ToolResult)}
        assert results == asked, "each tool call has its result in the next message, and no other has one"
        asked = {block.id for block in message.content if isinstance(block, ToolUse)}
        assert message.content
    assert not asked
