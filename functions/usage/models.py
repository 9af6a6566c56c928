"""Bodies of usage."""

import re
from datetime import date
from typing import Annotated, Self

from atrium.http.models import StrictModel
from atrium.llm.catalogue import format_cost
from atrium.usage.model import Figures
from pydantic import BeforeValidator, Field

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _read_day(value: object) -> object:
    if isinstance(value, str):
        if not _DAY.fullmatch(value):
            raise ValueError("must be a day as 2026-11-21")
        return date.fromisoformat(value)
    return value


Day = Annotated[
    date,
    BeforeValidator(_read_day, json_schema_input_type=str),
    Field(json_schema_extra={"type": "string", "format": "date"}),
]
"""A UTC day in a query: `2026-11-21`, and no other form."""


class UsageFigures(StrictModel):
    """What was used and what it cost. `requests` counts settled calls; `cost_usd` has six decimals."""

    requests: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    tool_calls: int
    cost_usd: str


class UsageOfDay(UsageFigures):
    """The figures of one UTC day."""

    day: date


class UsageReport(StrictModel):
    """Usage of a period of UTC days, both included. `data` has the groups that were asked for."""

    first: date = Field(serialization_alias="from")
    last: date = Field(serialization_alias="to")
    totals: UsageFigures
    data: list[UsageOfDay]

    @classmethod
    def render(cls, first: date, last: date, days: dict[date, Figures], *, with_days: bool) -> Self:
        rows = [UsageOfDay.model_validate({"day": day, **_fields(each)}) for day, each in days.items()]
        total = sum(days.values(), Figures())
        return cls(
            first=first,
            last=last,
            totals=UsageFigures.model_validate(_fields(total)),
            data=rows if with_days else [],
        )


def _fields(figures: Figures) -> dict[str, int | str]:
    return {
        "requests": figures.requests,
        "input_tokens": figures.input_tokens,
        "output_tokens": figures.output_tokens,
        "cache_read_tokens": figures.cache_read_tokens,
        "cache_write_tokens": figures.cache_write_tokens,
        "tool_calls": figures.tool_calls,
        "cost_usd": format_cost(figures.cost_nanos),
    }
