"""Exports a session in parts, which are smaller than the size limit of a Lambda response, and writes Markdown.

Everything that people or models have written is in a code fence that is longer than any sequence of backticks in it, so
no text can end its fence. Values in headings and lists are escaped.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import assert_never

from atrium.kernel.clock import format_time
from atrium.kernel.pagination import Page, PageRequest, Position
from atrium.llm.model import Block, Image, Text, Thinking, ToolResult, ToolUse
from atrium.runs.model import Message, Run, usage_fields
from atrium.sessions.model import Session
from atrium.sessions.service import PAGE_BYTES_MAX, SessionService, size_of

PART_MESSAGES_MAX = 2_000
_PAGE_MESSAGES = 100
_LINE_END = re.compile("\r\n?")
_MARKS = re.compile(r"([\\`*_\[\]<>&#|~$])")
_NAMES = {"user": "User", "assistant": "Assistant", "tool": "Tools"}


def read_part(
    service: SessionService, session: Session, position: Position | None, limit: int = PART_MESSAGES_MAX
) -> Page[tuple[Run, Message]]:
    """Return up to `limit` messages of the next part, oldest first: at most 2 MB of JSON, but at least one message."""
    taken: list[tuple[Run, Message]] = []
    size = 0
    while True:
        page = service.read_messages(session, PageRequest(min(_PAGE_MESSAGES, limit - len(taken)), position))
        size += sum(size_of(message) for _, message in page.items)
        if taken and size > PAGE_BYTES_MAX:
            return Page(taken, position)
        taken += page.items
        position = page.position
        if position is None or len(taken) == limit:
            return Page(taken, position)


def write_markdown(session: Session, part: Sequence[tuple[Run, Message]], *, is_first: bool) -> str:
    """Return a part of a session as Markdown. The texts of all parts together are one document."""
    lines = [*_heading(session)] if is_first else []
    for run, message in part:
        if message.id == run.question.id:
            lines += _turn(run)
        lines += [f"### {_NAMES[message.role]}, {format_time(message.created_at)}", ""]
        for block in message.content:
            lines += [*_block(block), ""]
    return "\n".join(lines) + "\n"


def _heading(session: Session) -> Iterator[str]:
    yield from (f"# {_escape(session.title or session.id)}", "")
    yield from _list({
        "Session": session.id,
        "Agent": session.agent_id or "",
        "User": session.user_id or "",
        "End user": session.end_user,
        "Forked from": session.forked_from.session_id if session.forked_from else "",
        "Created": format_time(session.created_at),
        "Last active": format_time(session.last_active_at),
        "Messages": str(session.message_count),
    })  # fmt: skip


def _turn(run: Run) -> Iterator[str]:
    error = run.outcome.error if run.outcome else None
    usage = usage_fields(run.spend)
    yield from (f"## Turn {_escape(run.id)}", "")
    yield from _list({
        "Status": run.status,
        "Stop reason": (run.outcome.stop_reason if run.outcome else "") or "",
        "Error": f"{error.code}: {error.detail}" if error else "",
        "Model": f"{run.model} ({run.provider})",
        "Started": format_time(run.started_at),
        "Ended": format_time(run.ended_at) if run.ended_at else "",
        "Usage": ", ".join(f"{name} {value}" for name, value in usage.items()),
    })  # fmt: skip


def _list(values: dict[str, str]) -> Iterator[str]:
    yield from (f"- {name}: {_escape(value)}" for name, value in values.items() if value)
    yield ""


def _block(block: Block) -> Iterator[str]:
    match block:
        case Text(text):
            yield from _fence(text)
        case Image():
            yield f"![Image](data:{block.media_type};base64,{block.data})"
        case Thinking(text):
            yield from ("Thinking:", "", *_fence(text))
        case ToolUse(id=call, name=name, input=arguments):
            yield from (f"Call of {_escape(name)} ({_escape(call)}):", "")
            yield from _fence(json.dumps(dict(arguments), ensure_ascii=False), "json")
        case ToolResult(tool_use_id=call, content=content, is_error=is_error):
            yield from (f"{'Error' if is_error else 'Result'} of {_escape(call)}:", "")
            if isinstance(content, str):
                yield from _fence(content)
            else:
                for each in content:
                    yield from _block(each)
        case _:
            assert_never(block)


def _fence(text: str, language: str = "text") -> Iterator[str]:
    text = _LINE_END.sub("\n", text)
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    yield from (f"{fence}{language}", text, fence)


def _escape(text: str) -> str:
    """Return a text as one line in which no character has a meaning in Markdown or HTML, after other text."""
    return _MARKS.sub(r"\\\1", " ".join(text.split()))
