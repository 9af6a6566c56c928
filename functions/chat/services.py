"""What a call of this function works with, made from the runtime and the caller's context."""

from atrium.agent.admitting import Admitter
from atrium.agent.closing import RunCloser
from atrium.agent.opening import TurnOpener
from atrium.agent.replay import Replay
from atrium.agent.resolve import Resolver
from atrium.agent.store import AgentStore
from atrium.agent.turn import TurnService
from atrium.audit.service import AuditService
from atrium.bootstrap import Runtime
from atrium.http import logs
from atrium.http.guarding import open_guard
from atrium.kernel.errors import AtriumError, LimitReached, Unavailable
from atrium.kernel.ids import RunId, TenantId
from atrium.quotas.service import AdmissionService
from atrium.quotas.store import AdmissionStore
from atrium.runs.service import RunService
from atrium.runs.store import RunStore
from atrium.sessions.store import SessionStore
from atrium.tenants.context import TenantContext
from atrium.tools.guarded import GuardedTools
from atrium.usage.store import LedgerStore


def run_store(runtime: Runtime, tenant_id: TenantId) -> RunStore:
    return RunStore(runtime.tenant_table(tenant_id), runtime.tenant_blobs(tenant_id))


def run_service(runtime: Runtime, context: TenantContext) -> RunService:
    return RunService(context, run_store(runtime, context.tenant_id))


def replay(runtime: Runtime, tenant_id: TenantId, run_id: RunId, *, after: int) -> Replay:
    return Replay(run_store(runtime, tenant_id), run_id, after)


def turn_service(runtime: Runtime, context: TenantContext) -> TurnService:
    """Return the turns of one caller."""
    table = runtime.tenant_table(context.tenant_id)
    runs, sessions = run_store(runtime, context.tenant_id), SessionStore(table)
    admissions = AdmissionService(AdmissionStore(table, runtime.clock), runtime.settings.minutes_open, _log_defect)
    closer = RunCloser(runs, sessions, LedgerStore(table), admissions, runtime.clock)
    guard = open_guard(runtime, context)
    admitter = Admitter(admissions, runs, runtime.clock, lambda refusal: _record_refusal(guard.audit, refusal))
    resolver = Resolver(context, AgentStore(table), sessions, runs, runtime.default_agents, guard)
    opener = TurnOpener(
        context=context,
        resolver=resolver,
        admitter=admitter,
        sessions=sessions,
        runs=runs,
        closer=closer,
        clock=runtime.clock,
        provider_for=runtime.providers.find,
        tools=GuardedTools(guard),
        max_seconds=runtime.settings.max_turn_seconds,
    )
    return TurnService(resolver, opener, closer, runs, runtime.clock, _log_defect)


def _record_refusal(audit: AuditService, refusal: LimitReached) -> None:
    """Count a refusal in the tenant's audit. A refusal stands, also where that fails."""
    details = {name: refusal.extensions[name] for name in ("scope", "used", "max", "resets_at")}
    try:
        audit.count_refusal(str(refusal.extensions["limit"]), {"code": refusal.code, **details})
    except Unavailable as error:
        _log_defect(error)


def _log_defect(error: BaseException) -> None:
    if isinstance(error, AtriumError):
        logs.logger().warning("run failed", code=error.code, internal=error.internal)
    else:
        logs.logger().error("run failed", error=type(error).__name__, exc_info=error)
