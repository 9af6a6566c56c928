"""Dependencies of the login routes: the token service, the issuer, and the origin of an unauthenticated call."""

from typing import Annotated

from fastapi import Depends, Request

from atrium.audit.model import Origin
from atrium.bootstrap import Runtime
from atrium.http.context import request_gateway_context
from atrium.http.dependencies import GatewayContextDep
from atrium.identity.families.service import TokenFamilyService
from atrium.identity.tokens import name_issuer


def open_families(runtime: Runtime, issuer: str) -> TokenFamilyService:
    """Return the token family service for all tenants, which issues tokens with this issuer."""
    return TokenFamilyService(
        runtime.tenant_table,
        runtime.secrets,
        runtime.settings.environment,
        issuer,
        runtime.settings.refresh_grace_seconds,
        runtime.clock,
        runtime.refusals,
    )


def issuer_of(request: Request) -> str:
    """Return the token issuer for a request.

    This is the public URL, or the URL of the requested API if no public URL is configured.
    """
    runtime: Runtime = request.app.state.runtime()
    gateway_context = request_gateway_context(request)
    return name_issuer(runtime.settings, domain=gateway_context.domain, base_path=gateway_context.base_path)


async def get_families(request: Request) -> TokenFamilyService:
    return open_families(request.app.state.runtime(), issuer_of(request))


async def get_origin(gateway_context: GatewayContextDep) -> Origin:
    return Origin("", gateway_context.source_ip, gateway_context.user_agent, gateway_context.request_id)


FamiliesDep = Annotated[TokenFamilyService, Depends(get_families)]
OriginDep = Annotated[Origin, Depends(get_origin)]
