"""The guard at every route, method, tool and model: asks the tenant's policies, and tells the audit of denials,
of those that are alike once in a minute (`audit.bound`).
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from atrium.audit.model import EventType
from atrium.audit.service import AuditService
from atrium.kernel.clock import Clock
from atrium.kernel.errors import AtriumError, PolicyDenied
from atrium.policy.cache import PolicyCache
from atrium.policy.circumstances import Circumstances
from atrium.policy.engine import PolicySet
from atrium.policy.injection import find_signals
from atrium.policy.model import EXECUTE, AccessRequest, Decision
from atrium.policy.patterns import match
from atrium.policy.store import PolicyStore
from atrium.policy.subjects import subject_of
from atrium.storage.table import TenantTable
from atrium.tenants.context import TenantContext

_LOG = logging.getLogger(__name__)
POLICIES_DOOR = "route:* /v1/policies*"
_BY_DOOR = Decision(True, "an administrator always reaches the policies")
_BY_OPERATOR = Decision(True, "the operator is not bound by a tenant's policies")


@dataclass(frozen=True, slots=True)
class PolicyGuard:
    """The guard of one call. `audits_all` tells the audit of what is allowed, too.

    Resources are `route:{METHOD} {path template}`, `method:{name}`, `tool:{name}`, `model:{id}`.
    """

    context: TenantContext
    table: TenantTable
    cache: PolicyCache
    clock: Clock
    audit: AuditService
    audits_all: bool = False

    def evaluate(self, resource: str, action: str = EXECUTE, *, amount: Decimal | None = None) -> Decision:
        """Return the decision on the caller's own request, and tell nobody."""
        if self.context.principal.type == "platform":
            return _BY_OPERATOR
        now = self.clock()
        policies = self.cache.get(
            self.context.tenant_id,
            version=self.context.config_version,
            now=now,
            read=PolicyStore(self.table).read_all,
        )
        return decide(policies, self._request(resource, action, amount, now))

    def passes(self, resource: str, action: str = EXECUTE) -> bool:
        """Tell whether the caller may, by what is remembered alone, and nobody has to be told of it.

        False means no more than that it is not known yet: ask `require_permission`.
        """
        if self.audits_all:
            return False
        if self.context.principal.type == "platform":
            return True
        now = self.clock()
        policies = self.cache.recall(self.context.tenant_id, version=self.context.config_version, now=now)
        return policies is not None and decide(policies, self._request(resource, action, None, now)).allowed

    def check_permission(
        self, resource: str, action: str = EXECUTE, *, amount: Decimal | None = None, session_id: str = ""
    ) -> bool:
        """Tell whether the caller may; a denial is in the audit afterwards."""
        return self._decide_and_tell(resource, action, amount, session_id).allowed

    def require_permission(
        self, resource: str, action: str = EXECUTE, *, amount: Decimal | None = None, session_id: str = ""
    ) -> None:
        """Do nothing if the caller may; `PolicyDenied`, in the audit, if not."""
        decision = self._decide_and_tell(resource, action, amount, session_id)
        if not decision.allowed:
            raise PolicyDenied(f"the tenant's policies do not allow {action} on {resource}", internal=decision.reason)

    def screen(self, text: str, source: str, *, session_id: str, end_user: str = "") -> tuple[str, ...]:
        """Return the signals of prompt injection for which a text must not be used.

        Empty if no rule matches, or the tenant's setting `prompt_injection` is not `refuse`. The audit records signals
        unless the setting is `off`; equal ones once a minute and container. `source` is `message` or `tool:{name}`.
        """
        mode = self.context.prompt_injection
        signals = () if mode == "off" else find_signals(text)
        if not signals:
            return ()
        details = {"source": source, "signals": list(signals), "refused": mode == "refuse"}
        self._record_once("safety.injection", details, session_id, end_user)
        return signals if mode == "refuse" else ()

    def _request(self, resource: str, action: str, amount: Decimal | None, now: datetime) -> AccessRequest:
        subject = subject_of(self.context.tenant_id, self.context.principal)
        circumstances = Circumstances(now, self.context.caller.source_ip, self.context.plan, amount)
        return AccessRequest(subject, action, resource, circumstances)

    def _decide_and_tell(self, resource: str, action: str, amount: Decimal | None, session_id: str) -> Decision:
        decision = self.evaluate(resource, action, amount=amount)
        if decision.allowed and not self.audits_all:
            return decision
        details = {
            "resource": resource,
            "action": action,
            "amount": None if amount is None else str(amount),
            "reason": decision.reason,
            "matched": list(decision.matched),
        }
        if decision.allowed:
            self.audit.record("policy.allow", details, session_id=session_id)
        else:
            self._record_once("policy.deny", details, session_id)
        return decision

    def _record_once(self, type: EventType, details: Mapping[str, object], session_id: str, end_user: str = "") -> None:
        """Record an event, unless this container recorded an equal one in this minute."""
        tenant_id, denials = self.context.tenant_id, self.cache.denials
        what = f"{type}\n{self.audit.origin.principal}\n{session_id}\n{sorted(details.items())}"
        if not denials.admits(tenant_id, what, self.clock()):
            _LOG.info("%s again: %s", type, details.get("resource") or details.get("source"))
            return
        try:
            self.audit.record(type, details, session_id=session_id, end_user=end_user)
        except AtriumError:
            denials.forget(tenant_id, what)
            raise


def decide(policies: PolicySet, request: AccessRequest) -> Decision:
    """Return the decision on a request; no policy can shut the door through which an administrator mends policies."""
    if "scope:admin" in request.subject and match(POLICIES_DOOR, request.resource):
        return _BY_DOOR
    return policies.decide(request)
