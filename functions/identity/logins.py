"""`POST /v1/auth/refresh` and `/logout`: refresh the tokens of a login, and end a login."""

from typing import Annotated

from atrium.http.dependencies import RuntimeDep, TenantDep, require_own_login
from atrium.http.issuing import FamiliesDep, OriginDep
from atrium.http.models import StrictModel
from atrium.http.responses import problem_responses
from atrium.identity.families.service import TokenFamilyService
from atrium.kernel.errors import Forbidden
from atrium.kernel.ids import FamilyId, UserId
from atrium.storage.writes import Put
from atrium.tenants.auditing import open_audit
from atrium.tenants.context import TenantContext
from fastapi import APIRouter
from pydantic import Field

from functions.identity.token_models import TokenAnswer, render_tokens

router = APIRouter(tags=["identity"])
RefreshToken = Annotated[str, Field(min_length=1, max_length=4_096)]


class RefreshBody(StrictModel):
    """The most recent refresh token of a login."""

    refresh_token: RefreshToken
    """Most recent refresh token of the login, at most 4,096 characters. A refresh token is valid once."""


class LogoutBody(StrictModel):
    """The login to end: the login of a refresh token, the caller's login, or all logins of the user."""

    refresh_token: RefreshToken | None = None
    """Refresh token of the login to end. Null or absent: the login of the access token."""
    all: bool = False
    """Whether to end all logins of the user. Default false."""


@router.post("/v1/auth/refresh", responses=problem_responses(401, 403))
def refresh_tokens(body: RefreshBody, families: FamiliesDep, origin: OriginDep) -> TokenAnswer:
    """Refresh the tokens.

    Exchanges a refresh token for new tokens. A refresh token is valid once. If a token is used again, the login
    ends.
    """
    return render_tokens(families.refresh(body.refresh_token, origin=origin))


@router.post("/v1/auth/logout", status_code=204, dependencies=[require_own_login()])
def log_out(tenant: TenantDep, runtime: RuntimeDep, families: FamiliesDep, body: LogoutBody | None = None) -> None:
    """Log out.

    Ends one login, or all logins of the user. Refresh tokens are rejected immediately, access tokens within 30 seconds.
    With `all`, earlier tokens of identity providers are also rejected. An invalid refresh token is not an error.
    """
    wanted = body or LogoutBody()
    audit = open_audit(tenant, runtime.tenant_table(tenant.tenant_id), runtime.clock)
    if wanted.all:
        user_id = _user_of(tenant)
        families.revoke_all(tenant.tenant_id, user_id, recording=audit.recording("auth.logout", {"all": True}))
    if wanted.refresh_token is not None or not wanted.all:
        login_id = _login_of(tenant, families, wanted.refresh_token)
        if login_id is not None:
            recording: Put = audit.recording("auth.logout", {"login": login_id})
            families.end(tenant.tenant_id, login_id, "logout", recording=recording)


def _user_of(tenant: TenantContext) -> UserId:
    if tenant.principal.type != "user":
        raise Forbidden("Only users have logins. To invalidate an API key, revoke it.")
    return UserId(tenant.principal.id)


def _login_of(tenant: TenantContext, families: TokenFamilyService, refresh_token: str | None) -> FamilyId | None:
    if refresh_token is not None:
        return families.login_of(refresh_token, tenant.tenant_id)
    _user_of(tenant)
    return FamilyId(tenant.caller.login_id) if tenant.caller.login_id else None
