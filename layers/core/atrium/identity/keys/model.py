"""The model of a stored API key, without its secret."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from atrium.kernel.ids import KeyId, TenantId

type KeyStatus = Literal["active", "revoked", "expired"]

NAME_MAX = 100
GRACE_SECONDS_MAX = 604_800


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key without its secret.

    `tenant_id` is None for a platform key. `revoked_at` may be in the future, at the end of a grace period.

    `first_id` is the id of the original key if the key results from a rotation, otherwise None. A key and its rotations
    own the same objects. `limits` apply in addition to the tenant's limits (`atrium.quotas.limits`).
    """

    id: KeyId
    tenant_id: TenantId | None
    name: str
    scopes: tuple[str, ...]
    prefix: str
    digest: bytes = field(repr=False)
    pepper_version: int
    created_at: datetime
    updated_at: datetime
    created_by: str = ""
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    first_id: KeyId | None = None
    limits: Mapping[str, int] = field(default_factory=dict)

    @property
    def principal_id(self) -> KeyId:
        """Return the id of the key's principal: the id of the original key, which does not change in a rotation."""
        return self.first_id or self.id

    @property
    def ends_at(self) -> datetime | None:
        """Return the time when the key becomes invalid, or None if there is no such time."""
        ends = [moment for moment in (self.expires_at, self.revoked_at) if moment is not None]
        return min(ends, default=None)

    def status(self, now: datetime) -> KeyStatus:
        if self.revoked_at is not None and self.revoked_at <= now:
            return "revoked"
        if self.expires_at is not None and self.expires_at <= now:
            return "expired"
        return "active"


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A new key with its text. The text is not stored."""

    key: ApiKey
    text: str = field(repr=False)
