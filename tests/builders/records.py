"""Builders of runs, outcomes and messages, for tests of the code that stores them."""

from datetime import datetime, timedelta
from typing import Any

from atrium.kernel.ids import AgentId, SessionId, mint_message_id, mint_run_id, mint_session_id
from atrium.llm.model import Block, Text, ToolResult, ToolUse, Usage
from atrium.runs.model import RUN_LEASE_SECONDS, Message, MessageRole, Outcome, Run, RunEvent, Spend

from tests.builders.gateway import KEY_ID
from tests.builders.runtimes import NOON

AGENT = AgentId("agt_01k6r5m2x8f3v9q4w7t1y0z5ah")
SPEND = Spend(Usage(100, 20, 3, 4), {"calculator": 1}, 12_345)


def build_message(role: MessageRole, *content: Block | str, at: datetime = NOON) -> Message:
    blocks = tuple(Text(block) if isinstance(block, str) else block for block in content)
    return Message(mint_message_id(at), role, blocks, at)


def build_run(session_id: SessionId | None = None, *, at: datetime = NOON, question: str = "Hi", **changes: Any) -> Run:
    """Build an open run, by default in a new session."""
    fields: dict[str, Any] = {
        "owner": KEY_ID,
        "agent_id": AGENT,
        "provider": "anthropic",
        "model": "claude-haiku-5-5",
        "status": "running",
        "question": build_message("user", question, at=at),
        "started_at": at,
        "lease_until": at + timedelta(seconds=RUN_LEASE_SECONDS),
    }
    return Run(id=mint_run_id(at, session_id or mint_session_id(at)), **{**fields, **changes})


def build_outcome(*answers: str, **changes: Any) -> Outcome:
    """Build a successful outcome. Each answer is the text of one assistant message."""
    messages = tuple(build_message("assistant", text) for text in answers)
    fields: dict[str, Any] = {"status": "succeeded", "stop_reason": "end_turn", "spend": SPEND, "messages": messages}
    return Outcome(**{**fields, **changes})


def build_tool_step(count: int = 1) -> tuple[Message, Message]:
    """Build a message with `count` tool calls, and a message with the tool results."""
    calls = [ToolUse(f"call_{number}", "calculator", {"expression": f"{number}*2"}) for number in range(count)]
    results = [ToolResult(call.id, "2") for call in calls]
    return build_message("assistant", "See:", *calls), build_message("tool", *results)


def build_events(first: int, last: int, text: str = "piece") -> list[RunEvent]:
    return [RunEvent(number, "text", {"content": f"{text} {number} "}) for number in range(first, last + 1)]
