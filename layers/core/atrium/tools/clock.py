"""The tool that returns the current time in a time zone."""

from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field

from atrium.tools.declaration import tool
from atrium.tools.model import ToolContext, ToolRetry


def _read(
    context: ToolContext,
    timezone: Annotated[str, Field(max_length=64, description="An IANA zone such as Europe/Berlin.")] = "UTC",
) -> str:
    try:
        zone = ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # OSError: the name of a directory of zones
        raise ToolRetry("unknown time zone; use an IANA name such as Europe/Berlin") from error
    local = context.clock().astimezone(zone)
    return f"{local.isoformat(timespec='seconds')} ({local:%A})"


CURRENT_TIME = tool(
    "Tell the current date and time in a time zone.", name="current_time", category="time", effect="pure"
)(_read)
