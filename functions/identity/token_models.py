"""Response models of a login and of a token refresh."""

from typing import Literal

from atrium.http.models import StrictModel
from atrium.identity.families.model import IssuedTokens
from atrium.kernel.clock import format_time


class LoginTenant(StrictModel):
    """Id and names of a tenant."""

    id: str
    """Id of the tenant."""
    name: str
    """Unique name of the tenant."""
    display_name: str
    """Name shown to people."""


class LoginUser(StrictModel):
    """The user who logged in."""

    id: str
    """Id of the user."""
    email: str
    """Email address."""
    name: str | None
    """Name of the user. Null if the user has no name."""
    role: Literal["admin", "user", "viewer"]
    """Role of the user."""
    status: Literal["active", "invited", "suspended"]
    """Status of the user."""
    last_login_at: str | None
    """When the user last logged in (RFC 3339, UTC). Null if the user has never logged in."""
    created_at: str
    """When the user was created (RFC 3339, UTC)."""
    updated_at: str
    """When the user was last changed (RFC 3339, UTC)."""


class TokenAnswer(StrictModel):
    """Access token and refresh token of a login, with the tenant and user."""

    access_token: str
    """Access token for `Authorization: Bearer`."""
    token_type: Literal["Bearer"]
    """Always `Bearer`."""
    expires_in: int
    """Seconds until the access token expires."""
    refresh_token: str
    """Refresh token for `POST /v1/auth/refresh`. It can be used once, within seven days."""
    tenant: LoginTenant
    """Tenant of the login."""
    user: LoginUser
    """User who logged in."""


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
