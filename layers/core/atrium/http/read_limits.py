"""The ceiling of what does not pass admission: reads and administration. It keeps one tenant from taking all of a
container's time, and asks no table for it.

A bucket of tokens in memory for each tenant and container: approximate, because each container has its own, and a
bucket that is full lets a minute's worth through at once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import ceil
from threading import Lock
from typing import Any

from cachetools import LRUCache
from fastapi import Request
from fastapi.routing import APIRoute

from atrium.bootstrap import Runtime
from atrium.http.context import read_call, request_gateway_context
from atrium.kernel.clock import format_time
from atrium.kernel.errors import RateLimited
from atrium.kernel.ids import TenantId
from atrium.quotas.limits import WINDOW_SECONDS, moment
from atrium.tenants.context import TenantContext
from atrium.tenants.plans import PlanName

LIMIT = "reads_per_minute"
READS_PER_MINUTE: Mapping[PlanName, int] = {"free": 1_200, "starter": 3_000, "pro": 12_000, "enterprise": 60_000}
HEADERS_KEY = "atrium.rate_limit"
_TENANTS_MAX = 10_000
_ADMITTED_MARK = "__atrium_admitted__"


def is_admitted[E: Callable[..., Any]](endpoint: E) -> E:
    """Mark an endpoint whose calls pass admission: it counts them, and answers with its own headers."""
    setattr(endpoint, _ADMITTED_MARK, True)
    return endpoint


@dataclass(frozen=True, slots=True)
class Level:
    """A bucket after a call asked for a token: what is left of `maximum`, and whether the call got its own."""

    maximum: int
    left: float
    passed: bool

    @property
    def seconds_to_next(self) -> int:
        """When there is a token again, rounded up."""
        return max(1, ceil((1 - self.left) * WINDOW_SECONDS / self.maximum))

    @property
    def seconds_to_full(self) -> int:
        return ceil((self.maximum - self.left) * WINDOW_SECONDS / self.maximum)


@dataclass
class ReadLimits:
    """The buckets of one container; the tenant that was not seen for longest leaves first."""

    _buckets: LRUCache[TenantId, tuple[float, float]] = field(default_factory=lambda: LRUCache(_TENANTS_MAX))
    _lock: Lock = field(default_factory=Lock)

    def take(self, tenant_id: TenantId, maximum: int, now: float) -> Level:
        """Take a token, if there is one; `now` in seconds of the epoch."""
        with self._lock:
            left, seen = self._buckets.get(tenant_id, (float(maximum), now))
            left = min(maximum, left + max(0.0, now - seen) * maximum / WINDOW_SECONDS)
            passed = left >= 1
            left -= passed
            self._buckets[tenant_id] = (left, max(now, seen))
        return Level(maximum, left, passed)


async def enforce_read_limit(request: Request) -> None:
    """Refuse a tenant's call beyond its ceiling: `RateLimited`. The platform's own calls and public ones have none."""
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
    level = read_limits.take(call.tenant_id, READS_PER_MINUTE[call.plan], now)
    request.scope[HEADERS_KEY] = _headers(level)
    if not level.passed:
        raise _refusal(level, now)


def _headers(level: Level) -> dict[str, str]:
    return {
        "RateLimit-Policy": f'"{LIMIT}";q={level.maximum};w={WINDOW_SECONDS}',
        "RateLimit": f'"{LIMIT}";r={int(level.left)};t={level.seconds_to_full}',
    }


def _refusal(level: Level, now: float) -> RateLimited:
    return RateLimited(
        f"the tenant's limit {LIMIT} allows {level.maximum} in a minute here",
        retry_after_seconds=level.seconds_to_next,
        extensions={
            "limit": LIMIT,
            "scope": "tenant",
            "used": level.maximum,
            "max": level.maximum,
            "resets_at": format_time(moment(now + level.seconds_to_next)),
        },
    )
