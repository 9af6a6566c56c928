"""Which call this is, under its `Idempotency-Key`, and where such calls are remembered."""

import json
from typing import Annotated

from fastapi import Header, Request
from starlette.concurrency import run_in_threadpool

from atrium.bootstrap import Runtime
from atrium.http.context import read_call, request_gateway_context
from atrium.http.saved_answers import CallKey, IdempotencyStore
from atrium.tenants.context import Caller, TenantContext

HEADER = "Idempotency-Key"
_DEADLINE_MS_DEFAULT = 30_000


def open_store(runtime: Runtime, call: TenantContext | Caller) -> IdempotencyStore:
    """Return the calls of the caller's tenant, or of the platform for a credential without one."""
    table = runtime.tenant_table(call.tenant_id) if isinstance(call, TenantContext) else runtime.platform_table
    return IdempotencyStore(table, runtime.clock)


async def read_call_key(request: Request) -> CallKey | None:
    """Return what names this call, or None where it has no `Idempotency-Key`."""
    key = request.headers.get(HEADER)
    if key is None:
        return None
    content = str(request.query_params).encode() + b"\0" + _canonical(await request.body())
    runtime: Runtime = request.app.state.runtime()
    return CallKey(
        principal_id=_principal_id(request),
        method=request.method,
        path=request.url.path,
        key=key,
        fingerprint=await run_in_threadpool(lambda: runtime.cursors.digest("idempotency", content)),
    )


def read_deadline_ms(request: Request, runtime: Runtime) -> int:
    """Return when this function ends at the latest (epoch, milliseconds)."""
    known = request_gateway_context(request).ends_at_ms
    return known if known is not None else int(runtime.clock().timestamp() * 1000) + _DEADLINE_MS_DEFAULT


def _principal_id(request: Request) -> str:
    call = read_call(request)
    principal = call.principal
    return f"{principal.type}:{principal.id}"


def _canonical(body: bytes) -> bytes:
    """Spell JSON one way, so that the order of members or white space make no other call of it."""
    try:
        return json.dumps(json.loads(body), sort_keys=True, separators=(",", ":")).encode()
    except (ValueError, RecursionError):
        return body


async def read_key_header(
    key: Annotated[
        str | None,
        Header(alias=HEADER, min_length=1, max_length=255, description="Makes a repeated call answer as the first did"),
    ] = None,
) -> str | None:
    return key
