"""Request and response models of the API key routes."""

from datetime import datetime
from typing import Annotated, Any, Literal

from atrium.http.fields import Name
from atrium.http.limits import ShownLimits, SubjectLimits
from atrium.http.models import StrictModel, Timestamp
from atrium.identity.keys.model import GRACE_SECONDS_MAX, ApiKey, IssuedKey
from atrium.identity.scopes import KEY_SCOPES_DEFAULT, SCOPES, Scope
from atrium.kernel.clock import format_time
from atrium.quotas.limits import show_limits
from pydantic import Field

Scopes = Annotated[list[Scope], Field(min_length=1, max_length=len(SCOPES))]


class KeyBody(StrictModel):
    """An API key to create."""

    name: Name
    """Name of the key, 1 to 100 visible characters."""
    scopes: Scopes = Field(default_factory=lambda: list(KEY_SCOPES_DEFAULT))
    """Scopes of the key. Each must be a scope of the creator. Default: `chat`, `sessions:read`, `sessions:write`."""
    expires_at: Timestamp | None = None
    """When the key expires (RFC 3339). The time must be in the future. Null or absent: the key does not expire."""
    limits: SubjectLimits = Field(default_factory=dict)
    """Limits of the key, in addition to the tenant's limits. Default: empty."""


class KeyPatch(StrictModel):
    """The fields of an API key to change. Absent fields are not changed. `limits` are replaced as a whole."""

    name: Name = Field(default_factory=str)
    """Name of the key, 1 to 100 visible characters."""
    scopes: Scopes = Field(default_factory=lambda: list(KEY_SCOPES_DEFAULT))
    """Scopes of the key. Each must be a scope of the caller. Replaced as a whole."""
    expires_at: Timestamp | None = None
    """When the key expires (RFC 3339). The time must be in the future. Null: the key does not expire."""
    limits: SubjectLimits = Field(default_factory=dict)
    """Limits of the key, in addition to the tenant's limits. Replaced as a whole."""


class GraceBody(StrictModel):
    """The time for which the old key remains valid."""

    grace_seconds: Annotated[int, Field(ge=0, le=GRACE_SECONDS_MAX)] = 0
    """Seconds for which the key remains valid, 0 to 604,800. Default 0."""


class KeyAnswer(StrictModel):
    """An API key, without the secret key. If `revoked_at` is in the future, the key is valid until then."""

    id: str
    """Id of the key."""
    name: str
    """Name of the key."""
    scopes: list[str]
    """Scopes of the key."""
    prefix: str
    """First characters of the secret key, which help to recognize the key."""
    status: Literal["active", "revoked", "expired"]
    """Whether the key is valid now (`active`), was revoked, or has expired."""
    expires_at: str | None
    """When the key expires (RFC 3339, UTC). Null: the key does not expire."""
    revoked_at: str | None
    """When the key is or was revoked (RFC 3339, UTC). The key is valid until then. Null: the key was not revoked."""
    last_used_at: str | None
    """When the key was last used (RFC 3339, UTC), accurate to some minutes. Null: the key was never used."""
    limits: ShownLimits
    """Limits of the key by name. Absent limits are not set."""
    created_by: str | None
    """Id of the user, API key or OAuth client that created this key. Null if the creator is unknown."""
    created_at: str
    """When the key was created (RFC 3339, UTC)."""
    updated_at: str
    """When the key was last changed (RFC 3339, UTC)."""


class CreatedKey(KeyAnswer):
    """A new API key with its secret key, which is shown only in this response."""

    key: str
    """The secret key, shown only in this response."""


def render_key(key: ApiKey, now: datetime) -> KeyAnswer:
    return KeyAnswer(**_fields(key, now))


def render_issued(issued: IssuedKey, now: datetime) -> CreatedKey:
    return CreatedKey(**_fields(issued.key, now), key=issued.text)


def _fields(key: ApiKey, now: datetime) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "scopes": list(key.scopes),
        "prefix": key.prefix,
        "status": key.status(now),
        "expires_at": format_time(key.expires_at) if key.expires_at else None,
        "revoked_at": format_time(key.revoked_at) if key.revoked_at else None,
        "last_used_at": format_time(key.last_used_at) if key.last_used_at else None,
        "limits": show_limits(key.limits),
        "created_by": key.created_by or None,
        "created_at": format_time(key.created_at),
        "updated_at": format_time(key.updated_at),
    }
