"""`POST /v1/auth/login`, `/invitations/accept` and `/password`. These routes ignore `Idempotency-Key`."""

from typing import Annotated

from atrium.bootstrap import Runtime
from atrium.http import logs
from atrium.http.dependencies import RuntimeDep, TenantDep, require_own_login
from atrium.http.fields import Name, OrNone
from atrium.http.issuing import FamiliesDep, OriginDep
from atrium.http.logs import count
from atrium.http.models import StrictModel
from atrium.http.responses import problem_responses
from atrium.identity.login.candidates import Candidates
from atrium.identity.login.one_time_tokens import OneTimeTokenService
from atrium.identity.login.password import PasswordService
from atrium.identity.login.service import LoginService, TenantChoice
from atrium.identity.login.throttles import Throttles
from atrium.identity.users.one_time_token import TEXT_MAX
from atrium.identity.users.passwords import LENGTH_MAX, LENGTH_MIN
from fastapi import APIRouter
from pydantic import Field
from starlette.responses import JSONResponse

from functions.identity.token_models import LoginTenant, TokenAnswer, render_tokens

router = APIRouter(tags=["identity"])
Tried = Annotated[str, Field(min_length=1, max_length=1_024)]
NewPassword = Annotated[str, Field(min_length=LENGTH_MIN, max_length=LENGTH_MAX)]


class LoginBody(StrictModel):
    """Email address and password of a user."""

    email: Annotated[str, Field(min_length=1, max_length=255)]
    """Email address of the user, 1 to 255 characters."""
    password: Tried
    """Password of the user, 1 to 1,024 characters."""
    tenant: OrNone[Annotated[str, Field(max_length=100)]] = None
    """Id or name of the tenant. Required if the email address exists in more than three tenants. Null or absent: all
    tenants with this email address are tried.
    """


class TenantChoiceAnswer(StrictModel):
    """The tenants for which the password is correct. Repeat the call with one of these tenants as `tenant`."""

    tenants: list[LoginTenant]
    """The tenants for which the password is correct."""


class AcceptBody(StrictModel):
    """The one-time token of an invitation or reset, and the new password."""

    token: Annotated[str, Field(min_length=1, max_length=TEXT_MAX)]
    """One-time token of the invitation or reset."""
    password: NewPassword
    """New password, 8 to 128 characters."""
    name: OrNone[Name] = None
    """Name of the user, at most 100 visible characters. Null or absent: not changed."""


class PasswordBody(StrictModel):
    """Current and new password of the caller."""

    old_password: Tried
    """Current password, 1 to 1,024 characters."""
    new_password: NewPassword
    """New password, 8 to 128 characters."""


def _throttles(runtime: Runtime) -> Throttles:
    return Throttles(runtime.platform_table, runtime.clock)


def report_refusal(reason: str) -> None:
    logs.logger().info("login refused", reason=reason)
    count("LoginsRefused")


@router.post(
    "/v1/auth/login",
    response_model=TokenAnswer,
    responses={
        **problem_responses(401, 403),
        202: {"model": TenantChoiceAnswer, "description": "The password is correct in several tenants"},
    },
)
def log_in(
    body: LoginBody, runtime: RuntimeDep, families: FamiliesDep, origin: OriginDep
) -> TokenAnswer | JSONResponse:
    """Log in with email and password.

    Returns 202 with a list of tenants if the password is correct in several tenants. Repeat the call with one of these
    tenants as `tenant`. After repeated failures, further attempts are delayed (429).
    """
    candidates = Candidates(runtime.table, runtime.platform_table, runtime.tenant_table)
    service = LoginService(candidates, _throttles(runtime), families, runtime.clock, report_refusal)
    found = service.log_in(body.email, body.password, body.tenant, origin)
    if isinstance(found, TenantChoice):
        tenants = [LoginTenant(id=each.id, name=each.name, display_name=each.display_name) for each in found.tenants]
        return JSONResponse(TenantChoiceAnswer(tenants=tenants).model_dump(), 202)
    return render_tokens(found)


@router.post("/v1/auth/invitations/accept", responses=problem_responses(401, 403))
def accept_invitation(body: AcceptBody, runtime: RuntimeDep, families: FamiliesDep, origin: OriginDep) -> TokenAnswer:
    """Accept an invitation or a password reset.

    Sets a password with the one-time token and logs in. All other logins of the user end. Returns 401
    `INVITATION_INVALID` if the token was used or replaced, or has expired.
    """
    service = OneTimeTokenService(_throttles(runtime), families)
    return render_tokens(service.accept(body.token, body.password, body.name, origin))


@router.post("/v1/auth/password", dependencies=[require_own_login()])
def change_password(
    body: PasswordBody, tenant: TenantDep, runtime: RuntimeDep, families: FamiliesDep, origin: OriginDep
) -> TokenAnswer:
    """Change your password.

    Requires the current password. All logins of the user end. The response contains the tokens of a new
    login.
    """
    service = PasswordService(tenant, _throttles(runtime), families)
    return render_tokens(service.change(body.old_password, body.new_password, origin))
