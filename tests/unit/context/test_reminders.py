"""Reminders at the end of a model request: open to-dos, and limits that are near."""

from datetime import UTC, datetime

import pytest
from atrium.context.reminders import TASKS_SHOWN, Reminders
from atrium.kernel.ids import MessageId
from atrium.llm.model import Block, Text, ToolResult, ToolUse, Usage
from atrium.runs.model import Message, MessageRole, RunBudget, Spend

NOW = datetime(2026, 11, 29, tzinfo=UTC)
BUDGET = RunBudget(20, 100, 1_000_000_000, 10_000)
ALL = frozenset({"todo", "limits", "preferences"})


def message(role: MessageRole, *blocks: Block) -> Message:
    return Message(MessageId("msg_1"), role, blocks, NOW)


def todo(call_id: str, *tasks: tuple[str, str], is_error: bool = False) -> list[Message]:
    items = [{"task": task, "status": status} for task, status in tasks]
    return [
        message("assistant", ToolUse(call_id, "todo", {"items": items})),
        message("tool", ToolResult(call_id, "done", is_error=is_error)),
    ]


def write(
    *messages: Message,
    iterations: int = 1,
    spend: Spend | None = None,
    seconds_left: float = 100,
    kinds: frozenset[str] = ALL,
    budget: RunBudget = BUDGET,
) -> str:
    return Reminders(budget, kinds).write(messages, iterations, spend or Spend(), seconds_left)


def test_lists_the_open_tasks_of_the_newest_list() -> None:
    lists = [*todo("a", ("old", "pending")), *todo("b", ("one", "done"), ("two", "in_progress"), ("three", "pending"))]
    text = write(*lists, message("assistant", Text("Next.")))
    assert "\n- two\n- three\n" in text
    assert "one" not in text
    assert "old" not in text


def test_is_empty_without_open_tasks_and_far_from_the_limits() -> None:
    assert write(*todo("a", ("one", "done"))) == ""
    assert write(message("assistant", Text("Hello"))) == ""


def test_ignores_a_list_that_the_tool_rejected() -> None:
    assert write(*todo("a", ("one", "pending"), is_error=True)) == ""
    assert "one" in write(*todo("a", ("one", "pending")), *todo("b", ("two", "pending"), is_error=True))


def test_a_long_list_is_short_in_the_reminder() -> None:
    text = write(*todo("a", *((f"task {at} " + "x" * 190, "pending") for at in range(50))))
    assert text.count("\n- ") == TASKS_SHOWN + 1
    assert "… and 40 more" in text
    assert len(text) < 2_000


@pytest.mark.parametrize("arguments", [{}, {"items": "x"}, {"items": [1, None, {"task": None}]}])
def test_arguments_of_any_shape_are_read(arguments: dict[str, object]) -> None:
    call = message("assistant", ToolUse("a", "todo", arguments))
    write(call, message("tool", ToolResult("a", "done")))


@pytest.mark.parametrize(
    ("iterations", "spend", "seconds_left", "told"),
    [
        (15, Spend(), 100, ""),
        (16, Spend(), 100, "4 answers including this one"),
        (19, Spend(), 100, "last answer"),
        (1, Spend(Usage(7_900, 0)), 100, ""),
        (1, Spend(Usage(8_000, 500)), 100, "about 1,500 tokens"),
        (1, Spend(cost_nanos=900_000_000), 100, "about 0.100000 USD"),
        (1, Spend(Usage(20_000, 0)), 100, "about 0 tokens"),
        (1, Spend(), 20, "about 20 seconds"),
        (1, Spend(), -3, "about 0 seconds"),
    ],
)
def test_warns_near_each_limit(iterations: int, spend: Spend, seconds_left: float, told: str) -> None:
    text = write(iterations=iterations, spend=spend, seconds_left=seconds_left)
    assert told in text
    assert bool(text) == bool(told)
    assert write(iterations=iterations, spend=spend, seconds_left=seconds_left, kinds=frozenset({"todo"})) == ""


def test_a_long_run_is_warned_only_at_its_end() -> None:
    budget = RunBudget(100, 100)
    assert [write(iterations=at, budget=budget) != "" for at in (80, 94, 95, 99)] == [False, False, True, True]


def test_a_switched_off_reminder_is_not_written() -> None:
    assert write(*todo("a", ("one", "pending")), kinds=frozenset({"limits"})) == ""
