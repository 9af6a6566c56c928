"""A turn service for dry runs, which reads counters without changing them and writes no audit events."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from atrium.agent.turn import TurnService
from atrium.audit.model import EventType
from atrium.audit.service import AuditService
from atrium.bootstrap import Runtime
from atrium.http.guarding import open_guard
from atrium.http.turns import make_turn_service
from atrium.kernel.errors import LimitReached, PolicyDenied
from atrium.policy.guard import PolicyGuard
from atrium.policy.model import EXECUTE, Decision
from atrium.tenants.context import TenantContext

_NOT_CHECKED = Decision(True, "policies are not checked for a caller without the scope `chat`")


@dataclass(frozen=True, slots=True)
class SilentAudit(AuditService):
    """An audit service that does not write events, because a dry run is not audited."""

    def record(
        self, type: EventType, details: Mapping[str, object], *, session_id: str = "", end_user: str = ""
    ) -> None:
        del type, details, session_id, end_user


@dataclass(frozen=True, slots=True)
class TrialGuard(PolicyGuard):
    """A policy guard without audit events. Policies are not checked for callers without the scope `chat`."""

    def evaluate(self, resource: str, action: str = EXECUTE, *, amount: Decimal | None = None) -> Decision:
        if not self.context.principal.has("chat"):
            return _NOT_CHECKED
        return PolicyGuard.evaluate(self, resource, action, amount=amount)

    def require_permission(
        self, resource: str, action: str = EXECUTE, *, amount: Decimal | None = None, session_id: str = ""
    ) -> None:
        del session_id
        if not self.evaluate(resource, action, amount=amount).allowed:
            raise PolicyDenied(f"the tenant's policies do not allow {action} on {resource}")


def dry_run_service(runtime: Runtime, context: TenantContext) -> TurnService:
    """Return a turn service for dry runs of one caller."""
    guard = open_guard(runtime, context)
    audit = SilentAudit(guard.audit.store, guard.audit.origin, guard.audit.keep_days, guard.clock)
    silent = TrialGuard(context, guard.table, guard.cache, guard.clock, audit)
    return make_turn_service(runtime, context, silent, _ignore)


def _ignore(_: LimitReached) -> None:
    """Ignore a rejection, because a dry run reports it only to the caller."""
