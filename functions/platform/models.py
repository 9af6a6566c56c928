"""Request and response bodies of the tenant routes."""

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
    """Refuse a name that looks like a tenant id, because a login accepts either."""
    if name.startswith("ten_"):
        raise ValueError("must not begin with ten_")
    return name


TenantName = Annotated[UniqueName, AfterValidator(_refuse_ids)]


def _check_size(value: dict[str, Any]) -> dict[str, Any]:
    """Limit the size of what is stored in the tenant's item, because every call reads it."""
    if len(json.dumps(value).encode()) > JSON_BYTES_MAX:
        raise ValueError(f"must not be larger than {JSON_BYTES_MAX} bytes")
    return value


SmallJson = Annotated[FreeJson, AfterValidator(_check_size)]


class AdminBody(StrictModel):
    """The tenant's first user. The password has 8 to 128 characters."""

    email: Email
    password: Annotated[str, Field(min_length=8, max_length=128)]


class TenantBody(StrictModel):
    """A new tenant; with `admin`, its first user and a key with all of a tenant's scopes are created, too."""

    name: TenantName
    display_name: OrNone[DisplayName] = None
    plan: PlanName
    settings: SmallJson = Field(default_factory=dict)
    metadata: SmallJson = Field(default_factory=dict)
    admin: AdminBody | None = None


class TenantPatch(StrictModel):
    """The fields to change; absent fields keep their values. Settings and metadata are replaced as a whole."""

    # Factories, because a plain default would appear in the OpenAPI document; absent fields are never read.

    name: TenantName = Field(default_factory=str)
    display_name: DisplayName = Field(default_factory=str)
    plan: PlanName = Field(default_factory=lambda: "free")
    settings: SmallJson = Field(default_factory=dict)
    metadata: SmallJson = Field(default_factory=dict)


class StatusBody(StrictModel):
    """The reason, which is stored with the tenant."""

    reason: OrNone[Annotated[str, Field(max_length=500)]] = None


class TenantAnswer(StrictModel):
    """A tenant."""

    id: str
    name: str
    display_name: str
    plan: PlanName
    status: Literal["active", "suspended"]
    status_reason: str | None
    settings: dict[str, Any]
    metadata: dict[str, Any]
    config_version: int
    default_agent_id: str | None
    limits: Annotated[ShownLimits, Field(description="The tenant's own limits; all others come from the plan")]
    created_at: str
    updated_at: str


class AdminAnswer(StrictModel):
    """The tenant's first user."""

    id: str
    email: str
    role: str
    name: str | None
    status: str
    last_login_at: str | None
    created_at: str
    updated_at: str


class CreatedTenant(TenantAnswer):
    """A new tenant. `api_key` is shown only once; it and `admin` are present if an admin was requested."""

    admin: AdminAnswer | None
    api_key: str | None
    api_key_id: str | None


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
