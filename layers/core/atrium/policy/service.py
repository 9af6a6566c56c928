"""Administration and dry runs of a tenant's policies. Every change is audited.

A change takes effect immediately in this container. In other containers it takes effect within a minute, when the
authorizer reads the new `config_version`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from atrium.kernel.clock import Clock
from atrium.kernel.errors import CountExceeded, NotFound
from atrium.kernel.ids import PolicyId, is_id, mint_policy_id
from atrium.kernel.pagination import Page, PageRequest
from atrium.policy.builtin import BUILT_IN
from atrium.policy.engine import PolicySet
from atrium.policy.guard import PolicyGuard, decide, find_subject
from atrium.policy.model import EXECUTE, PRINCIPAL_KINDS, RESOURCE_KINDS, AccessRequest, Circumstances, Decision, Policy
from atrium.policy.store import PolicyStore
from atrium.policy.validation import check_name, check_policy
from atrium.storage.writes import Put

POLICIES_MAX = 200


@dataclass(frozen=True, slots=True)
class PolicyService:
    """An administrator's operations on policies. The routes check the scopes."""

    guard: PolicyGuard
    clock: Clock

    def create(self, fields: Mapping[str, Any]) -> Policy:
        """Create a policy; raise `ValidationFailed` or `CountExceeded`."""
        now = self.clock()
        policy = check_policy(Policy(**{"id": mint_policy_id(now), "created_at": now, "updated_at": now, **fields}))
        used = len(self._store.read_all())
        if used >= POLICIES_MAX:
            raise CountExceeded(
                f"a tenant may have at most {POLICIES_MAX} policies; delete one first",
                extensions={"limit": "policies", "used": used, "max": POLICIES_MAX, "resets_at": None},
            )
        self._store.create(policy, self._record("policy.create", policy))
        self._invalidate()
        return policy

    def get(self, policy_id: str) -> Policy:
        policy = self._store.get(PolicyId(policy_id)) if is_id(policy_id, "pol") else None
        if policy is None:
            raise NotFound("policy not found")
        return policy

    def list(self, page: PageRequest) -> Page[Policy]:
        """List the tenant's policies, oldest first, without the built-in policies."""
        return self._store.list(page)

    def change(self, policy_id: str, fields: Mapping[str, Any]) -> Policy:
        """Change fields of a policy; raise `NotFound`, `ValidationFailed`, or `Conflict` for a concurrent change."""
        before = self.get(policy_id)
        policy = check_policy(replace(before, **fields, updated_at=self.clock()))
        self._store.replace(policy, self._record("policy.change", policy), before=before)
        self._invalidate()
        return policy

    def delete(self, policy_id: str) -> None:
        policy = self.get(policy_id)
        self._store.delete(policy.id, self._record("policy.delete", policy))
        self._invalidate()

    def evaluate(
        self,
        principal: str,
        resource: str,
        action: str = EXECUTE,
        *,
        at: datetime | None = None,
        ip: str | None = None,
        plan: str | None = None,
        client: str | None = None,
        amount: Decimal | None = None,
    ) -> Decision:
        """Return the decision of the current policies on a request, without auditing the decision.

        By default, the request has the current time, the tenant's plan, and an unknown IP address and amount. If
        `principal` is a user, API key or client of the tenant, its role and scopes are included. `client` is the OAuth
        client through which a user calls.
        """
        check_name("principal", principal, PRINCIPAL_KINDS)
        check_name("resource", resource, RESOURCE_KINDS)
        check_name("action", action, ())
        subject = find_subject(self.guard.table, principal, client or "")
        circumstances = Circumstances(at or self.clock(), ip or "", plan or self.guard.context.plan, amount)
        policies = PolicySet(self._store.read_all(), BUILT_IN)
        return decide(policies, AccessRequest(subject, action, resource, circumstances))

    @property
    def _store(self) -> PolicyStore:
        return PolicyStore(self.guard.table)

    def _invalidate(self) -> None:
        self.guard.cache.drop(self.guard.context.tenant_id)

    def _record(self, action: str, policy: Policy) -> Put:
        details = {"action": action, "resource": policy.id, **policy.rule()}
        return self.guard.audit.recording("admin.change", details)
