"""The messages of a run's model requests, within limits, and the reading of a session's earlier turns."""

from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from atrium.context.profiles import MESSAGES_KEPT, CompactionConfig
from atrium.kernel.ids import SessionId
from atrium.kernel.pagination import Page
from atrium.llm.content import text_of
from atrium.llm.model import Block, ModelMessage, Text, Thinking, ToolResult, ToolUse
from atrium.llm.tokens import BYTES_PER_TOKEN, bound_message
from atrium.runs.items import SEGMENT, decode_blocks, load_payload, read_summary
from atrium.runs.model import Message, Summary
from atrium.runs.store import RunStore
from atrium.storage import keys
from atrium.storage.blobs import BlobGone
from atrium.storage.table import Query
from atrium.tools.model import Tool

HISTORY_MESSAGES_MAX = 100
HISTORY_TOKENS_MAX = 100_000
EPHEMERAL_OUTPUTS: Mapping[str, int] = {"screenshot": 2, "dom": 3, "file_read": 5}
"""Numbers of outputs that stay in a request, by the category of a tool that sets no other number."""
SUMMARY_HEADING = "Summary of the earlier messages of this conversation, written by a model:\n\n"
OMITTED = "[This output is omitted, because newer outputs of this tool exist.]"
_RUN = "RUN#"
_CUT = "[cut: the beginning is left out]\n"
_RUNS_PER_PAGE = 50
_PAGES_MAX = 4
_BLOCK_BYTES_MIN = 64
_TRIMMED_TO = 0.8  # within a run, so that the next requests have the same beginning, which the provider has cached
_ATTRIBUTES = ("question", "question_ref", "outcome", "outcome_ref", SEGMENT)


@dataclass(frozen=True, slots=True)
class PastTurn:
    """An answered turn of the session, with the ULID of its run.

    `messages` begins with the question. The first `left_out` messages after the question were removed.
    """

    ulid: str
    messages: tuple[ModelMessage, ...]
    left_out: int = 0

    def without(self, count: int) -> "PastTurn":
        """Return the turn without the first `count` messages after its question."""
        messages = (self.messages[0], *self.messages[1 + count :])
        return replace(self, messages=messages, left_out=self.left_out + count)


@dataclass(frozen=True, slots=True)
class RecentRuns:
    """The runs of a session, newest first. Payloads are decoded, and further pages are read, only when needed."""

    store: RunStore
    session_id: SessionId | None = None
    page: Page[dict[str, Any]] = field(default_factory=lambda: Page([], None))

    @classmethod
    def read(cls, store: RunStore, session_id: SessionId, after: Page[Any] | None = None) -> "RecentRuns":
        """Read the newest runs, or the page that follows `after`. Strongly consistent."""
        query = Query(
            keys.session(session_id).partition,
            prefix=_RUN,
            newest_first=True,
            limit=_RUNS_PER_PAGE,
            position=after.position if after else None,
            attributes=_ATTRIBUTES,
        )
        return cls(store, session_id, store.table.query(query))

    @property
    def newest_ended(self) -> str:
        """Return the ULID of the newest run, or "" if there is no run or it has not ended."""
        newest = next(iter(self.page.items), {})
        return _ulid(newest) if newest.keys() & {"outcome", "outcome_ref", SEGMENT} else ""

    def answered(self) -> Iterator[tuple[PastTurn, Summary | None]]:
        """Yield the turns that have an answer, with the summary that their run made. At most 200 runs are read."""
        page, archived = self.page, dict[str, Any]()
        for _ in range(_PAGES_MAX):
            for item in page.items:
                found = self._decode(item, archived)
                if found is not None:
                    yield found
            if page.position is None or self.session_id is None:
                return
            page = RecentRuns.read(self.store, self.session_id, page).page

    def _decode(self, item: dict[str, Any], archived: dict[str, Any]) -> tuple[PastTurn, Summary | None] | None:
        try:
            item = self.store.restored(item, archived)
            outcome = load_payload(self.store.blobs, "outcome", item)
            if outcome is None or all(message["role"] != "assistant" for message in outcome["messages"]):
                return None
            question = load_payload(self.store.blobs, "question", item)
        except BlobGone:  # the session is being deleted
            return None
        messages = (_decode_message(each) for each in (question["message"], *outcome["messages"]))
        return PastTurn(_ulid(item), tuple(messages)), read_summary(outcome)


@dataclass(frozen=True, slots=True)
class Conversation:
    """The messages of the next model request, except the question. See `atrium.context` for the limits.

    `through` is the ULID of the newest run that is left out. Thinking of own messages before `thinking_from` is not
    sent. `is_compacted`: this run made the summary. `is_tightened`: the provider rejected a request as too long.
    """

    turns: tuple[PastTurn, ...] = ()
    messages_max: int = HISTORY_MESSAGES_MAX
    tokens_max: int = HISTORY_TOKENS_MAX
    compaction: CompactionConfig | None = None
    ephemeral: Mapping[str, int] = field(default_factory=dict)
    summary: Summary | None = None
    through: str = ""
    own_left_out: int = 0
    block_bytes_max: int | None = None
    thinking_from: int = 0
    is_compacted: bool = False
    is_tightened: bool = False

    @property
    def own_summary(self) -> Summary | None:
        """Return the summary if this run made it."""
        return self.summary if self.is_compacted else None

    def messages(self, question: Iterable[ModelMessage], own: Sequence[ModelMessage]) -> tuple[ModelMessage, ...]:
        """Return the messages of the request. `own` are all messages that the run has added so far."""
        head = (_text(SUMMARY_HEADING + self.summary.text),) if self.summary else ()
        earlier = [message for turn in self.turns for message in turn.messages]
        is_bound = not any(call.name in self.ephemeral for call in _calls(own))
        begun = self.thinking_from if is_bound else len(own)
        kept = [*map(without_thinking, own[self.own_left_out : begun]), *own[max(begun, self.own_left_out) :]]
        sent = omit_outputs([*earlier, *kept], dict(self.ephemeral)) if self.ephemeral else [*earlier, *kept]
        if self.block_bytes_max is not None:
            sent = [_shortened(message, self.block_bytes_max) for message in sent]
        return (*head, *sent[: len(earlier)], *question, *sent[len(earlier) :])

    def tokens(self, own: Sequence[ModelMessage]) -> int:
        """Return the estimated tokens of the messages without the question."""
        return count_tokens(self.messages((), own))

    def exceeds(self, own: Sequence[ModelMessage], share: float = 1) -> bool:
        """Return whether the messages exceed a share of the limits."""
        is_long = sum(len(turn.messages) for turn in self.turns) > self.messages_max * share
        return is_long or self.tokens(own) > self.tokens_max * share

    def fitted(self, own: Sequence[ModelMessage] = ()) -> "Conversation":
        """Return the conversation within its limits."""
        if not self.exceeds(own):
            return self
        found, share = replace(self, thinking_from=len(own)), _TRIMMED_TO if own else 1
        while found.exceeds(own, share) and (shorter := found.shorten(own)):
            found = shorter[1]
        block = self.tokens_max * BYTES_PER_TOKEN
        while found.exceeds(own) and block > _BLOCK_BYTES_MIN:
            block //= 2
            found = replace(found, block_bytes_max=min(block, found.block_bytes_max or block))
        while found.exceeds(own) and (shorter := found.shorten(own, kept=0)):
            found = shorter[1]
        return found

    def shorten(
        self, own: Sequence[ModelMessage], kept: int = MESSAGES_KEPT
    ) -> "tuple[Sequence[ModelMessage], Conversation] | None":
        """Leave out the oldest turn, or else its oldest round. Return the messages that were left out and the rest.

        Returns None if fewer than `kept` messages would stay.
        """
        spare = sum(len(turn.messages) for turn in self.turns) + len(own) - self.own_left_out - kept
        first = self.turns[0] if self.turns else None
        if first and len(first.messages) <= spare:
            return first.messages, replace(self, turns=self.turns[1:], through=first.ulid)
        rounds = first.messages[1:] if first else own[self.own_left_out :]
        count = next((at for at, each in enumerate(rounds) if at and each.role == "assistant"), len(rounds))
        if not 0 < count <= spare or (first and count == len(rounds)):
            return None
        if first:
            return rounds[:count], replace(self, turns=(first.without(count), *self.turns[1:]))
        return rounds[:count], replace(self, own_left_out=self.own_left_out + count)

    def tighten(self, own: Sequence[ModelMessage]) -> "Conversation | None":
        """Return the conversation with half of its tokens as the limit. Works once; then, or if empty, return None."""
        tokens = self.tokens(own)
        return None if self.is_tightened or not tokens else replace(self, tokens_max=tokens // 2, is_tightened=True)


def open_conversation(runs: RecentRuns, limits: Conversation) -> Conversation:
    """Return the conversation with the newest turns that the limits allow.

    With compaction, turns of up to twice the limits are returned, because they can be summarised.
    """
    share = 2 if limits.compaction else 1
    turns: list[PastTurn] = []
    summary, left, count, size, is_complete = None, dict(limits.ephemeral), 0, 0, False
    for turn, made in runs.answered():
        if summary is not None and turn.ulid <= summary.through:
            is_complete = True
            break
        summary = summary or made
        turns.append(replace(turn, messages=tuple(omit_outputs(turn.messages, left))) if left else turn)
        count += len(turn.messages)
        size += sum(map(bound_message, turns[-1].messages))
        if count >= limits.messages_max * share or size > limits.tokens_max * share * BYTES_PER_TOKEN:
            break
    else:
        is_complete = True
    if summary is not None and summary.partial and is_complete:
        turns[-1] = turns[-1].without(summary.partial)
    through = summary.through if summary else ""
    found = replace(limits, turns=tuple(reversed(turns)), summary=summary, through=through)
    is_within = count <= limits.messages_max and size <= limits.tokens_max * BYTES_PER_TOKEN  # without a summary
    return found if limits.compaction or (is_within and summary is None) else found.fitted()


def outputs_kept(tools: Iterable[Tool[Any]]) -> dict[str, int]:
    """Return the number of outputs that stay in a request, by the name of the tool, for tools with such a number."""
    found = ((tool.name, tool.ephemeral, EPHEMERAL_OUTPUTS.get(tool.category)) for tool in tools)
    kept = ((name, own if own is not None else default) for name, own, default in found)
    return {name: count for name, count in kept if count is not None}


def omit_outputs(messages: Sequence[ModelMessage], left: MutableMapping[str, int]) -> list[ModelMessage]:
    """Replace outputs of tools, except the newest. `left` has the number that stays by tool, and is reduced."""
    tools = {call.id: call.name for call in _calls(messages)}
    found: list[ModelMessage] = []
    for message in reversed(messages):
        blocks: list[Block] = []
        for block in reversed(message.content):
            name = tools.get(block.tool_use_id, "") if isinstance(block, ToolResult) else ""
            if isinstance(block, ToolResult) and name in left:
                blocks.append(block if left[name] > 0 else replace(block, content=OMITTED))
                left[name] -= 1
            else:
                blocks.append(block)
        found.append(replace(message, content=tuple(reversed(blocks))))
    return found[::-1]


def as_model_messages(messages: Iterable[Message]) -> list[ModelMessage]:
    """Convert the messages of a run. Messages of the same role are not merged."""
    return [ModelMessage("assistant" if each.role == "assistant" else "user", each.content) for each in messages]


def cut_text(text: str, bytes_max: int) -> str:
    """Return the text, or its end with a note if it has more than `bytes_max` bytes."""
    raw = text.encode(errors="replace")
    return text if len(raw) <= bytes_max else _CUT + raw[len(raw) - bytes_max :].decode(errors="ignore")


def count_tokens(messages: Iterable[ModelMessage]) -> int:
    """Return the estimated tokens of messages."""
    return -(-sum(map(bound_message, messages)) // BYTES_PER_TOKEN)


def _ulid(item: Mapping[str, Any]) -> str:
    return str(item["sk"]).removeprefix(_RUN)


def _decode_message(data: Mapping[str, Any]) -> ModelMessage:
    return ModelMessage("user" if data["role"] in ("user", "tool") else "assistant", decode_blocks(data["content"]))


def _calls(messages: Iterable[ModelMessage]) -> Iterator[ToolUse]:
    return (block for message in messages for block in message.content if isinstance(block, ToolUse))


def _text(text: str) -> ModelMessage:
    return ModelMessage("user", (Text(text),))


def without_thinking(message: ModelMessage) -> ModelMessage:
    return replace(message, content=tuple(block for block in message.content if not isinstance(block, Thinking)))


def _shortened(message: ModelMessage, bytes_max: int) -> ModelMessage:
    return replace(message, content=tuple(_shortened_block(block, bytes_max) for block in message.content))


def _shortened_block(block: Block, bytes_max: int) -> Block:
    match block:
        case Text(text):
            return Text(cut_text(text, bytes_max))
        case ToolResult(content=content) if bound_message(ModelMessage("user", (block,))) > bytes_max:
            return replace(block, content=cut_text(text_of(content), bytes_max))
        case ToolUse() if bound_message(ModelMessage("assistant", (block,))) > bytes_max:
            return replace(block, input={})
        case _:
            return block
