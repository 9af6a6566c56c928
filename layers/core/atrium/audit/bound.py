"""Limits how many refused calls a container records in the audit.

Unauthenticated callers can cause refusals, so the number of audit events for refusals is limited. In each minute, a
container records one refusal of each kind, at most `OF_TENANT_MAX` per tenant and `AT_ALL_MAX` in total. All refusals
are logged.
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
    """Counts the refusals that this container has recorded in the current minute. Thread-safe."""

    _minute: datetime | None = None
    _recorded: set[tuple[TenantId, str]] = field(default_factory=set)
    _of_tenant: Counter[TenantId] = field(default_factory=Counter)
    _lock: Lock = field(default_factory=Lock)

    def admits(self, tenant_id: TenantId, what: str, now: datetime) -> bool:
        """Return whether a refusal may be recorded, and count the refusal if it may be recorded.

        Refusals with the same `what` are of the same kind.
        """
        minute = now.replace(second=0, microsecond=0)
        with self._lock:
            if self._minute != minute:
                self._minute = minute
                self._recorded.clear()
                self._of_tenant.clear()
            is_repeated = (tenant_id, what) in self._recorded
            is_full = len(self._recorded) >= AT_ALL_MAX or self._of_tenant[tenant_id] >= OF_TENANT_MAX
            if is_repeated or is_full:
                return False
            self._recorded.add((tenant_id, what))
            self._of_tenant[tenant_id] += 1
            return True

    def forget(self, tenant_id: TenantId, what: str) -> None:
        """Remove a refusal that could not be recorded, so that the next refusal of its kind is recorded."""
        with self._lock:
            self._recorded.discard((tenant_id, what))
