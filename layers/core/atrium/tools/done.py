"""The tool that an agent calls when its task is complete (see `AgentConfig.require_done_tool`)."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from atrium.tools.model import Tool, ToolContext

REMINDER = "You have not called the tool `done`. Continue with the task, and call `done` when it is complete."


class DoneArguments(BaseModel):
    """The result of the task."""

    model_config = ConfigDict(extra="forbid")

    summary: Annotated[str, Field(max_length=2_000, description="What was done, in a sentence or two.")] = ""


def _run(_arguments: DoneArguments, _context: ToolContext) -> str:
    return "The task is closed."


DONE = Tool(
    name="done",
    description="Say that the task is complete. Call it once, after everything else.",
    category="control",
    arguments=DoneArguments,
    run=_run,
)
