"""Stores a tenant's OAuth clients at providers, at most one per provider.

The items of the clients have the same key prefix as the tenant's identity providers, so one query lists both.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from atrium.identity.providers.model import IdentityProvider
from atrium.identity.providers.store import read_provider
from atrium.identity.social.descriptions import ProviderName
from atrium.identity.social.model import SocialClient
from atrium.kernel.clock import format_time, parse_time
from atrium.kernel.errors import Conflict, NotFound
from atrium.kernel.ids import IdentityProviderId, is_id
from atrium.kernel.pagination import Page, PageRequest
from atrium.storage import provider_keys
from atrium.storage.keys import Key
from atrium.storage.table import Query, TenantTable, TransactionRefused
from atrium.storage.writes import NEW, Delete, Operation, Put

type AnyProvider = IdentityProvider | SocialClient


@dataclass(frozen=True, slots=True)
class ProviderDirectory:
    """Lists all identity providers of a tenant: its registered issuers and its clients at OAuth providers."""

    table: TenantTable

    def get(self, provider_id: str) -> AnyProvider:
        key = provider_keys.identity_provider(IdentityProviderId(provider_id))
        item = self.table.get(key) if is_id(provider_id, "idp") else None
        if item is None:
            raise NotFound("identity provider not found")
        return _read(item)

    def list(self, page: PageRequest) -> Page[AnyProvider]:
        """List the providers, oldest first."""
        query = Query("", prefix="IDP#", limit=page.limit, position=page.position)
        return self.table.query(query).map(_read)


@dataclass(frozen=True, slots=True)
class SocialClientStore:
    """Reads and writes the OAuth clients of one tenant."""

    table: TenantTable

    def find(self, provider: ProviderName) -> SocialClient | None:
        """Return the tenant's client at a provider, or None. Makes up to two reads."""
        marker = self.table.get(_marker(provider))
        key = provider_keys.identity_provider(IdentityProviderId(marker["provider_id"])) if marker else None
        item = self.table.get(key) if key else None
        return read_client(item) if item else None

    def create(self, client: SocialClient, record: Put) -> None:
        """Write a new client; raise `Conflict` if the tenant already has a client at this provider."""
        operations: list[Operation] = [
            Put(_marker(client.provider), {"provider_id": client.id}, NEW),
            Put(provider_keys.identity_provider(client.id), _item(client), NEW),
            record,
        ]
        try:
            self.table.transact(operations)
        except TransactionRefused as refused:
            raise Conflict(
                f"the tenant already has a client at {client.provider}; change that client instead"
            ) from refused

    def replace(self, client: SocialClient, before: SocialClient, record: Put) -> None:
        """Write a changed client; raise `Conflict` if the client was changed after `before` was read."""
        values = {"before": format_time(before.updated_at)}
        write = Put(provider_keys.identity_provider(client.id), _item(client), "#updated_at = :before", values)
        self._transact([write, record])

    def delete(self, client: SocialClient, record: Put) -> None:
        values = {"before": format_time(client.updated_at)}
        self._transact([
            Delete(provider_keys.identity_provider(client.id), "#updated_at = :before", values),
            Delete(_marker(client.provider), "#provider_id = :id", {"id": client.id}),
            record,
        ])  # fmt: skip

    def _transact(self, operations: list[Operation]) -> None:
        try:
            self.table.transact(operations)
        except TransactionRefused as refused:
            raise Conflict("the identity provider was modified by another call; read it and try again") from refused


def _read(item: Mapping[str, Any]) -> AnyProvider:
    return read_client(item) if "provider" in item else read_provider(item)


def _marker(provider: ProviderName) -> Key:
    return provider_keys.provider_issuer(sha256(f"client\n{provider}".encode()).hexdigest())


def _item(client: SocialClient) -> dict[str, Any]:
    return {
        "id": client.id,
        "provider": client.provider,
        "name": client.name,
        "client_id": client.client_id or None,
        "sealed_secret": client.sealed_secret or None,
        "redirect_uris": list(client.redirect_uris),
        "connection_scopes": list(client.connection_scopes),
        "email_domains": list(client.email_domains),
        "default_role": client.default_role,
        "provision_users": client.provision_users,
        "enabled": client.enabled,
        "created_at": format_time(client.created_at),
        "updated_at": format_time(client.updated_at),
    }


def read_client(item: Mapping[str, Any]) -> SocialClient:
    """Return the client that is stored in an item."""
    return SocialClient(
        id=IdentityProviderId(item["id"]),
        provider=item["provider"],
        name=item["name"],
        client_id=item.get("client_id", ""),
        sealed_secret=item.get("sealed_secret", b""),
        redirect_uris=tuple(item["redirect_uris"]),
        connection_scopes=tuple(item["connection_scopes"]),
        email_domains=tuple(item["email_domains"]),
        default_role=item["default_role"],
        provision_users=item["provision_users"],
        enabled=item["enabled"],
        created_at=parse_time(item["created_at"]),
        updated_at=parse_time(item["updated_at"]),
    )
