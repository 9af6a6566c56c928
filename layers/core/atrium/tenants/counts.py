"""How many users and agents a tenant has: numbers of one item, moved in the transaction that makes or removes one.

So a limit on them holds exactly however many calls race, and nothing is ever listed to be counted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from atrium.kernel.errors import CountExceeded
from atrium.storage import keys
from atrium.storage.table import TenantTable
from atrium.storage.writes import ANY, Update
from atrium.tenants.plans import UNLIMITED

type Counted = Literal["users", "agents"]


@dataclass(frozen=True, slots=True)
class Counts:
    """What a tenant has now."""

    users: int = 0
    agents: int = 0


def counting(name: Counted, maximum: int = UNLIMITED) -> Update:
    """Return the write that counts one more, if there are fewer than `maximum`; for the transaction that makes it."""
    if maximum == UNLIMITED:
        return Update(keys.counts(), f"ADD #{name} :one", ANY, {"one": 1})
    fewer = f"#{name} < :maximum" if maximum < 1 else f"attribute_not_exists(#{name}) OR #{name} < :maximum"
    return Update(keys.counts(), f"ADD #{name} :one", fewer, {"one": 1, "maximum": maximum})


def discounting(name: Counted) -> Update:
    """Return the write that counts one less; for the transaction that removes it, whose condition says it was there."""
    return Update(keys.counts(), f"ADD #{name} :less", ANY, {"less": -1})


def read_counts(item: Mapping[str, Any] | None) -> Counts:
    found = item or {}
    return Counts(max(0, found.get("users", 0)), max(0, found.get("agents", 0)))


def count_exceeded(table: TenantTable, name: Counted, maximum: int) -> CountExceeded:
    """Return the refusal of a count that is full, with how many there are now."""
    used = getattr(read_counts(table.get(keys.counts())), name)
    return CountExceeded(
        f"the tenant's limit {name} allows {maximum}",
        extensions={"limit": name, "scope": "tenant", "used": used, "max": maximum, "resets_at": None},
    )
