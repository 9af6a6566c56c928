"""Checks the read limit, the required scopes and the tenant's policies before a route is executed.

The read limit applies to reads and administration, which are not counted by turn admission. The limit prevents one
tenant from using the whole capacity of a container. Each container has a token bucket in memory for each tenant. The
limit is therefore approximate, and a full bucket admits the calls of one minute at once. While a tenant's policies are
cached, the checks need no table call and no thread.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import ceil
from threading import Lock
from typing import Any

from cachetools import LRUCache
from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool

from atrium.audit.service import AuditService
from atrium.bootstrap import Runtime
from atrium.http import logs
from atrium.http.context import read_call, request_gateway_context
from atrium.http.dependencies import RequiredScope, get_call
from atrium.kernel.clock import format_time
from atrium.kernel.errors import LimitReached, RateLimited, Unavailable
from atrium.kernel.ids import TenantId
from atrium.policy.guard import PolicyGuard
from atrium.quotas.limits import WINDOW_SECONDS, moment
from atrium.tenants.auditing import open_audit
from atrium.tenants.context import TenantContext
from atrium.tenants.plans import PlanName

LIMIT = "reads_per_minute"
READS_PER_MINUTE: Mapping[PlanName, int] = {"free": 1_200, "starter": 3_000, "pro": 12_000, "enterprise": 60_000}
HEADERS_KEY = "atrium.rate_limit"
_TENANTS_MAX = 10_000
_ADMITTED_MARK = "__atrium_admitted__"


def read_scopes(dependant: Dependant) -> tuple[str, ...] | None:
    """Return the scopes that a route requires.

    Returns an empty tuple if any credential is sufficient, and None for a public route.
    """
    calls = [found.call for found in _walk(dependant)]
    scopes = tuple(dict.fromkeys(call.scope for call in calls if isinstance(call, RequiredScope)))
    return scopes if get_call in calls else None


def _walk(dependant: Dependant) -> Iterator[Dependant]:
    yield dependant
    for inner in dependant.dependencies:
        yield from _walk(inner)


def is_admitted[E: Callable[..., Any]](endpoint: E) -> E:
    """Mark an endpoint whose calls are counted by turn admission. The read limit does not apply to these calls."""
    setattr(endpoint, _ADMITTED_MARK, True)
    return endpoint


@dataclass(frozen=True, slots=True)
class BucketState:
    """The state of a token bucket after a call has requested a token.

    `left` is the number of remaining tokens. `passed` is true if the call received a token.
    """

    maximum: int
    left: float
    passed: bool

    @property
    def seconds_to_next(self) -> int:
        """Return the seconds until the next token, rounded up."""
        return max(1, ceil((1 - self.left) * WINDOW_SECONDS / self.maximum))

    @property
    def seconds_to_full(self) -> int:
        return ceil((self.maximum - self.left) * WINDOW_SECONDS / self.maximum)


@dataclass
class ReadLimits:
    """The token buckets of one container, one for each tenant. The least recently used buckets are evicted."""

    _buckets: LRUCache[TenantId, tuple[float, float]] = field(default_factory=lambda: LRUCache(_TENANTS_MAX))
    _lock: Lock = field(default_factory=Lock)

    def take(self, tenant_id: TenantId, maximum: int, now: float) -> BucketState:
        """Take a token from a tenant's bucket if one is available, and return the new state.

        `now` is in epoch seconds.
        """
        with self._lock:
            left, seen = self._buckets.get(tenant_id, (float(maximum), now))
            left = min(maximum, left + max(0.0, now - seen) * maximum / WINDOW_SECONDS)
            passed = left >= 1
            left -= passed
            self._buckets[tenant_id] = (left, max(now, seen))
        return BucketState(maximum, left, passed)


async def enforce_read_limit(request: Request) -> None:
    """Raise `RateLimited` if the tenant's read limit is reached.

    The limit does not apply to public routes, to calls with a platform credential, or to calls that are counted by turn
    admission.
    """
    route = request.scope["route"]
    if not isinstance(route, APIRoute) or getattr(route.endpoint, _ADMITTED_MARK, False):
        return
    if request_gateway_context(request).authorizer is None:
        return
    call = read_call(request)
    if not isinstance(call, TenantContext) or call.principal.type == "platform":
        return
    runtime: Runtime = request.app.state.runtime()
    read_limits: ReadLimits = request.app.state.read_limits
    now = runtime.clock().timestamp()
    state = read_limits.take(call.tenant_id, READS_PER_MINUTE[call.plan], now)
    request.scope[HEADERS_KEY] = _headers(state)
    if not state.passed:
        raise _refusal(state, now)


def _headers(state: BucketState) -> dict[str, str]:
    return {
        "RateLimit-Policy": f'"{LIMIT}";q={state.maximum};w={WINDOW_SECONDS}',
        "RateLimit": f'"{LIMIT}";r={int(state.left)};t={state.seconds_to_full}',
    }


def _refusal(state: BucketState, now: float) -> RateLimited:
    return RateLimited(
        f"The tenant's limit {LIMIT} is {state.maximum} per minute. Wait and try again.",
        retry_after_seconds=state.seconds_to_next,
        extensions={
            "limit": LIMIT,
            "scope": "tenant",
            "used": state.maximum,
            "max": state.maximum,
            "resets_at": format_time(moment(now + state.seconds_to_next)),
        },
    )


def open_guard(runtime: Runtime, context: TenantContext) -> PolicyGuard:
    """Return the policy guard for a call of a tenant."""
    table = runtime.tenant_table(context.tenant_id)
    audit = open_audit(context, table, runtime.clock)
    return PolicyGuard(context, table, runtime.policies, runtime.clock, audit)


async def guard_route(request: Request) -> None:
    """Check that the caller has the route's scopes and that the tenant's policies allow the call.

    Raises `ScopeRequired` or `PolicyDenied`. A denial by a policy is audited.
    """
    route = request.scope["route"]
    scopes = read_scopes(route.dependant) if isinstance(route, APIRoute) else None
    if scopes is None:
        return
    call = read_call(request)
    for scope in scopes:
        call.principal.require(scope)
    if not isinstance(call, TenantContext):
        return
    resource = f"route:{request.method} {route.path}"
    guard = open_guard(request.app.state.runtime(), call)
    if not guard.passes(resource):
        await run_in_threadpool(guard.require_permission, resource)


def note_refusal(audit: AuditService, refusal: LimitReached) -> None:
    """Record a rejection by a limit in the tenant's audit. If the table is unavailable, only log the failure."""
    details = {name: refusal.extensions[name] for name in ("scope", "used", "max", "resets_at")}
    try:
        audit.count_refusal(str(refusal.extensions["limit"]), {"code": refusal.code, **details})
    except Unavailable as error:
        logs.logger().warning("refusal could not be audited", internal=error.internal)
