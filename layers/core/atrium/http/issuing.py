"""Who gives out tokens in this call, and where the call comes from before anybody has proven himself."""

from typing import Annotated

from fastapi import Depends, Request

from atrium.audit.model import Origin
from atrium.bootstrap import Runtime
from atrium.http.context import read_request_envelope
from atrium.http.dependencies import EnvelopeDep
from atrium.identity.families.service import FamilyService
from atrium.identity.tokens import name_issuer


def open_families(runtime: Runtime, issuer: str) -> FamilyService:
    """Return the logins of all tenants, with tokens signed as the issuer."""
    return FamilyService(
        runtime.tenant_table,
        runtime.secrets,
        runtime.settings.environment,
        issuer,
        runtime.settings.refresh_grace_seconds,
        runtime.clock,
        runtime.refusals,
    )


def issuer_of(request: Request) -> str:
    """Return who signs for this call: the public address, or where the call itself came to."""
    runtime: Runtime = request.app.state.runtime()
    envelope = read_request_envelope(request)
    return name_issuer(runtime.settings, domain=envelope.domain, base_path=envelope.base_path)


async def get_families(request: Request) -> FamilyService:
    return open_families(request.app.state.runtime(), issuer_of(request))


async def get_origin(envelope: EnvelopeDep) -> Origin:
    return Origin("", envelope.source_ip, envelope.user_agent, envelope.request_id)


FamiliesDep = Annotated[FamilyService, Depends(get_families)]
OriginDep = Annotated[Origin, Depends(get_origin)]
