"""Finds the API keys and OAuth clients that a user created, directly or indirectly.

The new key of a rotation descends from the old key. It also descends from the principal that made the rotation, because
this principal has seen the text of the new key.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from atrium.audit.service import AuditService
from atrium.identity.clients.model import Client
from atrium.identity.clients.store import ClientStore
from atrium.identity.keys.model import ApiKey
from atrium.identity.keys.store import KeyStore
from atrium.kernel.clock import Clock
from atrium.kernel.pagination import read_all
from atrium.storage.table import TenantTable

type Credential = ApiKey | Client

_BEGINNING = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Lineage:
    """Finds and revokes the credentials that descend from one user or credential of a tenant."""

    table: TenantTable
    audit: AuditService
    clock: Clock

    def find(self, creator_id: str) -> list[Credential]:
        """Return the valid credentials that descend from a user or credential.

        The result includes valid credentials that were created by a credential that has ended. Reads all keys and
        clients of the tenant.
        """
        listed: list[Credential] = [*read_all(KeyStore(self.table).list), *read_all(ClientStore(self.table).list)]
        left = {each.id: each for each in listed}
        descendants: dict[str, Credential] = {}
        creators: dict[str, datetime] = {creator_id: _BEGINNING}
        while True:
            new = [each for each in left.values() if _descends(each, descendants, creators)]
            if not new:
                now = self.clock()
                return [each for each in descendants.values() if not _has_ended(each, now)]
            for each in new:
                descendants[each.id] = left.pop(each.id)
                for name in _names(each):
                    creators[name] = min(creators.get(name, each.created_at), each.created_at)

    def end(self, creator_id: str) -> list[str]:
        """Revoke all keys and delete all clients that descend from a user or credential. Return their ids.

        Each revocation and deletion is audited. The search is repeated until it finds no credentials, because a
        credential that is not yet revoked may create another one.
        """
        ended: list[str] = []
        while True:
            left = self.find(creator_id)
            if not left:
                return ended
            for credential in left:
                self._end(credential, creator_id)
            ended += [each.id for each in left]

    def _end(self, credential: Credential, creator_id: str) -> None:
        is_key = isinstance(credential, ApiKey)
        action = "key.revoke" if is_key else "delete"
        resource = credential.id if is_key else f"client:{credential.id}"
        details = {"action": action, "resource": resource, "name": credential.name, "creator": creator_id}
        record = self.audit.recording("admin.change", details)
        if isinstance(credential, ApiKey):
            now = self.clock()
            KeyStore(self.table).revoke(credential.id, record, at=now, now=now)
        else:
            ClientStore(self.table).delete(credential.id, [record])


def _names(credential: Credential) -> set[str]:
    """Return the ids under which a credential appears as a creator."""
    return {credential.id, credential.principal_id} if isinstance(credential, ApiKey) else {credential.id}


def _descends(credential: Credential, descendants: Mapping[str, Credential], creators: Mapping[str, datetime]) -> bool:
    """Return whether one of `creators` created the credential, or the credential is a rotation of a descendant key.

    `creators` contains a time for each creator. Credentials that were created before this time do not descend from the
    creator.
    """
    since = creators.get(credential.created_by)
    if since is not None and since <= credential.created_at:
        return True
    return isinstance(credential, ApiKey) and credential.first_id in descendants


def _has_ended(credential: Credential, now: datetime) -> bool:
    return isinstance(credential, ApiKey) and credential.status(now) != "active"
