"""Administration of OAuth clients. A client cannot get scopes that its creator does not have."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from atrium.audit.service import AuditService
from atrium.identity.clients.model import Client, ClientType, IssuedClient, find_client_fault
from atrium.identity.clients.secret import digest_secret, mint_secret
from atrium.identity.clients.store import ClientStore
from atrium.identity.scopes import PLATFORM, find_excess, sort_scopes
from atrium.kernel.clock import Clock
from atrium.kernel.errors import Conflict, NotFound, ScopeRequired, invalid_field
from atrium.kernel.ids import ClientId, is_id, mint_client_id, tenant_of_client
from atrium.kernel.pagination import Page, PageRequest
from atrium.storage.secrets import Secrets
from atrium.storage.writes import Put
from atrium.tenants.context import TenantContext


@dataclass(frozen=True, slots=True)
class ClientService:
    """The operations of one caller on the tenant's clients. The routes check the scope `admin`."""

    context: TenantContext
    store: ClientStore
    audit: AuditService
    secrets: Secrets
    clock: Clock

    def create(
        self,
        name: str,
        type: ClientType,
        *,
        grant_types: Iterable[str],
        redirect_uris: Iterable[str],
        scopes: Iterable[str],
    ) -> IssuedClient:
        """Create a client; raise `ScopeRequired` for scopes that the caller does not have, or `ValidationFailed`."""
        now = self.clock()
        client = Client(
            id=mint_client_id(now, self.context.tenant_id),
            tenant_id=self.context.tenant_id,
            name=name,
            type=type,
            redirect_uris=tuple(dict.fromkeys(redirect_uris)),
            grant_types=tuple(dict.fromkeys(grant_types)),
            scopes=sort_scopes(scopes),
            created_at=now,
            updated_at=now,
            created_by=self.context.principal.id,
        )
        self._check(client, client.scopes)
        issued = self._with_secret(client) if type == "confidential" else IssuedClient(client, "")
        self.store.create(issued.client, [self._record("create", client)])
        return issued

    def list(self, page: PageRequest) -> Page[Client]:
        return self.store.list(page)

    def get(self, client_id: str) -> Client:
        found = self.store.get(self._known(client_id))
        if found is None:
            raise NotFound("client not found")
        return found

    def change(self, client_id: str, changes: Mapping[str, Any]) -> Client:
        """Change the name, redirect URIs, grant types or scopes of a client.

        Raises `NotFound`, `Conflict` for a concurrent change, or the same errors as `create`.
        """
        before = self.get(client_id)
        if not changes:
            return before
        wanted: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in changes.items()
        }
        if "scopes" in wanted:
            wanted["scopes"] = sort_scopes(wanted["scopes"])
        after = replace(before, **wanted, updated_at=self.clock())
        self._check(after, wanted.get("scopes", ()))
        self._write(before, after, "update")
        return after

    def rotate(self, client_id: str, grace_seconds: int) -> IssuedClient:
        """Issue a new secret for a client. The previous secret is valid until the end of the grace period.

        Raises `Conflict` for a public client or a concurrent change.
        """
        before, now = self.get(client_id), self.clock()
        if before.type == "public":
            raise Conflict("a public client has no secret to rotate")
        old = replace(
            before,
            updated_at=now,
            old_digest=before.digest,
            old_pepper_version=before.pepper_version,
            old_ends_at=now + timedelta(seconds=grace_seconds),
        )
        issued = self._with_secret(old)
        self._check(issued.client, before.scopes)
        self._write(before, issued.client, "rotate")
        return issued

    def delete(self, client_id: str) -> None:
        """Delete a client. All tokens that were issued to the client become invalid within 30 seconds."""
        known = self._known(client_id)
        details = {"action": "delete", "resource": f"client:{known}"}
        if not self.store.delete(known, [self.audit.recording("admin.change", details)]):
            raise NotFound("client not found")

    def _with_secret(self, client: Client) -> IssuedClient:
        secret, pepper = mint_secret(), self.secrets.peppers("client_secret").current()
        kept = replace(client, digest=digest_secret(pepper, client.id, secret), pepper_version=pepper.version)
        return IssuedClient(kept, secret)

    def _write(self, before: Client, after: Client, action: str) -> None:
        if not self.store.replace(before, after, [self._record(action, after)]):
            raise Conflict("the client was modified by another call; try again")

    def _record(self, action: str, client: Client) -> Put:
        details = {
            "action": action,
            "resource": f"client:{client.id}",
            "name": client.name,
            "grant_types": list(client.grant_types),
            "redirect_uris": list(client.redirect_uris),
            "scopes": list(client.scopes),
        }
        return self.audit.recording("admin.change", details)

    def _check(self, client: Client, scopes: Iterable[str]) -> None:
        excess = find_excess(scopes, self.context.principal)
        if excess:
            raise ScopeRequired(f"you cannot grant the scope `{excess[0]}`, because you do not have it")
        if PLATFORM in scopes:
            raise invalid_field(
                "scopes", "must not contain `platform`, because this scope is not available within a tenant"
            )
        fault = find_client_fault(client.type, client.grant_types, client.redirect_uris)
        if fault is not None:
            raise invalid_field(*fault)

    def _known(self, client_id: str) -> ClientId:
        if not is_id(client_id, "cli") or tenant_of_client(ClientId(client_id)) != self.context.tenant_id:
            raise NotFound("client not found")
        return ClientId(client_id)
