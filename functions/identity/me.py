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
    """The calling principal."""

    type: Literal["user", "key", "client", "platform"]
    id: str
    name: str


class TenantReference(StrictModel):
    """The tenant of the call."""

    id: str
    name: str


class MeAnswer(StrictModel):
    """The caller. `scopes` are its own, `permissions` include the implied ones; without tenant for a platform key's own
    calls.
    """

    tenant: TenantReference | None
    principal: PrincipalAnswer
    role: Literal["admin", "user", "viewer"] | None
    scopes: list[str]
    permissions: list[str]
    plan: PlanName | None
    features: list[str]


@router.get("/v1/auth/me")
async def get_me(call: Annotated[TenantContext | Caller, Depends(get_call)]) -> MeAnswer:
    """Return the caller, its tenant and its permissions."""
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
