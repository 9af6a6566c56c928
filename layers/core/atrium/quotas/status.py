"""Reads the current usage of every limit of a tenant, and of the calling user or key."""

from collections.abc import Mapping
from dataclasses import dataclass

from atrium.kernel.clock import Clock
from atrium.kernel.errors import NotFound
from atrium.quotas.decisions import resets_at
from atrium.quotas.item import AdmissionItem
from atrium.quotas.limits import (
    DEFINITIONS,
    LimitDefinition,
    principal_place,
    principal_scope,
    tenant_limits,
    window_seconds,
)
from atrium.quotas.model import TENANT, UNLIMITED, LimitName, QuotaScope, ScopeLimits
from atrium.quotas.store import AdmissionStore
from atrium.storage import keys
from atrium.storage.keys import Key
from atrium.storage.table import TenantTable
from atrium.tenants.context import Principal
from atrium.tenants.counts import Counts, read_counts
from atrium.tenants.plans import PlanName


@dataclass(frozen=True, slots=True)
class LimitStatus:
    """The current state of one limit. `used` is None if there is no limit."""

    name: LimitName
    scope: QuotaScope
    max: int
    used: int | None
    window_seconds: int | None = None
    resets_at: float | None = None

    @property
    def remaining(self) -> int | None:
        """Return the remaining amount; None if there is no limit."""
        return None if self.used is None else max(0, self.max - self.used)


@dataclass(frozen=True, slots=True)
class LimitsStatus:
    """A tenant's plan and limits, in the order of the table of limits, followed by the limits of the caller."""

    plan: PlanName
    limits: tuple[LimitStatus, ...]


def read_status(table: TenantTable, clock: Clock, principal: Principal | None = None) -> LimitsStatus:
    """Return the limits of a tenant and a principal. Raise `NotFound` for an unknown tenant. Costs two batch reads."""
    place = principal_place(principal) if principal else None
    found = table.batch_get([keys.tenant(), keys.counts(), *([place] if place else [])])
    tenant = found.get(keys.tenant())
    if tenant is None:
        raise NotFound("Tenant not found.")
    scopes = [ScopeLimits("tenant", tenant_limits(tenant))]
    own = principal_scope(principal, found.get(place)) if principal and place else None
    scopes += [own] if own else []
    places = [each for scope in scopes for each in (keys.admission(scope.id), keys.tool_calls(scope.id))]
    items = AdmissionStore(table, clock).read(places)
    counts = read_counts(found.get(keys.counts()))
    limits = (
        _status(definition, scope, items, counts)
        for scope in scopes
        for definition in DEFINITIONS.values()
        if scope.id == TENANT or scope.limits.get(definition.name, UNLIMITED) != UNLIMITED
    )
    return LimitsStatus(tenant["plan"], tuple(limits))


def _status(
    definition: LimitDefinition, scope: ScopeLimits, items: Mapping[Key, AdmissionItem], counts: Counts
) -> LimitStatus:
    name, maximum = definition.name, scope.maximum(definition.name)
    match definition.place:
        case "counts":
            return LimitStatus(name, scope.scope, maximum, _known(maximum, getattr(counts, name)))
        case "session":
            return LimitStatus(name, "session", maximum, _known(maximum, 0))
        case "tool_calls":
            item = items[keys.tool_calls(scope.id)]
        case _:
            item = items[keys.admission(scope.id)]
    window = window_seconds(definition.span, item.now)
    is_idle = definition.span == "minute" and not item.live(definition.letter)
    frees = None if is_idle else resets_at(item, definition)
    return LimitStatus(name, scope.scope, maximum, _known(maximum, max(0, item.used(definition))), window, frees)


def _known(maximum: int, used: int) -> int | None:
    return None if maximum == UNLIMITED else used
