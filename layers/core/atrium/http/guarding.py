"""The guard at every route that is not public: first the scope that the route needs, then the tenant's policies.

While the policies are remembered, a decision costs neither a call to the table nor a thread.
"""

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool

from atrium.bootstrap import Runtime
from atrium.http.access import read_access
from atrium.http.context import read_call
from atrium.policy.guard import PolicyGuard
from atrium.tenants.auditing import open_audit
from atrium.tenants.context import TenantContext


def open_guard(runtime: Runtime, context: TenantContext) -> PolicyGuard:
    """Return the guard of a call inside a tenant."""
    table = runtime.tenant_table(context.tenant_id)
    audit = open_audit(context, table, runtime.clock)
    return PolicyGuard(context, table, runtime.policies, runtime.clock, audit, context.audits_all)


async def guard_route(request: Request) -> None:
    """Let a call pass, or refuse it: `ScopeRequired`, or `PolicyDenied`, which is in the tenant's audit then."""
    route = request.scope["route"]
    access = read_access(route.dependant) if isinstance(route, APIRoute) else None
    if access is None:
        return
    call = read_call(request)
    for scope in access.scopes:
        call.principal.require(scope)
    if not isinstance(call, TenantContext):
        return
    resource = f"route:{request.method} {route.path}"
    guard = open_guard(request.app.state.runtime(), call)
    if not guard.passes(resource):
        await run_in_threadpool(guard.require_permission, resource)
