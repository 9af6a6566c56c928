"""Caches the compiled policies of tenants: for at most five minutes, and never older than the `config_version` of the
call's context.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Lock

from cachetools import LRUCache

from atrium.audit.bound import RefusalBound
from atrium.kernel.ids import TenantId
from atrium.policy.builtin import BUILT_IN
from atrium.policy.engine import PolicySet
from atrium.policy.model import Policy

KEPT_SECONDS = 300
TENANTS_MAX = 200


@dataclass(frozen=True, slots=True)
class _Entry:
    version: int
    read_at: datetime
    policies: PolicySet

    def serves(self, version: int, now: datetime) -> bool:
        return self.version >= version and 0 <= (now - self.read_at).total_seconds() < KEPT_SECONDS


class PolicyCache:
    """Safe for threads; two that miss at once both read. `denials` are those that this process told the audit of."""

    def __init__(self) -> None:
        self.denials = RefusalBound()
        self._entries: LRUCache[TenantId, _Entry] = LRUCache(TENANTS_MAX)
        self._lock = Lock()

    def get(
        self, tenant_id: TenantId, *, version: int, now: datetime, read: Callable[[], Sequence[Policy]]
    ) -> PolicySet:
        """Return a tenant's policies, read again if they are older than five minutes or than the version.

        A version behind the kept one drops nothing: it comes from an authorizer that has not heard of the change yet.
        """
        policies = self.recall(tenant_id, version=version, now=now)
        if policies is None:
            policies = PolicySet(read(), BUILT_IN)
            with self._lock:
                self._entries[tenant_id] = _Entry(version, now, policies)
        return policies

    def recall(self, tenant_id: TenantId, *, version: int, now: datetime) -> PolicySet | None:
        """Return a tenant's policies if they are kept and still serve."""
        with self._lock:
            entry = self._entries.get(tenant_id)
        return entry.policies if entry is not None and entry.serves(version, now) else None

    def drop(self, tenant_id: TenantId) -> None:
        """Forget a tenant's policies: this process has changed them, and its next call may not know the new version."""
        with self._lock:
            self._entries.pop(tenant_id, None)
