"""Administration of a tenant's OAuth clients at providers. Secrets can be written but not read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any
from urllib.parse import urlsplit

from atrium.audit.service import AuditService
from atrium.identity.providers.store import IdentityProviderStore
from atrium.identity.social.model import ClientCredentials, SocialClient
from atrium.identity.social.store import SocialClientStore
from atrium.kernel.clock import Clock
from atrium.kernel.errors import NotFound, invalid_field
from atrium.kernel.ids import mint_identity_provider_id
from atrium.storage.secret_encryption import SecretEncryption

type PlatformClients = Callable[[str], tuple[str, str]]


@dataclass(frozen=True, slots=True)
class SocialClientService:
    """The operations of one caller on the tenant's clients. The routes check the scope `admin`."""

    store: SocialClientStore
    audit: AuditService
    encryption: SecretEncryption
    clock: Clock

    def create(self, wanted: Mapping[str, Any]) -> SocialClient:
        """Register a client; raise `Conflict` if the tenant already has a client at this provider."""
        now, given = self.clock(), dict(wanted)
        secret = given.pop("client_secret", "")
        new_id = mint_identity_provider_id(now)
        client = SocialClient(**{"id": new_id, "created_at": now, "updated_at": now, "redirect_uris": (), **given})
        client = self._with_secret(client, secret)
        _check(client)
        IdentityProviderStore(self.store.table).require_room()
        self.store.create(client, self._record("create", client))
        return client

    def change(self, before: SocialClient, changes: Mapping[str, Any]) -> SocialClient:
        """Change fields of a client. A new `client_id` requires a new secret."""
        if not changes:
            return before
        given = dict(changes)
        secret = given.pop("client_secret", "")
        client = replace(before, **given, updated_at=self.clock())
        if client.client_id != before.client_id:
            client = replace(client, sealed_secret=b"")
        client = self._with_secret(client, secret)
        _check(client)
        names = [each.name for each in fields(client) if getattr(client, each.name) != getattr(before, each.name)]
        changed = [name for name in names if name != "updated_at"]
        self.store.replace(client, before, self._record("change", client, changed=changed))
        return client

    def delete(self, client: SocialClient) -> None:
        self.store.delete(client, self._record("delete", client))

    def _with_secret(self, client: SocialClient, secret: str) -> SocialClient:
        return replace(client, sealed_secret=self.encryption.encrypt(client.purpose, secret)) if secret else client

    def _record(self, action: str, client: SocialClient, **details: object) -> Any:
        base = {"action": f"identity_provider.{action}", "resource": client.id, "provider": client.provider}
        return self.audit.recording("admin.change", {**base, **details})


@dataclass(frozen=True, slots=True)
class ClientKeeper:
    """Finds a tenant's client and its credentials for a flow."""

    store: SocialClientStore
    encryption: SecretEncryption
    platform_client: PlatformClients

    def find(self, provider: str) -> SocialClient:
        """Return the enabled client of a provider; raise `NotFound` if the tenant has no enabled client."""
        client = self.store.find(provider)  # type: ignore[arg-type] # an unknown name has no client
        if client is None or not client.enabled:
            raise NotFound("this provider is not configured for the tenant")
        return client

    def client_id(self, client: SocialClient) -> str:
        """Return the client id at the provider: the tenant's client id, or the platform's client id as the default.

        Raises `NotFound` if both are missing.
        """
        found = client.client_id or self.platform_client(client.provider)[0]
        if not found:
            raise NotFound("this provider is not configured for the tenant")
        return found

    def credentials(self, client: SocialClient) -> ClientCredentials:
        """Return the client's credentials. Decrypting a tenant's secret costs one KMS call."""
        if client.client_id:
            return ClientCredentials(client.client_id, self.encryption.decrypt(client.purpose, client.sealed_secret))
        return ClientCredentials(*self.platform_client(client.provider))


def check_redirect(client: SocialClient, redirect_uri: str | None) -> str:
    """Return the redirect URI of a flow: the requested URI, or the first registered URI if none is requested.

    Raises `NotFound` if the requested URI is not registered.
    """
    if redirect_uri is None and client.redirect_uris:
        return client.redirect_uris[0]
    if redirect_uri not in client.redirect_uris or redirect_uri is None:
        raise NotFound("redirect_uri is not registered for this provider")
    return redirect_uri


def _check(client: SocialClient) -> None:
    if bool(client.client_id) != bool(client.sealed_secret):
        raise invalid_field(
            "client_secret",
            "set `client_id` and `client_secret` together, or omit both to use the platform's client",
        )
    for uri in client.redirect_uris:
        _check_redirect_uri(uri)


def _check_redirect_uri(uri: str) -> None:
    try:
        parts = urlsplit(uri)
        local = parts.hostname in {"localhost", "127.0.0.1", "::1"}
    except ValueError:
        raise invalid_field("redirect_uris", "must be valid URLs") from None
    if parts.fragment or "#" in uri or not parts.netloc or "@" in parts.netloc:
        raise invalid_field("redirect_uris", "must be absolute URLs without a user name, password or fragment")
    if parts.scheme != "https" and not (parts.scheme == "http" and local):
        raise invalid_field("redirect_uris", "must be https, or http on localhost, 127.0.0.1 or ::1")
