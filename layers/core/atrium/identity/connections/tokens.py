"""The access tokens of a caller's connections, for tools that act on behalf of the caller.

A provider may accept a refresh token only once, so a refresh requires a lease. Of two concurrent calls, one refreshes
the tokens and the other waits for the result. No route returns a token.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from atrium.egress.client import EgressClient
from atrium.identity.connections.model import Connection
from atrium.identity.connections.store import ConnectionStore
from atrium.identity.social.descriptions import DESCRIPTIONS, ProviderName
from atrium.identity.social.exchange import Grant, ProviderCalls
from atrium.identity.social.model import SocialClient
from atrium.identity.social.service import ClientKeeper
from atrium.kernel.clock import Clock
from atrium.kernel.errors import ConnectionExpired, NotFound, ProviderFailed, ProviderRefused, Unavailable
from atrium.storage.secret_encryption import DecryptionFailed
from atrium.tenants.context import PrincipalType, TenantContext

_WAITS = 12
_KEEPS = 4
_WAIT_SECONDS = 0.5
_CALLERS: Mapping[PrincipalType, str] = {
    "user": "user", "key": "API key", "client": "OAuth client", "platform": "platform credential",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ConnectionTokens:
    """Returns the access tokens of one caller. `provider_url` replaces the base of the providers' URLs if it is set."""

    context: TenantContext
    store: ConnectionStore
    keeper: ClientKeeper
    egress: EgressClient
    clock: Clock
    provider_url: str = ""
    pause: Callable[[float], None] = time.sleep

    def access_token(self, provider: ProviderName) -> str:
        """Return an access token. If the stored token expires within a minute, refresh the tokens first.

        Raises `NotFound` if the tenant has no enabled client at the provider or the caller has no connection,
        `ConnectionExpired` (the caller must connect again), `ProviderFailed`, `Unavailable`, or `DecryptionFailed` (an
        administrator must set the client secret again).
        """
        client = self.keeper.find(provider)
        found = self._get(provider)
        for _ in range(_WAITS):
            if found.status == "expired":
                raise ConnectionExpired
            if not found.is_due(self.clock()):
                return self._decrypt(found.purpose("access"), found.sealed_access)
            if not found.sealed_refresh:
                raise ConnectionExpired
            held = self.store.lease(found, now=self.clock())
            if held is not None:
                return self._refresh(held, client)
            self.pause(_WAIT_SECONDS)
            found = self._get(provider)
        raise Unavailable(internal="the refresh of a connection takes too long", retry_after_seconds=5)

    def _decrypt(self, purpose: str, sealed: bytes) -> str:
        try:
            return self.keeper.encryption.decrypt(purpose, sealed)
        except DecryptionFailed as error:
            raise ConnectionExpired(internal="a token cannot be decrypted") from error

    def _get(self, provider: ProviderName) -> Connection:
        found = self.store.get(self.context.owner, provider)
        if found is None:
            raise NotFound(
                f"The {_CALLERS[self.context.principal.type]} has not connected an account at "
                f"{DESCRIPTIONS[provider].title}. Connect one with `GET /v1/connections/{provider}/authorize`."
            )
        return found

    def _refresh(self, held: Connection, client: SocialClient) -> str:
        """Refresh the tokens, store them, and return the access token.

        If the process is killed before the tokens are stored, the lease expires.
        """
        endpoints = DESCRIPTIONS[held.provider].at(self.provider_url).connect
        try:
            calls = ProviderCalls(self.egress, endpoints, self.keeper.credentials(client))
            refresh_token = self._decrypt(held.purpose("refresh"), held.sealed_refresh)
            # The data key is created before the refresh, because new tokens that cannot be encrypted would be lost.
            key = self.keeper.encryption.new_data_key()
            grant = calls.refresh(refresh_token)
        except (ProviderRefused, ConnectionExpired) as refused:
            self.store.expire(held, now=self.clock())
            raise ConnectionExpired(internal=refused.internal) from refused
        except (ProviderFailed, Unavailable, DecryptionFailed):
            self.store.release(held)
            raise
        now = self.clock()
        access = key.encrypt(held.purpose("access"), grant.access_token)
        following = key.encrypt(held.purpose("refresh"), grant.refresh_token or refresh_token)
        if self._keep(held, access, following, end_of(grant, now)) is None:
            raise Unavailable(internal="the connection was modified during its refresh", retry_after_seconds=1)
        return grant.access_token

    def _keep(
        self, held: Connection, access: bytes, following: bytes, expires_at: datetime | None
    ) -> Connection | None:
        """Store the new tokens. Return None if this call no longer holds the lease.

        Retries up to three times if the table is unavailable, because the provider does not send the tokens again.
        """
        for _ in range(_KEEPS - 1):
            try:
                return self.store.rotate(held, access, following, expires_at, now=self.clock())
            except Unavailable:
                self.pause(_WAIT_SECONDS)
        return self.store.rotate(held, access, following, expires_at, now=self.clock())


def end_of(grant: Grant, now: datetime) -> datetime | None:
    """Return when the access token of a grant expires, or None if its lifetime is unknown or unlimited."""
    return now + timedelta(seconds=grant.expires_in) if grant.expires_in is not None else None
