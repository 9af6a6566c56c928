"""The tool that an agent calls when its task is complete (see `AgentConfig.require_done_tool`)."""

from typing import Annotated

from pydantic import Field

from atrium.tools.declaration import tool

REMINDER = "You have not called the tool `done`. Continue with the task, and call `done` when it is complete."


def _close(
    summary: Annotated[str, Field(max_length=2_000, description="What was done, in a sentence or two.")] = "",  # noqa: ARG001
) -> str:
    return "The task is closed."


DONE = tool(
    "Say that the task is complete. Call it once, after everything else.",
    name="done",
    category="control",
    effect="pure",
)(_close)
