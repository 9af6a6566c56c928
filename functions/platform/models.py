"""Request and response models of the tenant routes."""

import json
from typing import Annotated, Any, Literal

from atrium.http.fields import DisplayName, Email, OrNone, UniqueName
from atrium.http.limits import ShownLimits
from atrium.http.models import FreeJson, StrictModel
from atrium.identity.onboarding import Onboarded
from atrium.identity.users.model import User
from atrium.kernel.clock import format_time
from atrium.quotas.limits import show_limits
from atrium.tenants.model import Tenant
from atrium.tenants.plans import PlanName
from pydantic import AfterValidator, Field

JSON_BYTES_MAX = 16_384


def _refuse_ids(name: str) -> str:
    """Reject a name that looks like a tenant id, because a login accepts the name or the id."""
    if name.startswith("ten_"):
        raise ValueError("must not begin with `ten_`")
    return name


TenantName = Annotated[UniqueName, AfterValidator(_refuse_ids)]


def _check_size(value: dict[str, Any]) -> dict[str, Any]:
    """Limit the size of JSON in the tenant's item, because every call reads this item."""
    if len(json.dumps(value).encode()) > JSON_BYTES_MAX:
        raise ValueError(f"must not be larger than {JSON_BYTES_MAX} bytes")
    return value


SmallJson = Annotated[FreeJson, AfterValidator(_check_size)]


class AdminBody(StrictModel):
    """The first user of a new tenant."""

    email: Email
    """Email address of the first user, at most 255 characters."""
    password: Annotated[str, Field(min_length=8, max_length=128)]
    """Password of the first user, 8 to 128 characters."""


class TenantBody(StrictModel):
    """A tenant to create. If `admin` is set, a first user and an API key with all tenant scopes are also created."""

    name: TenantName
    """Unique name of the tenant, 1 to 100 visible characters without `#`, not beginning with `ten_`."""
    display_name: OrNone[DisplayName] = None
    """Name shown to people, at most 200 visible characters. Null or absent: same as `name`."""
    plan: PlanName
    """Plan of the tenant, which determines the limits and models."""
    settings: SmallJson = Field(default_factory=dict)
    """Settings of the tenant, a JSON object of at most 16,384 bytes and 16 nesting levels. Default: empty."""
    metadata: SmallJson = Field(default_factory=dict)
    """The operator's data, a JSON object of at most 16,384 bytes and 16 nesting levels. Default: empty."""
    admin: AdminBody | None = None
    """First user of the tenant. Null or absent: no user and no API key are created."""


class TenantPatch(StrictModel):
    """The fields of a tenant to change. Absent fields are not changed."""

    # The defaults are factories, because a plain default would appear in the OpenAPI document. They are never used.

    name: TenantName = Field(default_factory=str)
    """Unique name of the tenant, 1 to 100 visible characters without `#`, not beginning with `ten_`."""
    display_name: DisplayName = Field(default_factory=str)
    """Name shown to people, 1 to 200 visible characters."""
    plan: PlanName = Field(default_factory=lambda: "free")
    """Plan of the tenant. The limits of a new plan apply from the next admission."""
    settings: SmallJson = Field(default_factory=dict)
    """Settings of the tenant, at most 16,384 bytes. Replaced as a whole."""
    metadata: SmallJson = Field(default_factory=dict)
    """The operator's data, at most 16,384 bytes. Replaced as a whole."""


class StatusBody(StrictModel):
    """The reason for a suspension or activation."""

    reason: OrNone[Annotated[str, Field(max_length=500)]] = None
    """Reason, at most 500 characters, which is stored with the tenant. Null or absent: no reason."""


class TenantAnswer(StrictModel):
    """A tenant of the platform: its plan, status, settings and limits."""

    id: str
    """Id of the tenant."""
    name: str
    """Unique name of the tenant."""
    display_name: str
    """Name shown to people."""
    plan: PlanName
    """Plan of the tenant."""
    status: Literal["active", "suspended"]
    """Status of the tenant. The credentials of `suspended` tenants are rejected."""
    status_reason: str | None
    """Reason for the last suspension or activation. Null if no reason was sent."""
    settings: dict[str, Any]
    """Settings of the tenant."""
    metadata: dict[str, Any]
    """The operator's data."""
    config_version: int
    """Version of the tenant's configuration. The version increases with every change."""
    default_agent_id: str | None
    """Id of the agent that answers requests without `agent_id`. Null if there is no default agent."""
    limits: Annotated[
        ShownLimits,
        Field(description="Limits that were set for this tenant, by name. The plan defines all other limits"),
    ]
    """Limits that were set for this tenant, by name. The plan defines all other limits."""
    created_at: str
    """When the tenant was created (RFC 3339, UTC)."""
    updated_at: str
    """When the tenant was last changed (RFC 3339, UTC)."""


class AdminAnswer(StrictModel):
    """The first user of a tenant."""

    id: str
    """Id of the user."""
    email: str
    """Email address."""
    role: str
    """Role of the user: `admin`."""
    name: str | None
    """Name of the user. Null if the user has no name."""
    status: str
    """Status of the user: `active`."""
    last_login_at: str | None
    """When the user last logged in (RFC 3339, UTC). Null if the user has never logged in."""
    created_at: str
    """When the user was created (RFC 3339, UTC)."""
    updated_at: str
    """When the user was last changed (RFC 3339, UTC)."""


class CreatedTenant(TenantAnswer):
    """A created tenant, with its first user and API key if `admin` was sent."""

    admin: AdminAnswer | None
    """The first user. Null if `admin` was not sent."""
    api_key: str | None
    """API key with all scopes of the tenant, shown only in this response. Null if `admin` was not sent."""
    api_key_id: str | None
    """Id of the API key in `api_key`. Null if `admin` was not sent."""


def render_tenant(tenant: Tenant) -> TenantAnswer:
    return TenantAnswer(**_fields(tenant))


def render_created(made: Onboarded) -> CreatedTenant:
    return CreatedTenant(
        **_fields(made.tenant),
        admin=_render_admin(made.admin) if made.admin else None,
        api_key=made.key.text if made.key else None,
        api_key_id=made.key.key.id if made.key else None,
    )


def _fields(tenant: Tenant) -> dict[str, Any]:
    return {
        "id": tenant.id,
        "name": tenant.name,
        "display_name": tenant.display_name,
        "plan": tenant.plan,
        "status": tenant.status,
        "status_reason": tenant.status_reason or None,
        "settings": dict(tenant.settings),
        "metadata": dict(tenant.metadata),
        "config_version": tenant.config_version,
        "default_agent_id": tenant.default_agent_id,
        "limits": show_limits(tenant.limits),
        "created_at": format_time(tenant.created_at),
        "updated_at": format_time(tenant.updated_at),
    }


def _render_admin(user: User) -> AdminAnswer:
    return AdminAnswer(
        id=user.id,
        email=user.email,
        role=user.role,
        name=user.name or None,
        status=user.status,
        last_login_at=format_time(user.last_login_at) if user.last_login_at else None,
        created_at=format_time(user.created_at),
        updated_at=format_time(user.updated_at),
    )
