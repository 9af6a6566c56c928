"""Administration of API keys. A key cannot get scopes that its creator does not have."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from atrium.audit.service import AuditService
from atrium.identity.keys.issue import issue_key
from atrium.identity.keys.model import ApiKey, IssuedKey
from atrium.identity.keys.store import KeyStore
from atrium.identity.scopes import PLATFORM, find_excess, sort_scopes
from atrium.kernel.clock import Clock, format_time
from atrium.kernel.errors import Conflict, NotFound, ScopeRequired, invalid_field
from atrium.kernel.ids import KeyId, is_id
from atrium.kernel.pagination import Page, PageRequest
from atrium.settings import Environment
from atrium.storage.secrets import Pepper
from atrium.storage.writes import Put
from atrium.tenants.context import TenantContext


@dataclass(frozen=True, slots=True)
class KeyService:
    """The operations of one caller on the tenant's keys. The routes check the scope `admin`."""

    context: TenantContext
    store: KeyStore
    environment: Environment
    current_pepper: Callable[[], Pepper]
    clock: Clock
    audit: AuditService

    def create(
        self, name: str, scopes: Iterable[str], expires_at: datetime | None, limits: Mapping[str, int] | None = None
    ) -> IssuedKey:
        """Create a key; raise `ScopeRequired` for scopes that the caller does not have, or `ValidationFailed`."""
        self._check(scopes, expires_at)
        issued = self._issue(name, scopes, expires_at, limits or {})
        self.store.create(issued.key, self._record("key.create", issued.key))
        return issued

    def list(self, page: PageRequest) -> Page[ApiKey]:
        return self.store.list(page)

    def get(self, key_id: str) -> ApiKey:
        return _found(self.store.get(_known(key_id)))

    def change(self, key_id: str, changes: Mapping[str, Any]) -> ApiKey:
        """Change the name, scopes, limits or expiry of a key. Raises `NotFound`, or the same errors as `create`.

        If `expires_at` is None, the expiry is removed.
        """
        current = self.get(key_id)
        wanted = dict(changes)
        self._check(wanted.get("scopes", ()), wanted.get("expires_at"))
        if not wanted:
            return current
        if "scopes" in wanted:
            wanted["scopes"] = list(sort_scopes(wanted["scopes"]))
        if wanted.get("expires_at"):
            wanted["expires_at"] = format_time(wanted["expires_at"])
        if "limits" in wanted:
            wanted["limits"] = wanted["limits"] or None
        record = self._record("key.change", current, **{name: each for name, each in changes.items() if name != "name"})
        return _found(self.store.change(current.id, wanted, record, now=self.clock()))

    def rotate(self, key_id: str, grace_seconds: int) -> IssuedKey:
        """Create a new key that replaces an existing key.

        The old key is valid until the end of the grace period. The new key has the same name, scopes, expiry, limits,
        counters and objects. Raises `ScopeRequired` if the caller does not have the scopes of the key, and `Conflict`
        if the old key has ended or its revocation is scheduled.
        """
        old, now = self.get(key_id), self.clock()
        if old.status(now) != "active" or old.revoked_at is not None:
            raise Conflict("the key has ended or its revocation is scheduled; create a new key instead")
        self._check(old.scopes, None)
        issued = self._issue(old.name, old.scopes, old.expires_at, old.limits)
        issued = replace(issued, key=replace(issued.key, first_id=old.principal_id))
        record = self._record("key.rotate", issued.key, rotated=old.id, grace_seconds=grace_seconds)
        self.store.rotate(old, issued.key, record, at=now + timedelta(seconds=grace_seconds), now=now)
        return issued

    def revoke(self, key_id: str, grace_seconds: int) -> ApiKey:
        """Revoke a key at the end of the grace period, unless an earlier revocation is scheduled. Idempotent."""
        key, now = self.get(key_id), self.clock()
        record = self._record("key.revoke", key, grace_seconds=grace_seconds)
        return _found(self.store.revoke(key.id, record, at=now + timedelta(seconds=grace_seconds), now=now))

    def delete(self, key_id: str) -> None:
        """Delete a key. The key becomes invalid within 30 seconds, when the authorizer's cache expires."""
        key = self.get(key_id)
        if not self.store.delete(key.id, self._record("key.delete", key)):
            raise NotFound("key not found")

    def _issue(
        self, name: str, scopes: Iterable[str], expires_at: datetime | None, limits: Mapping[str, int]
    ) -> IssuedKey:
        return issue_key(
            self.environment,
            self.current_pepper(),
            tenant_id=self.context.tenant_id,
            name=name,
            scopes=scopes,
            now=self.clock(),
            created_by=self.context.principal.id,
            expires_at=expires_at,
            limits=limits,
        )

    def _record(self, action: str, key: ApiKey, **more: Any) -> Put:
        """Return the write that records a change in the audit, without the text and the digest of the key."""
        expires_at = format_time(key.expires_at) if key.expires_at else None
        details = {"action": action, "resource": key.id, "name": key.name, "scopes": list(key.scopes)}
        times = {name: format_time(each) if isinstance(each, datetime) else each for name, each in more.items()}
        return self.audit.recording("admin.change", {**details, "expires_at": expires_at, **times})

    def _check(self, scopes: Iterable[str], expires_at: datetime | None) -> None:
        wanted = set(scopes)
        excess = find_excess(wanted, self.context.principal)
        if excess:
            raise ScopeRequired(f"you cannot grant the scope `{excess[0]}`, because you do not have it")
        if PLATFORM in wanted:
            raise invalid_field(
                "scopes", "must not contain `platform`, because this scope is not available within a tenant"
            )
        if expires_at is not None and expires_at <= self.clock():
            raise invalid_field("expires_at", "must be in the future")


def _known(key_id: str) -> KeyId:
    if not is_id(key_id, "key"):
        raise NotFound("key not found")
    return KeyId(key_id)


def _found(key: ApiKey | None) -> ApiKey:
    if key is None:
        raise NotFound("key not found")
    return key
