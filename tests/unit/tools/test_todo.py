"""The to-do list of a run."""

import pytest
from atrium.context.conversation import OMITTED, omit_outputs, outputs_kept
from atrium.llm.model import ModelMessage, ToolResult, ToolUse
from atrium.tools.registry import ToolRegistry
from atrium.tools.todo import ITEMS_MAX, TODO

from tests.builders.loops import tool_context


def test_shows_the_list_with_the_status_of_each_task() -> None:
    items = [
        {"task": "read the\n file", "status": "done"},
        {"task": "fix it", "status": "in_progress"},
        {"task": "test"},
    ]
    assert TODO.call({"items": items}, tool_context()) == (
        "1 of 3 tasks are done.\n[x] read the file\n[>] fix it\n[ ] test"
    )
    assert TODO.call({"items": []}, tool_context()) == "0 of 0 tasks are done."


@pytest.mark.parametrize(
    "items",
    [
        [{"task": ""}],
        [{"task": "a", "status": "begun"}],
        [{"task": "a", "owner": "b"}],
        [{"task": "a"}] * (ITEMS_MAX + 1),
        None,
    ],
)
def test_tells_the_model_what_is_wrong_with_a_list(items: object) -> None:
    answer = ToolRegistry([TODO]).call("todo", {"items": items}, tool_context())
    assert answer.is_error
    assert answer.text.startswith("The arguments are not valid: items")


def test_a_request_contains_only_the_newest_list() -> None:
    messages = [
        message
        for number in ("1", "2")
        for message in (
            ModelMessage("assistant", (ToolUse(number, "todo", {}),)),
            ModelMessage("user", (ToolResult(number, f"list {number}"),)),
        )
    ]
    kept = [
        block.content
        for each in omit_outputs(messages, outputs_kept([TODO]))
        for block in each.content
        if isinstance(block, ToolResult)
    ]
    assert kept == [OMITTED, "list 2"]
