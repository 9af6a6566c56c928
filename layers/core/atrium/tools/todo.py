"""The tool `todo`, with which the model keeps the to-do list of a run.

Each call replaces the whole list. The list is stored only as the result of the last call, so it is part of the run's
recorded steps, and a resumed run continues with it. A model request contains only the newest list.
"""

from collections import Counter
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from atrium.tools.declaration import tool

ITEMS_MAX = 50
_MARKS = {"pending": "[ ]", "in_progress": "[>]", "done": "[x]"}


class TodoItem(BaseModel):
    """A task of the list."""

    model_config = ConfigDict(extra="forbid")

    task: Annotated[str, Field(min_length=1, max_length=200, description="What is to be done, in one line.")]
    status: Literal["pending", "in_progress", "done"] = "pending"


def _write(
    items: Annotated[list[TodoItem], Field(max_length=ITEMS_MAX, description="The whole list, in order.")],
) -> str:
    counts = Counter(each.status for each in items)
    lines = [f"{_MARKS[each.status]} {' '.join(each.task.split())}" for each in items]
    return "\n".join([f"{counts['done']} of {len(items)} tasks are done.", *lines])


TODO = tool(
    "Replace the to-do list of this run. Use it for work with several steps, and update it after each step.",
    name="todo",
    category="planning",
    effect="pure",
    ephemeral=1,
)(_write)
