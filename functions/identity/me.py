"""`GET /v1/auth/me`: returns the caller's identity, as determined by the authorizer."""

from typing import Annotated, Literal

from atrium.http.dependencies import get_call
from atrium.http.models import StrictModel
from atrium.identity.scopes import list_permissions, sort_scopes
from atrium.tenants.context import Caller, TenantContext
from atrium.tenants.plans import PlanName
from fastapi import APIRouter, Depends

router = APIRouter(tags=["identity"])


class PrincipalAnswer(StrictModel):
    """The user, API key or OAuth client of the credential."""

    type: Literal["user", "key", "client", "platform"]
    """Type of the principal."""
    id: str
    """Id of the user, API key or OAuth client."""
    name: str
    """Name of the user, API key or OAuth client."""


class TenantReference(StrictModel):
    """Id and name of a tenant."""

    id: str
    """Id of the tenant."""
    name: str
    """Unique name of the tenant."""


class MeAnswer(StrictModel):
    """Identity, tenant, scopes and permissions of the caller."""

    tenant: TenantReference | None
    """Tenant of the credential. Null for a platform key without `X-Tenant-ID`."""
    principal: PrincipalAnswer
    """The caller."""
    role: Literal["admin", "user", "viewer"] | None
    """Role of the user. Null for API keys and OAuth clients."""
    scopes: list[str]
    """Scopes of the credential."""
    permissions: list[str]
    """All scopes that the credential can use, including implied scopes."""
    plan: PlanName | None
    """Plan of the tenant. Null if `tenant` is null."""
    features: list[str]
    """Names of the tenant's enabled features."""


@router.get("/v1/auth/me")
async def get_me(call: Annotated[TenantContext | Caller, Depends(get_call)]) -> MeAnswer:
    """Get the caller.

    Returns the identity, tenant, scopes and permissions of the caller.
    """
    principal = call.principal
    inside = call if isinstance(call, TenantContext) else None
    return MeAnswer(
        tenant=TenantReference(id=inside.tenant_id, name=inside.tenant_name) if inside else None,
        principal=PrincipalAnswer(type=principal.type, id=principal.id, name=principal.name),
        role=principal.role,
        scopes=list(sort_scopes(principal.scopes)),
        permissions=list(list_permissions(principal)),
        plan=inside.plan if inside else None,
        features=sorted(inside.features) if inside else [],
    )
