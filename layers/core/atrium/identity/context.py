"""The caller's context as flat fields and back: what the authorizer writes, and what a function reads.

API Gateway carries strings, numbers and booleans only, and hands all of them on as text. No credential is among them.
"""

from collections.abc import Mapping
from typing import cast

from atrium.kernel.ids import TenantId
from atrium.tenants.context import Caller, Principal, PrincipalType, Role, TenantContext
from atrium.tenants.plans import PlanName

type Flat = dict[str, str | int | bool]


def to_authorizer_context(call: TenantContext | Caller) -> Flat:
    """Return the fields of a verified call."""
    principal = call.principal
    fields: Flat = {
        "principal_type": principal.type,
        "principal_id": principal.id,
        "principal_name": principal.name,
        "role": principal.role or "",
        "scopes": " ".join(sorted(principal.scopes)),
    }
    if isinstance(call, TenantContext):
        fields |= {
            "tenant_id": call.tenant_id,
            "tenant_name": call.tenant_name,
            "plan": call.plan,
            "config_version": call.config_version,
            "features": " ".join(sorted(call.features)),
        }
    return fields


def read_authorizer_context(
    fields: Mapping[str, object], *, request_id: str, source_ip: str = "", user_agent: str = "", trace_parent: str = ""
) -> TenantContext | Caller:
    """Return who calls: inside a tenant, or for the platform alone. `KeyError` if the fields are not ours."""
    role = str(fields.get("role") or "")
    principal = Principal(
        type=cast("PrincipalType", str(fields["principal_type"])),
        id=str(fields["principal_id"]),
        name=str(fields["principal_name"]),
        scopes=frozenset(str(fields["scopes"]).split()),
        role=cast("Role", role) if role else None,
    )
    caller = Caller(principal, request_id, source_ip, user_agent, trace_parent)
    if not fields.get("tenant_id"):
        return caller
    return TenantContext(
        tenant_id=TenantId(str(fields["tenant_id"])),
        tenant_name=str(fields["tenant_name"]),
        plan=cast("PlanName", str(fields["plan"])),
        config_version=int(str(fields["config_version"])),
        caller=caller,
        features=frozenset(str(fields.get("features") or "").split()),
    )
