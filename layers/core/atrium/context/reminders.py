"""What the platform tells the model at the end of a request: open to-dos of the run, and limits that are near.

A reminder is part of one request only: it is not stored, and no later request contains it. Adapters send it after the
last cache mark, so the prompt cache of the messages stays valid. Thinking is bound to all content before it (ADR 0040),
so the thinking of an answer to a request with a reminder is not sent back (`agent.loop`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from atrium.llm.catalogue import format_cost
from atrium.llm.model import ToolResult, ToolUse
from atrium.runs.model import Message, RunBudget, Spend
from atrium.tools.todo import TODO

NEAR_SHARE = 0.2
"""A limit is near if at most this share of it is left."""
CALLS_NEAR = range(2, 6)
"""The smallest and the largest number of model calls that are near the limit."""
TASKS_SHOWN = 10
_TASK_CHARACTERS = 100
_FRAME = "<reminder>\n{}\nThis reminder is from the platform, not from the user. Do not mention it.\n</reminder>"
_OPEN = "Your to-do list has open tasks. Continue with them, and keep the list up to date:"
_LAST_CALL = "This is your last answer in this turn. You get no results of tools after it: answer now."
_FINISH = "Finish your work, and give your final answer before that. Say what is missing, if you cannot finish."


@dataclass(frozen=True, slots=True)
class Reminders:
    """The reminders of one run with a budget. `kinds` are those of the agent's `injections` that apply here."""

    budget: RunBudget
    kinds: frozenset[str]

    def write(self, messages: Sequence[Message], iterations: int, spend: Spend, seconds_left: float) -> str:
        """Return the reminder of the next request, or "". `iterations` is the number of model calls so far."""
        texts: list[str] = []
        if "todo" in self.kinds and (tasks := list(_open_tasks(messages))):
            more = [f"… and {len(tasks) - TASKS_SHOWN} more"] if len(tasks) > TASKS_SHOWN else []
            texts.append("\n- ".join([_OPEN, *tasks[:TASKS_SHOWN], *more]))
        if "limits" in self.kinds and (left := list(self._near(iterations, spend, seconds_left))):
            is_last = self.budget.max_iterations - iterations == 1
            texts.append(f"Near the limits of this turn. Left: {', '.join(left)}. {_LAST_CALL if is_last else _FINISH}")
        return _FRAME.format("\n\n".join(texts)) if texts else ""

    def _near(self, iterations: int, spend: Spend, seconds_left: float) -> Iterator[str]:
        budget, calls = self.budget, self.budget.max_iterations - iterations
        near = int(budget.max_iterations * NEAR_SHARE)
        if calls <= min(max(near, CALLS_NEAR.start), CALLS_NEAR.stop - 1):
            yield f"{calls} answer{'s' if calls != 1 else ''} including this one"
        tokens = _left(budget.max_tokens, spend.total_tokens)
        if tokens is not None:
            yield f"about {tokens:,} tokens"
        cost = _left(budget.max_cost_nanos, spend.cost_nanos)
        if cost is not None:
            yield f"about {format_cost(cost)} USD"
        if seconds_left <= budget.max_seconds * NEAR_SHARE:
            yield f"about {max(0, int(seconds_left))} seconds"


def _left(maximum: int | None, used: int) -> int | None:
    """Return what is left of a limit if it is near, otherwise None."""
    if maximum is None or maximum - used > maximum * NEAR_SHARE:
        return None
    return max(0, maximum - used)


def _open_tasks(messages: Sequence[Message]) -> Iterator[str]:
    """Yield the tasks of the run's newest to-do list that are not done."""
    blocks = [block for message in messages for block in message.content]
    accepted = {block.tool_use_id for block in blocks if isinstance(block, ToolResult) and not block.is_error}
    calls = [block for block in blocks if isinstance(block, ToolUse) and block.name == TODO.name]
    lists = [call.input for call in calls if call.id in accepted]
    for item in _items(lists[-1]) if lists else ():
        if item.get("status") != "done":
            task = " ".join(str(item.get("task", "")).split())
            yield task if len(task) <= _TASK_CHARACTERS else f"{task[:_TASK_CHARACTERS]}…"


def _items(arguments: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    found = arguments.get("items")
    return (item for item in (found if isinstance(found, list) else ()) if isinstance(item, dict))
