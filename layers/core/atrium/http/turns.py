"""Functions that create the services of one call from the runtime and the caller's context."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from atrium.agent.admission import TurnAdmission
from atrium.agent.context import TurnContext, TurnContextReader
from atrium.agent.starting import TurnStarter
from atrium.agent.store import AgentStore
from atrium.agent.turn import TurnService
from atrium.bootstrap import Runtime
from atrium.http import logs
from atrium.http.guarding import note_refusal, open_guard
from atrium.identity.connections.store import ConnectionStore
from atrium.identity.connections.tokens import ConnectionTokens
from atrium.identity.social.service import ClientKeeper
from atrium.identity.social.store import SocialClientStore
from atrium.kernel.errors import AtriumError, LimitReached
from atrium.kernel.ids import RunId, TenantId
from atrium.llm.model import ModelProvider
from atrium.policy.guard import PolicyGuard
from atrium.policy.outbound import OutboundGuard
from atrium.quotas.service import QuotaService
from atrium.runs.followers import FollowerLimit, followers_max
from atrium.runs.replay import Replay
from atrium.runs.service import RunService
from atrium.runs.store import RunStore
from atrium.sessions.finalizing import RunFinalizer
from atrium.sessions.store import SessionStore
from atrium.storage.table import TenantTable
from atrium.tenants.context import TenantContext
from atrium.tools.model import ToolServices
from atrium.tools.registry import GuardedTools
from atrium.usage.store import LedgerStore


def run_store(runtime: Runtime, tenant_id: TenantId) -> RunStore:
    return RunStore(runtime.tenant_table(tenant_id), runtime.tenant_blobs(tenant_id))


def run_service(runtime: Runtime, context: TenantContext) -> RunService:
    return RunService(context, run_store(runtime, context.tenant_id))


def follower_limit(runtime: Runtime, context: TenantContext) -> FollowerLimit:
    return FollowerLimit(runtime.tenant_table(context.tenant_id), followers_max(context.plan), runtime.clock)


def replay(runtime: Runtime, tenant_id: TenantId, run_id: RunId, *, after: int) -> Replay:
    return Replay(run_store(runtime, tenant_id), run_id, after)


def run_finalizer(runtime: Runtime, tenant_id: TenantId, epoch: int = 0) -> RunFinalizer:
    """Return the finalizer of one tenant's runs. `epoch` is the epoch of the run that it ends."""
    table, settings = runtime.tenant_table(tenant_id), runtime.settings
    quotas = QuotaService(table, runtime.clock, runtime.platform_limit, settings.minutes_open, _log_defect)
    runs = replace(run_store(runtime, tenant_id), epoch=epoch)
    return RunFinalizer(runs, SessionStore(table), LedgerStore(table), quotas, runtime.clock)


def turn_service(
    runtime: Runtime, context: TenantContext, seconds_max: int | None = None, *, epoch: int = 0
) -> TurnService:
    """Return the turn service of one caller.

    `seconds_max` and the deployment's maximum limit a turn's duration. `epoch` is the epoch of the run that the service
    resumes.
    """
    guard = open_guard(runtime, context)
    return make_turn_service(runtime, context, guard, partial(note_refusal, guard.audit), seconds_max, epoch)


def make_turn_service(
    runtime: Runtime,
    context: TenantContext,
    guard: PolicyGuard,
    note: Callable[[LimitReached], None],
    seconds_max: int | None = None,
    epoch: int = 0,
) -> TurnService:
    """Return a turn service that applies the policies of `guard`. `note` is called for each rejection by a limit."""
    clock = runtime.clock
    finalizer = run_finalizer(runtime, context.tenant_id, epoch)
    sessions, runs = finalizer.sessions, finalizer.runs
    agents = AgentStore(guard.table)
    reader = TurnContextReader(
        context, agents, sessions, runs, runtime.default_agents, guard, clock,
        router=lambda: runtime.router, prompts=lambda: runtime.prompts,
    )  # fmt: skip
    starter = TurnStarter(
        context=context,
        reader=reader,
        admission=TurnAdmission(finalizer.quotas, runs, clock, note),
        sessions=sessions,
        runs=runs,
        finalizer=finalizer,
        clock=clock,
        provider_for=partial(_provider_for, runtime, guard.table),
        tools=GuardedTools(guard, runtime.tools, logs.record_tool_call),
        services=tool_services(runtime, guard),
        http_tools=runtime.http_tools,
        max_seconds=min(runtime.settings.max_turn_seconds, seconds_max or runtime.settings.max_turn_seconds),
    )
    return TurnService(reader, starter, _log_defect)


def _provider_for(runtime: Runtime, table: TenantTable, read: TurnContext) -> ModelProvider:
    """Return the provider of a turn's models. It uses the tenant's own API keys, if there are any."""
    models = runtime.models
    if read.keys.own:
        from atrium.tenants.model_keys.opening import TenantKeys

        encryption = partial(runtime.secret_encryption, table.tenant_id)
        keys = TenantKeys(
            table, read.keys, read.config_version, encryption, runtime.providers, runtime.open_model_keys, runtime.clock
        )
        models = replace(models, find_own=keys.find)
    return models.require(read.model)


def tool_services(runtime: Runtime, guard: PolicyGuard) -> ToolServices:
    """Return the services that tools use for the caller of a guard."""
    tenant_id = guard.context.tenant_id
    return ToolServices(
        guard.context,
        guard.table,
        runtime.tenant_blobs(tenant_id),
        OutboundGuard(runtime.egress, guard),
        partial(runtime.secret_encryption, tenant_id),
        lambda provider: _connection_tokens(runtime, guard).access_token(provider),
        runtime.web_search,
        runtime.knowledge(guard.context) if runtime.knowledge else None,
    )


def _connection_tokens(runtime: Runtime, guard: PolicyGuard) -> ConnectionTokens:
    encryption = runtime.secret_encryption(guard.context.tenant_id)
    keeper = ClientKeeper(SocialClientStore(guard.table), encryption, runtime.secrets.platform_client)
    store, provider_url = ConnectionStore(guard.table), runtime.settings.oauth_provider_url
    return ConnectionTokens(guard.context, store, keeper, runtime.egress, runtime.clock, provider_url)


def _log_defect(error: BaseException) -> None:
    if isinstance(error, AtriumError):
        logs.logger().warning("run failed", code=error.code, internal=error.internal)
    else:
        logs.logger().error("run failed", error=type(error).__name__, exc_info=error)
