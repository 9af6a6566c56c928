"""Every limit of a tenant, and of the user or key that asks, as it stands at this moment.

Over all shards, and without leases that are over.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from atrium.kernel.clock import Clock
from atrium.kernel.errors import NotFound
from atrium.quotas.limits import read_limits, resolve_limits
from atrium.quotas.listing import read_shards
from atrium.quotas.meters import BUCKETS, METERS, Meter, frees_at, prefix_of, window_seconds
from atrium.quotas.model import LIMIT_NAMES, UNLIMITED, LimitName, Limits, Scope, Subject
from atrium.quotas.state import State
from atrium.quotas.subjects import place_of, subject_of
from atrium.storage import keys, usage_keys
from atrium.storage.table import TenantTable
from atrium.tenants.context import Principal
from atrium.tenants.counts import Counts, read_counts
from atrium.tenants.plans import PlanName


@dataclass(frozen=True, slots=True)
class Standing:
    """One limit as it stands. `used` is None where nothing is counted, because there is no limit."""

    name: LimitName
    scope: Scope
    max: int
    used: int | None
    window_seconds: int | None = None
    resets_at: float | None = None

    @property
    def remaining(self) -> int | None:
        """What is left; None where there is no limit."""
        return None if self.max == UNLIMITED else max(0, self.max - (self.used or 0))


@dataclass(frozen=True, slots=True)
class Overview:
    """A tenant's plan and every limit."""

    plan: PlanName
    standings: tuple[Standing, ...]


@dataclass(frozen=True, slots=True)
class LimitReader:
    """Reads one tenant's limits: one batch, and the tenant's admission."""

    table: TenantTable
    clock: Clock

    def read(self, principal: Principal | None = None) -> Overview:
        """Return the tenant's limits, and those that the principal has of its own. `NotFound` if there is no tenant."""
        place = place_of(principal) if principal else None
        found = self.table.batch_get([keys.tenant(), keys.counts(), *([place] if place else [])])
        tenant = found.get(keys.tenant())
        if tenant is None:
            raise NotFound("there is no such tenant")
        subject = subject_of(principal, found.get(place), tenant) if principal and place else None
        now = self.clock().timestamp()
        states = [State(item, now) for item in read_shards(self.table).values()]
        limits = resolve_limits(tenant["plan"], read_limits(tenant))
        counts = read_counts(found.get(keys.counts()))
        own = self._stand_of(subject, states, now) if subject else []
        return Overview(tenant["plan"], (*stand(limits, counts, states, now), *own))

    def _stand_of(self, subject: Subject, states: Sequence[State], now: float) -> list[Standing]:
        """Return how a subject's own limits stand, in the tenant's items or in its own."""
        if not subject.apart:
            return stand_of(subject, states, now, prefix_of(subject.scope, subject.id))
        return stand_of(subject, [State(self.table.get(usage_keys.admission_apart(subject.id)), now)], now)


def stand(limits: Limits, counts: Counts, states: Sequence[State], now: float) -> list[Standing]:
    """Return how every limit of the tenant stands, in the order of the plans."""
    return [_standing(name, limits[name], counts, states, now) for name in LIMIT_NAMES]


def stand_of(subject: Subject, states: Sequence[State], now: float, prefix: str = "") -> list[Standing]:
    """Return how a subject's limits stand; `prefix` is what its counters begin with."""
    return [
        _metered(METERS[name], subject.scope, prefix, figure, states, now)
        for name, figure in subject.limits.items()
        if name in METERS and figure != UNLIMITED
    ]


def _standing(name: LimitName, maximum: int, counts: Counts, states: Sequence[State], now: float) -> Standing:
    match name:
        case "users" | "agents":
            return Standing(name, "tenant", maximum, getattr(counts, name))
        case "messages_per_session":
            return Standing(name, "session", maximum, 0)
        case _:
            return _metered(METERS[name], "tenant", "", maximum, states, now)


def _metered(meter: Meter, scope: Scope, prefix: str, maximum: int, states: Sequence[State], now: float) -> Standing:
    window = window_seconds(meter.span, now)
    ends_at: float | None = frees_at(meter.span, int(now)) if meter.span in {"day", "month"} else None
    if maximum == UNLIMITED:
        return Standing(meter.limit, scope, maximum, None, window, ends_at)
    used = max(0, sum(state.used(meter, prefix) for state in states))
    if meter.span == "minute":
        oldest = [live[0][0] for state in states if (live := state.live(prefix + meter.letter))]
        ends_at = float(min(oldest) + BUCKETS) if oldest else None
    return Standing(meter.limit, scope, maximum, used, window, ends_at)
