"""Under which limits a call is decided, and over how many shards."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from atrium.quotas.limits import read_limits, resolve_limits
from atrium.quotas.meters import METERS
from atrium.quotas.model import UNLIMITED, LimitName, Limits, Subject
from atrium.quotas.shards import count_shards

CEILING_DEFAULT = 100


class TermsOutdated(Exception):
    """The tenant's limits were changed since its terms were read, and its counters dealt out anew: read them again."""


def read_terms(tenant: Mapping[str, Any], ceiling: int = CEILING_DEFAULT) -> "Terms":
    """Return the terms that a tenant's item states: its plan, and over it the tenant's own limits."""
    return Terms(resolve_limits(tenant["plan"], read_limits(tenant)), ceiling)


def terms_apart(limits: Limits) -> "Terms":
    """Return the terms of a subject that is counted apart: its own limits and no others."""
    return Terms(limits, UNLIMITED, undivided=True)


@dataclass(frozen=True, slots=True)
class Terms:
    """The limits that a call is under.

    A tenant without a limit on slots has the platform's `ceiling`, so that its holds have a bounded place. A subject
    that is counted apart has one item, whatever its limits: its slots are bounded by its tenant's.
    """

    limits: Limits
    ceiling: int = CEILING_DEFAULT
    undivided: bool = False

    @property
    def effective(self) -> Limits:
        bounded = self.limits.get("concurrent_turns", UNLIMITED) != UNLIMITED
        return self.limits if bounded else {**self.limits, "concurrent_turns": self.ceiling}

    def bounds(self, name: LimitName) -> bool:
        """Tell whether the tenant itself has this limit."""
        return self.limits.get(name, UNLIMITED) != UNLIMITED

    @property
    def messages_per_session(self) -> int:
        return self.limits.get("messages_per_session", UNLIMITED)

    @property
    def limits_turns(self) -> bool:
        """Whether any limit of the tenant itself bounds a turn."""
        return any(self.limits.get(name, UNLIMITED) != UNLIMITED for name in METERS)

    @property
    def shards(self) -> int:
        return 1 if self.undivided else count_shards(self.effective)

    def only_minutes(self, subjects: tuple[Subject, ...]) -> bool:
        """Tell whether nothing but limits per minute is at stake."""
        return all(
            meter.span == "minute" or each.get(name, UNLIMITED) == UNLIMITED
            for each in (self.limits, *(subject.limits for subject in subjects))
            for name, meter in METERS.items()
        )
