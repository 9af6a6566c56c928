"""How many refusals a container tells of. Anyone can cause refusals, so they must not fill a tenant's audit or cost it
money: one of a kind in each minute, so many of a tenant, and so many at all. The log has every one.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock

from atrium.kernel.ids import TenantId

OF_TENANT_MAX = 60
AT_ALL_MAX = 240


@dataclass
class RefusalBound:
    """What this container has told of in the running minute."""

    _minute: datetime | None = None
    _told: set[tuple[TenantId, str]] = field(default_factory=set)
    _of_tenant: Counter[TenantId] = field(default_factory=Counter)
    _lock: Lock = field(default_factory=Lock)

    def admits(self, tenant_id: TenantId, what: str, now: datetime) -> bool:
        """Tell whether this refusal is to be told of; asking counts as telling. `what` says which are alike."""
        minute = now.replace(second=0, microsecond=0)
        with self._lock:
            if self._minute != minute:
                self._minute = minute
                self._told.clear()
                self._of_tenant.clear()
            is_like_another = (tenant_id, what) in self._told
            is_full = len(self._told) >= AT_ALL_MAX or self._of_tenant[tenant_id] >= OF_TENANT_MAX
            if is_like_another or is_full:
                return False
            self._told.add((tenant_id, what))
            self._of_tenant[tenant_id] += 1
            return True

    def forget(self, tenant_id: TenantId, what: str) -> None:
        """Take back what was to be told and could not be, so that the next of its kind is told."""
        with self._lock:
            self._told.discard((tenant_id, what))
