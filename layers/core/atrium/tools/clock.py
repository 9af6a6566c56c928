"""The tool that returns the current time in a time zone."""

from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field

from atrium.tools.model import Tool, ToolContext, ToolRetry


class CurrentTimeArguments(BaseModel):
    """The time zone."""

    model_config = ConfigDict(extra="forbid")

    timezone: Annotated[str, Field(max_length=64, description="An IANA zone such as Europe/Berlin.")] = "UTC"


def _read(arguments: CurrentTimeArguments, context: ToolContext) -> str:
    try:
        zone = ZoneInfo(arguments.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # OSError: the name of a directory of zones
        raise ToolRetry("unknown time zone; use an IANA name such as Europe/Berlin") from error
    local = context.clock().astimezone(zone)
    return f"{local.isoformat(timespec='seconds')} ({local:%A})"


CURRENT_TIME = Tool(
    name="current_time",
    description="Tell the current date and time in a time zone.",
    category="time",
    arguments=CurrentTimeArguments,
    run=_read,
)
