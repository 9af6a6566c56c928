"""A tenant's limits, changed by the operator: its own, or those of its plan. The change, its audit, a new
`config_version`, and where there are several shards all of its counters, dealt out anew, are one transaction.

They are read with each admission, so they hold from the next one on.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from atrium.audit.service import AuditService
from atrium.kernel.clock import Clock
from atrium.kernel.errors import NotFound, Unavailable
from atrium.quotas.dealing import deal
from atrium.quotas.limits import show_limits
from atrium.quotas.listing import read_shards
from atrium.quotas.model import UNLIMITED, Limits
from atrium.quotas.rebuild.fencing import FENCE
from atrium.quotas.residents import bounds_of, is_apart, read_bounds
from atrium.quotas.state import LAYOUT
from atrium.quotas.taking import sweep_mark
from atrium.quotas.terms import CEILING_DEFAULT, Terms, read_terms
from atrium.storage import keys
from atrium.storage.failures import TransactionRefused
from atrium.storage.table import TenantTable
from atrium.storage.writes import NEW, Operation, Put
from atrium.tenants.model import Tenant
from atrium.tenants.plans import PlanName
from atrium.tenants.store import TenantStore

_ATTEMPTS = 40
_GUARDED_MAX = 100


@dataclass(frozen=True, slots=True)
class LimitChanges:
    """Changes one tenant's limits. A tenant that is admitted from all the time may need several attempts."""

    table: TenantTable
    audit: AuditService
    clock: Clock
    ceiling: int = CEILING_DEFAULT

    def replace(self, own: Mapping[str, int]) -> None:
        """Give a tenant these limits of its own and no others; `NotFound`, or `Unavailable` if it was too busy."""
        self._change("tenant.limits", {"limits": dict(own)})

    def change_plan(self, plan: PlanName) -> None:
        """Put a tenant under another plan; what it has of its own stays. Refuses as `replace` does."""
        self._change("tenant.plan", {"plan": plan})

    def _change(self, action: str, changes: Mapping[str, Any]) -> None:
        for _ in range(_ATTEMPTS):
            tenant = TenantStore(self.table).get()
            if tenant is None or not tenant.is_visible:
                raise NotFound("there is no such tenant")
            try:
                self.table.transact(self._operations(tenant, action, changes))
            except TransactionRefused:
                continue
            except Unavailable:  # it met another transaction, perhaps one that evens counters out
                continue
            return
        raise Unavailable(internal="a tenant's counters could not be dealt out anew", retry_after_seconds=1)

    def _operations(self, tenant: Tenant, action: str, changes: Mapping[str, Any]) -> list[Operation]:
        details = {"action": action, "resource": tenant.id, "before": _shown(tenant), **_shown(tenant, changes)}
        stands = {"plan": tenant.plan, "limits": tenant.limits}
        before, after = read_terms(stands, self.ceiling), read_terms({**stands, **changes}, self.ceiling)
        return [
            TenantStore(self.table).changing(changes, now=self.clock(), version=tenant.config_version),
            self.audit.recording("admin.change", details),
            *(self._dealt(before, after) if _must_deal(before, after) else []),
        ]

    def _dealt(self, before: Terms, after: Terms) -> list[Operation]:
        tenant = self.table.get(keys.tenant()) or {}
        return deal_out(self.table, before, after, read_bounds(self.table, tenant.get("residents", ())))


def deal_again(table: TenantTable, subject_id: str, ceiling: int = CEILING_DEFAULT) -> None:
    """Deal a tenant's counters out anew after a change of the limits of a subject that is counted in several items.

    Without it a limit that is lower now could be passed by what its parts had left. `Unavailable` as in a change.
    """
    for _ in range(_ATTEMPTS):
        tenant = table.get(keys.tenant())
        if tenant is None or is_apart(tenant, subject_id) or (terms := read_terms(tenant, ceiling)).shards == 1:
            return
        with suppress(TransactionRefused, Unavailable):
            table.transact(deal_out(table, terms, terms, read_bounds(table, tenant["residents"])))
            return
    raise Unavailable(internal="a tenant's counters could not be dealt out anew", retry_after_seconds=1)


def deal_out(table: TenantTable, before: Terms, after: Terms, bounds: Mapping[str, int]) -> list[Operation]:
    """Return the writes that deal a tenant's counters out; `bounds` are its subjects', by family."""
    items = read_shards(table)
    dealt = deal(items, after.shards, before.shards, {**bounds_of(after.effective), **bounds})
    return [_put(table, shard, items.get(shard), item) for shard, item in dealt.items()]


def _put(table: TenantTable, shard: int, before: Mapping[str, Any] | None, item: dict[str, Any]) -> Put:
    if item["slots"] or item["late"]:
        mark = sweep_mark(table.tenant_id, str(shard))
        item = {**item, "sweep_pk": mark.partition, "sweep_sk": mark.sort}
    condition, values = _unchanged(before)
    return Put(keys.admission(shard), item, condition, values)


def _must_deal(before: Terms, after: Terms) -> bool:
    """Tell whether counters have to move: another number of shards, or several and a limit that is lower."""
    if before.shards == after.shards == 1:
        return False
    return before.shards != after.shards or _is_lower(after.effective, before.effective)


def _is_lower(after: Limits, before: Limits) -> bool:
    return any(
        figure != UNLIMITED and (before.get(name, UNLIMITED) == UNLIMITED or figure < before[name])
        for name, figure in after.items()
    )


def _unchanged(item: Mapping[str, Any] | None) -> tuple[str, dict[str, Any]]:
    """Return the condition that an item is as it was read.

    A second changes only with its sum, `sv`, a slot or the item's time; so these stand for all seconds.
    """
    if item is None:
        return NEW, {}
    apart = ("roll", "sv", "ev", LAYOUT, FENCE, "slots", "late")
    sums = [
        name for name in sorted(item) if name not in apart and isinstance(item[name], int) and not name[-1].isdigit()
    ]
    dated = [name for name in sorted(item) if isinstance(item[name], int) and len(name) >= 8 and name[-1].isdigit()]
    names = [name for name in (*apart, *sums, *dated) if name in item][:_GUARDED_MAX]
    parts = [f"#{name} = :{name}" for name in names]
    parts += [f"attribute_not_exists(#{name})" for name in ("sv", "ev", "bg", LAYOUT, FENCE) if name not in item]
    return " AND ".join(parts), {name: item[name] for name in names}


def _shown(tenant: Tenant, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    limits = tenant.limits if changes is None else changes.get("limits", tenant.limits)
    return {"plan": (changes or {}).get("plan", tenant.plan), "limits": show_limits(limits)}
