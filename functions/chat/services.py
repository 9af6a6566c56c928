"""What a call of this function works with, made from the runtime and the caller's context."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from atrium.agent.admitting import Admitter
from atrium.agent.closing import RunCloser
from atrium.agent.opening import TurnOpener
from atrium.agent.replay import Replay
from atrium.agent.resolve import Resolver
from atrium.agent.store import AgentStore
from atrium.agent.turn import TurnService
from atrium.bootstrap import Runtime
from atrium.http import logs
from atrium.http.guarding import open_guard
from atrium.http.refusals import note_refusal
from atrium.kernel.errors import AtriumError, LimitReached
from atrium.kernel.ids import RunId, TenantId
from atrium.policy.guard import PolicyGuard
from atrium.quotas.ceiling import Lender
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


def turn_service(runtime: Runtime, context: TenantContext, seconds_max: int | None = None) -> TurnService:
    """Return the turns of one caller, each bounded by `seconds_max` besides the deployment's own bound."""
    guard = open_guard(runtime, context)
    store = AdmissionStore(guard.table, runtime.clock, lender=find_lender(runtime))
    note = partial(note_refusal, guard.audit)
    opener = turn_opener(runtime, context, store, guard, note)
    if seconds_max is not None:
        opener = replace(opener, max_seconds=min(opener.max_seconds, seconds_max))
    return TurnService(opener.resolver, opener, opener.closer, opener.runs, runtime.clock, _log_defect)


def turn_opener(
    runtime: Runtime,
    context: TenantContext,
    store: AdmissionStore,
    guard: PolicyGuard,
    note: Callable[[LimitReached], None],
) -> TurnOpener:
    """Return what opens turns: admitted over a store, guarded by the tenant's policies; `note` hears of refusals."""
    table = runtime.tenant_table(context.tenant_id)
    runs, sessions = run_store(runtime, context.tenant_id), SessionStore(table)
    admissions = AdmissionService(store, runtime.settings.minutes_open, _log_defect)
    closer = RunCloser(runs, sessions, LedgerStore(table), admissions, runtime.clock)
    admitter = Admitter(admissions, runs, runtime.clock, note)
    resolver = Resolver(context, AgentStore(table), sessions, runs, runtime.default_agents, guard)
    return TurnOpener(
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


def find_lender(runtime: Runtime) -> Lender | None:
    """Return who leases slots of the platform's ceiling; None where there is no ceiling."""
    maximum = runtime.settings.platform_concurrency
    return None if maximum < 0 else Lender(runtime.platform_table, maximum, runtime.clock)


def _log_defect(error: BaseException) -> None:
    if isinstance(error, AtriumError):
        logs.logger().warning("run failed", code=error.code, internal=error.internal)
    else:
        logs.logger().error("run failed", error=type(error).__name__, exc_info=error)
