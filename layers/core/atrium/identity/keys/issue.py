"""Creates API keys, without storing them."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from atrium.identity.key_format import mint_key, show_prefix
from atrium.identity.keys.model import ApiKey, IssuedKey
from atrium.identity.scopes import sort_scopes
from atrium.kernel.ids import TenantId, mint_key_id
from atrium.settings import Environment
from atrium.storage.secrets import Pepper


def issue_key(
    environment: Environment,
    pepper: Pepper,
    *,
    tenant_id: TenantId | None,
    name: str,
    scopes: Iterable[str],
    now: datetime,
    created_by: str = "",
    expires_at: datetime | None = None,
    limits: Mapping[str, int] | None = None,
) -> IssuedKey:
    """Return a new key of a tenant, or of the platform if `tenant_id` is None. Stores nothing."""
    key_id = mint_key_id(now)
    text, encoded = mint_key(environment, key_id, tenant_id)
    key = ApiKey(
        id=key_id,
        tenant_id=tenant_id,
        name=name,
        scopes=sort_scopes(scopes),
        prefix=show_prefix(text),
        digest=encoded.digest(pepper.value),
        pepper_version=pepper.version,
        created_at=now,
        updated_at=now,
        created_by=created_by,
        expires_at=expires_at,
        limits=limits or {},
    )
    return IssuedKey(key, text)
