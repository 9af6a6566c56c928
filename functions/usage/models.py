"""Query types and response models of the usage routes."""

import re
from datetime import date
from typing import Annotated, Literal

from atrium.http.models import StrictModel
from atrium.http.usage import UsageFigures, render_figures
from atrium.usage.model import Figures
from pydantic import BeforeValidator, Field

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _read_day(value: object) -> object:
    if isinstance(value, str):
        if not _DAY.fullmatch(value):
            raise ValueError("must be a date such as `2026-11-21`")
        return date.fromisoformat(value)
    return value


Day = Annotated[
    date,
    BeforeValidator(_read_day, json_schema_input_type=str),
    Field(json_schema_extra={"type": "string", "format": "date"}),
]
"""A UTC day in a query, only in the form `2026-11-21`."""


class UsageOfDay(UsageFigures):
    """The usage of one UTC day."""

    day: date
    """The UTC day."""


class UsageOfModel(UsageFigures):
    """The usage of one model."""

    model: str
    """Model id."""


class UsageOfAgent(UsageFigures):
    """The usage of one agent."""

    agent: str
    """Agent id."""


class UsageOfUser(UsageFigures):
    """The usage of one user, without the usage of API keys that the user created."""

    user: str
    """User id."""


class UsageOfKey(UsageFigures):
    """The usage of one API key."""

    key: str
    """API key id."""


class UsageOfClient(UsageFigures):
    """The usage of one OAuth client that calls with client credentials."""

    client: str
    """OAuth client id."""


class UsageOfEndUser(UsageFigures):
    """The usage of one end user, identified by `end_user` of the calls."""

    end_user: str
    """Value of `end_user` in the calls."""


class UsageOfSession(UsageFigures):
    """The usage of one session."""

    session: str
    """Session id."""


class UsageOfTool(UsageFigures):
    """The number of turns that used one tool, and of calls of the tool. Tokens and cost are 0: they belong to turns."""

    tool: str
    """Name of the tool."""


type Row = (
    UsageOfDay
    | UsageOfModel
    | UsageOfAgent
    | UsageOfUser
    | UsageOfKey
    | UsageOfClient
    | UsageOfEndUser
    | UsageOfSession
    | UsageOfTool
)
type Grouping = Literal["day", "model", "agent", "user", "key", "client", "end_user", "session", "tool"]

_ROWS: dict[Grouping, type[Row]] = {
    "day": UsageOfDay,
    "model": UsageOfModel,
    "agent": UsageOfAgent,
    "user": UsageOfUser,
    "key": UsageOfKey,
    "client": UsageOfClient,
    "end_user": UsageOfEndUser,
    "session": UsageOfSession,
    "tool": UsageOfTool,
}


class UsageReport(StrictModel):
    """Usage of a period of UTC days, in total and by the requested group."""

    first: date = Field(serialization_alias="from")
    """First UTC day of the period, inclusive."""
    last: date = Field(serialization_alias="to")
    """Last UTC day of the period, inclusive."""
    totals: UsageFigures
    """Totals of the period."""
    data: list[Row]
    """One row for each value of the `group_by` field. Empty without `group_by`."""
    next_cursor: str | None
    """Value of `cursor` for the next page. Null on the last page."""


def render_row(group: Grouping, value: str, figures: Figures) -> Row:
    """Return the row for one value of a group."""
    shown = date.fromisoformat(value) if group == "day" else value
    return render_figures(_ROWS[group], figures, **{group: shown})
