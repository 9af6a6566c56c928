"""Converts the context of a call to the flat fields of the authorizer's response, and back.

API Gateway supports only strings, numbers and booleans, and passes all fields as text. Names are percent-encoded,
because the Lambda Web Adapter passes the fields in a header. The fields contain no credential.
"""

from collections.abc import Mapping
from typing import cast, get_args
from urllib.parse import quote, unquote

from atrium.kernel.errors import Unauthenticated
from atrium.kernel.ids import TenantId, is_id
from atrium.tenants.context import ROLES, Caller, Principal, PrincipalType, TenantContext
from atrium.tenants.model import SCREENING_DEFAULT, SCREENING_MODES, ScreeningMode
from atrium.tenants.plans import PLANS

type Flat = dict[str, str | int | bool]

_SAFE = " !*'()/:@&=+$,"
_KINDS = frozenset(get_args(PrincipalType.__value__))


def to_authorizer_context(call: TenantContext | Caller) -> Flat:
    """Return the fields of the authorizer's response for a verified call."""
    principal = call.principal
    fields: Flat = {
        "principal_type": principal.type,
        "principal_id": principal.id,
        "principal_name": quote(principal.name, safe=_SAFE),
        "role": principal.role or "",
        "scopes": " ".join(sorted(principal.scopes)),
    }
    if principal.credential_id:
        fields["credential_id"] = principal.credential_id
    if principal.client_id:
        fields["client_id"] = principal.client_id
    caller = call.caller if isinstance(call, TenantContext) else call
    if caller.login_id:
        fields["login_id"] = caller.login_id
    if isinstance(call, TenantContext):
        fields |= {
            "tenant_id": call.tenant_id,
            "tenant_name": quote(call.tenant_name, safe=_SAFE),
            "plan": call.plan,
            "config_version": call.config_version,
            "features": " ".join(sorted(call.features)),
            "audits_all": call.audits_all,
            "prompt_injection": call.prompt_injection,
        }
    return fields


def read_authorizer_context(
    fields: Mapping[str, object], *, request_id: str, source_ip: str = "", user_agent: str = "", trace_parent: str = ""
) -> TenantContext | Caller:
    """Return the tenant context of a call, or only the caller if a platform key is used without a tenant.

    Raises `Unauthenticated` if the fields are invalid.
    """
    kind, role = _text(fields, "principal_type"), _text(fields, "role")
    if kind not in _KINDS or (role and role not in ROLES):
        raise Unauthenticated(internal="the authorizer's context has no valid principal")
    principal = Principal(
        type=cast("PrincipalType", kind),
        id=_text(fields, "principal_id"),
        name=unquote(_text(fields, "principal_name")),
        scopes=frozenset(_text(fields, "scopes").split()),
        role=role or None,
        credential_id=_text(fields, "credential_id"),
        client_id=_text(fields, "client_id"),
    )
    caller = Caller(principal, request_id, source_ip, user_agent, trace_parent, _text(fields, "login_id"))
    tenant_id = _text(fields, "tenant_id")
    if not tenant_id and kind == "platform":
        return caller
    plan, version = _text(fields, "plan"), _text(fields, "config_version")
    if not is_id(tenant_id, "ten") or plan not in PLANS or not version.isdecimal():
        raise Unauthenticated(internal="the authorizer's context has no valid tenant")
    return TenantContext(
        tenant_id=TenantId(tenant_id),
        tenant_name=unquote(_text(fields, "tenant_name")),
        plan=plan,
        config_version=int(version),
        caller=caller,
        features=frozenset(_text(fields, "features").split()),
        audits_all=_text(fields, "audits_all").lower() == "true",
        prompt_injection=_screening_mode(_text(fields, "prompt_injection")),
    )


def _screening_mode(text: str) -> ScreeningMode:
    return text if text in SCREENING_MODES else SCREENING_DEFAULT


def _text(fields: Mapping[str, object], name: str) -> str:
    return str(fields.get(name) or "")
