"""The system prompt of a turn: the rendered prompt of the agent, and what the platform knows about the user.

Imported only for agents with a prompt, and for users with preferences.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from atrium.identity.users.model import LANGUAGE_DEFAULT, TIME_ZONE_DEFAULT
from atrium.prompts.model import Values
from atrium.tools.registry import BUILT_IN

_PREFERENCES = {"style": "Style of the answers", "length": "Length of the answers", "level": "Knowledge of the user"}


@dataclass(frozen=True, slots=True)
class Person:
    """The person behind a call: the user with this item, or the end user that the call names. Both may be unknown."""

    user: Mapping[str, Any]
    end_user: str = ""

    @property
    def name(self) -> str:
        return self.end_user or str(self.user.get("name", ""))

    @property
    def time_zone(self) -> str:
        return str(self.user.get("time_zone", TIME_ZONE_DEFAULT))

    @property
    def language(self) -> str:
        return str(self.user.get("language", LANGUAGE_DEFAULT))

    def values(self, now: datetime) -> Values:
        """Return the built-in variables that depend on the person."""
        return {
            "user_name": self.name,
            "time_zone": self.time_zone,
            "language": self.language,
            "date": local_date(now, self.time_zone),
        }

    def describe(self) -> str:
        """Return what differs from the defaults, for the system prompt, or ""."""
        preferences = self.user.get("preferences", {})
        named = {
            "Name or id": self.end_user,
            "Time zone": self.user.get("time_zone"),
            "Language": self.user.get("language"),
            **{label: preferences.get(name) for name, label in _PREFERENCES.items()},
        }
        lines = [f"- {label}: {value}" for label, value in named.items() if value]
        return "\n".join(["# The user", "", *lines]) if lines else ""


def sample_values(agent: str, tools: Sequence[str], now: datetime | None = None) -> Values:
    """Return values of the built-in variables for an agent and its tools, without a tenant and a user."""
    sentences = {tool.name: tool.description.partition(". ")[0].rstrip(".") for tool in BUILT_IN}
    return {
        "agent": agent,
        "company": "",
        "capabilities": [sentences.get(name, f"Use the tool {name}") for name in tools],
        "tools": list(tools),
        "user_name": "",
        "time_zone": TIME_ZONE_DEFAULT,
        "language": LANGUAGE_DEFAULT,
        "date": local_date(now, TIME_ZONE_DEFAULT) if now else "",
    }


def local_date(now: datetime, zone: str) -> str:
    """Return the date in a time zone, such as `2026-11-29`. An unknown time zone is read as UTC."""
    try:
        return now.astimezone(ZoneInfo(zone)).date().isoformat()
    except (ZoneInfoNotFoundError, ValueError, OSError):  # `OSError` for a folder of zones or a long name
        return now.date().isoformat()
