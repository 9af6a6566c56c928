"""`GET /v1/auth/me`: the caller's identity as the authorizer determined it."""

from typing import Annotated, Literal

from atrium.http.dependencies import get_call
from atrium.http.models import StrictModel
from atrium.identity.scopes import list_permissions, sort_scopes
from atrium.tenants.context import Caller, TenantContext
from atrium.tenants.plans import PlanName
from fastapi import APIRouter, Depends

router = APIRouter(tags=["identity"])


class PrincipalAnswer(StrictModel):
    """The user, key or client behind the credential."""

    type: Literal["user", "key", "client", "platform"]
    """Kind of credential."""
    id: str
    """Id of the user, key or client."""
    name: str
    """Name of the user, key or client."""


class TenantReference(StrictModel):
    """A tenant, by id and name."""

    id: str
    """Id of the tenant."""
    name: str
    """Unique name of the tenant."""


class MeAnswer(StrictModel):
    """Who calls, in which tenant, and what the credential may do."""

    tenant: TenantReference | None
    """Tenant of the credential. Null for a platform key without `X-Tenant-ID`."""
    principal: PrincipalAnswer
    """Who calls."""
    role: Literal["admin", "user", "viewer"] | None
    """Role of the user. Null for keys and clients."""
    scopes: list[str]
    """Scopes the credential has."""
    permissions: list[str]
    """All scopes it can use, those included in others as well."""
    plan: PlanName | None
    """Plan of the tenant. Null if there is no tenant."""
    features: list[str]
    """Names of the tenant's features that are switched on."""


@router.get("/v1/auth/me")
async def get_me(call: Annotated[TenantContext | Caller, Depends(get_call)]) -> MeAnswer:
    """Get the caller.

    Who calls, in which tenant, and what the credential may do.
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
