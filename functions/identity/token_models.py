"""Responses of a login and of a refresh."""

from typing import Literal

from atrium.http.models import StrictModel
from atrium.identity.families.model import IssuedTokens
from atrium.kernel.clock import format_time


class LoginTenant(StrictModel):
    """The tenant of the login."""

    id: str
    name: str
    display_name: str


class LoginUser(StrictModel):
    """The user of the login."""

    id: str
    email: str
    name: str | None
    role: Literal["admin", "user", "viewer"]
    status: Literal["active", "invited", "suspended"]
    last_login_at: str | None
    created_at: str
    updated_at: str


class TokenAnswer(StrictModel):
    """Tokens. Send the access token as `Authorization: Bearer`; the refresh token is valid once, for seven days."""

    access_token: str
    token_type: Literal["Bearer"]
    expires_in: int
    refresh_token: str
    tenant: LoginTenant
    user: LoginUser


def render_tokens(issued: IssuedTokens) -> TokenAnswer:
    user, tenant = issued.user, issued.tenant
    return TokenAnswer(
        access_token=issued.access_token,
        token_type="Bearer",  # noqa: S106 - the scheme's name
        expires_in=issued.expires_in,
        refresh_token=issued.refresh_token,
        tenant=LoginTenant(id=tenant.id, name=tenant.name, display_name=tenant.display_name),
        user=LoginUser(
            id=user.id,
            email=user.email,
            name=user.name or None,
            role=user.role,
            status=user.status,
            last_login_at=format_time(user.last_login_at) if user.last_login_at else None,
            created_at=format_time(user.created_at),
            updated_at=format_time(user.updated_at),
        ),
    )
