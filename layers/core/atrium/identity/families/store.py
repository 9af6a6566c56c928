"""Stores token families, one item per family.

The expiry of a family is compared with the clock. The TTL of the item only deletes old items.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from atrium.identity.families.model import TokenFamily
from atrium.kernel.clock import epoch_seconds, format_time, parse_time
from atrium.kernel.ids import FamilyId, TenantId, UserId
from atrium.storage import keys
from atrium.storage.table import TenantTable
from atrium.storage.writes import EXISTS, NEW, Put, Update

_LIVE = f"{EXISTS} AND attribute_not_exists(#revoked_at)"
# Access tokens refer to their family, so the item is kept until the last access token has expired.
_KEPT_LONGER = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class TokenFamilyStore:
    """Reads and writes the families of one tenant."""

    table: TenantTable

    def creation(self, family: TokenFamily) -> Put:
        """Return the write that creates a family."""
        return Put(keys.family(family.id), _item(family), NEW)

    def get(self, family_id: FamilyId) -> TokenFamily | None:
        item = self.table.get(keys.family(family_id))
        return read_family(item, self.table.tenant_id) if item else None

    def rotate(self, family: TokenFamily, after: TokenFamily) -> TokenFamily:
        """Replace the last token of a family with the next token, and return the stored family.

        Raises `ConditionFailed` if the last token was already replaced or the family was revoked.
        """
        values: dict[str, Any] = {
            "seen": family.sequence,
            "sequence": after.sequence,
            "digest": after.digest,
            "before": after.before,
            "salt": after.salt,
            "pepper_version": after.pepper_version,
            "rotated_at": format_time(after.rotated_at or after.created_at),
            "expires_at": format_time(after.expires_at),
            "ttl": _sweep_time(after.expires_at),
        }
        change = "SET " + ", ".join(f"#{name} = :{name}" for name in values if name != "seen")
        condition = f"{_LIVE} AND #sequence = :seen AND #digest = :before"
        written = self.table.write(Update(keys.family(family.id), change, condition, values))
        return read_family(written, self.table.tenant_id)

    def revocation(self, family_id: FamilyId, reason: str, *, now: datetime) -> Update:
        """Return the write that revokes a family. Its condition fails if the family is revoked or does not exist."""
        values = {"now": format_time(now), "reason": reason}
        return Update(keys.family(family_id), "SET #revoked_at = :now, #revoked_for = :reason", _LIVE, values)

    def ending_of_user(self, user_id: UserId, *, now: datetime) -> Update:
        """Return the write that invalidates all tokens of a user, including earlier tokens of identity providers.

        Its condition fails if the user does not exist.
        """
        return Update(keys.user(user_id), _END_LOGINS, EXISTS, {"one": 1, "now": format_time(now)})


_END_LOGINS = "SET #token_version = #token_version + :one, #logins_ended_at = :now, #updated_at = :now"


def read_family(item: Mapping[str, Any], tenant_id: TenantId) -> TokenFamily:
    """Return the token family that is stored in an item of the tenant's partition."""
    scopes = item.get("scopes")
    return TokenFamily(
        id=FamilyId(item["id"]),
        tenant_id=tenant_id,
        user_id=UserId(item["user_id"]),
        digest=item["digest"],
        pepper_version=item["pepper_version"],
        token_version=item["token_version"],
        tenant_token_version=item["tenant_token_version"],
        created_at=parse_time(item["created_at"]),
        expires_at=parse_time(item["expires_at"]),
        sequence=item["sequence"],
        before=item.get("before", b""),
        salt=item.get("salt", b""),
        rotated_at=_time(item, "rotated_at"),
        revoked_at=_time(item, "revoked_at"),
        scopes=None if scopes is None else tuple(scopes),
        client_id=item.get("client_id", ""),
        ip=item.get("ip", ""),
        user_agent=item.get("user_agent", ""),
    )


def _item(family: TokenFamily) -> dict[str, Any]:
    return {
        "id": family.id,
        "user_id": family.user_id,
        "digest": family.digest,
        "pepper_version": family.pepper_version,
        "token_version": family.token_version,
        "tenant_token_version": family.tenant_token_version,
        "created_at": format_time(family.created_at),
        "expires_at": format_time(family.expires_at),
        "ttl": _sweep_time(family.expires_at),
        "sequence": family.sequence,
        "scopes": None if family.scopes is None else list(family.scopes),
        "client_id": family.client_id or None,
        "ip": family.ip or None,
        "user_agent": family.user_agent or None,
        "gsi1pk": keys.issued(),
        "gsi1sk": keys.issued_to(family.user_id, family.id),
    }


def _sweep_time(expires_at: datetime) -> int:
    return epoch_seconds(expires_at + _KEPT_LONGER)


def _time(item: Mapping[str, Any], name: str) -> datetime | None:
    return parse_time(item[name]) if item.get(name) else None
