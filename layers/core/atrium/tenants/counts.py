"""Counts the users, agents, tools, files, data sets, routing rules and prompts of a tenant in one item.

The transaction that creates or removes an object also changes the count. The limit is therefore exact for concurrent
calls, and no list has to be read to count the objects.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from atrium.kernel.errors import CountExceeded
from atrium.storage import keys
from atrium.storage.table import TenantTable
from atrium.storage.writes import ANY, Update
from atrium.tenants.plans import UNLIMITED

type Counted = Literal["users", "agents", "tools", "files", "datasets", "routing_rules", "prompts"]

COUNTED: tuple[Counted, ...] = get_args(Counted.__value__)


@dataclass(frozen=True, slots=True)
class Counts:
    """The current numbers of a tenant's objects."""

    users: int = 0
    agents: int = 0
    tools: int = 0
    files: int = 0
    datasets: int = 0
    routing_rules: int = 0
    prompts: int = 0


def counting(name: Counted, maximum: int = UNLIMITED) -> Update:
    """Return the write that increments a count if it is below `maximum`.

    The write belongs in the transaction that creates the object.
    """
    if maximum == UNLIMITED:
        return Update(keys.counts(), f"ADD #{name} :one", ANY, {"one": 1})
    fewer = f"#{name} < :maximum" if maximum < 1 else f"attribute_not_exists(#{name}) OR #{name} < :maximum"
    return Update(keys.counts(), f"ADD #{name} :one", fewer, {"one": 1, "maximum": maximum})


def discounting(name: Counted) -> Update:
    """Return the write that decrements a count. The write belongs in the transaction that removes the object."""
    return Update(keys.counts(), f"ADD #{name} :less", ANY, {"less": -1})


def read_counts(item: Mapping[str, Any] | None) -> Counts:
    found = item or {}
    return Counts(**{name: max(0, found.get(name, 0)) for name in COUNTED})


def maximum_reached(name: str, maximum: int, detail: str) -> CountExceeded:
    """Return the error for a number of objects that has reached a fixed maximum."""
    return CountExceeded(detail, extensions={"limit": name, "used": maximum, "max": maximum, "resets_at": None})


def count_exceeded(table: TenantTable, name: Literal["users", "agents"], maximum: int) -> CountExceeded:
    """Return the error for a count that has reached its maximum. Costs one read, to report the current count."""
    used = getattr(read_counts(table.get(keys.counts())), name)
    return CountExceeded(
        f"the tenant may have at most {maximum} {name}; delete some, or ask the operator for a higher limit",
        extensions={"limit": name, "scope": "tenant", "used": used, "max": maximum, "resets_at": None},
    )
