"""The operations of an owner on their connections, and the access tokens for tools.

A provider may accept a refresh token only once, so a refresh requires a lease. Of two concurrent calls, one refreshes
the tokens and the other waits for the result. No route returns a token.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from atrium.audit.service import AuditService
from atrium.identity.connections.model import Connection, connection_purpose
from atrium.identity.connections.store import ConnectionStore
from atrium.identity.social.descriptions import Description
from atrium.identity.social.exchange import Grant, ProviderCalls
from atrium.identity.social.flow import Flow, Returned
from atrium.identity.social.service import check_redirect
from atrium.identity.social.state import StateSealer
from atrium.kernel.clock import Clock
from atrium.kernel.errors import ConnectionExpired, NotFound, ProviderFailed, ProviderRefused, StateInvalid, Unavailable
from atrium.kernel.pagination import Page, PageRequest
from atrium.storage.secret_encryption import SecretEncryption
from atrium.tenants.context import TenantContext

_WAITS = 12
_KEEPS = 4
_WAIT_SECONDS = 0.5
_GONE = "connection not found: connect to this provider first"


@dataclass(frozen=True, slots=True)
class ConnectionService:
    """The operations of one caller on their connections."""

    context: TenantContext
    store: ConnectionStore
    encryption: SecretEncryption
    audit: AuditService
    sealer: StateSealer
    clock: Clock
    pause: Callable[[float], None] = time.sleep

    def begin(self, flow: Flow, redirect_uri: str | None) -> tuple[str, datetime]:
        """Return the URL for the user's browser, and the time when the flow expires. Writes nothing."""
        address, now = check_redirect(flow.client, redirect_uri), self.clock()
        state = self.sealer.begin(
            "connect", flow.description.name, self.context.tenant_id, address, now, user=self.context.owner
        )
        return flow.authorize_url(state)[0], now + timedelta(seconds=state.ends_at - int(now.timestamp()))

    def complete(self, flow: Flow, text: str, returned: Returned) -> Connection:
        """Exchange the code for tokens and store them.

        Raises `StateInvalid` if another user started the flow, and `ProviderRefused` or `ProviderFailed` if the
        provider does not return tokens.
        """
        now, name = self.clock(), flow.description.name
        state = self.sealer.open(text, purpose="connect", provider=name, now=now)
        if state.tenant_id != self.context.tenant_id or state.user != self.context.owner:
            raise StateInvalid(internal="state: started by another user")
        try:
            grant = flow.redeem(self.store.table, text, state, returned)
        except (ProviderRefused, ProviderFailed) as failure:
            self.audit.record("auth.refuse", {"by": "connection", "provider": name, "code": failure.code})
            raise
        connection = self._connect(flow.description, grant, now)
        details = {"action": "connection.create", "resource": name, "scopes": list(connection.scopes)}
        self.store.put(connection, self.audit.recording("admin.change", details))
        return connection

    def list(self, page: PageRequest) -> Page[Connection]:
        return self.store.list(self.context.owner, page)

    def get(self, provider: str) -> Connection:
        found = self.store.get(self.context.owner, provider)
        if found is None:
            raise NotFound(_GONE)
        return found

    def delete(self, provider: str) -> None:
        """Delete a connection and its tokens."""
        found = self.get(provider)
        record = self.audit.recording("admin.change", {"action": "connection.delete", "resource": provider})
        if not self.store.delete(found, record):
            raise NotFound(_GONE)

    def access_token(self, provider: str, calls: ProviderCalls) -> str:
        """Return an access token. If the stored token expires within a minute, refresh the tokens first.

        Raises `NotFound`, `ConnectionExpired` (the user must connect again), `ProviderFailed` or `Unavailable`.
        """
        found = self.get(provider)
        for _ in range(_WAITS):
            if found.status == "expired":
                raise ConnectionExpired
            if not found.is_due(self.clock()):
                return self.encryption.decrypt(found.purpose("access"), found.sealed_access)
            if not found.sealed_refresh:
                raise ConnectionExpired
            held = self.store.lease(found, now=self.clock())
            if held is not None:
                return self._refresh(held, calls)
            self.pause(_WAIT_SECONDS)
            found = self.get(provider)
        raise Unavailable(internal="the refresh of a connection takes too long", retry_after_seconds=5)

    def _refresh(self, held: Connection, calls: ProviderCalls) -> str:
        """Refresh the tokens, store them, and return the access token.

        If the process is killed before the tokens are stored, the lease expires.
        """
        refresh_token = self.encryption.decrypt(held.purpose("refresh"), held.sealed_refresh)
        # The data key is created before the refresh, because new tokens that cannot be encrypted would be lost.
        key = self.encryption.new_data_key()
        try:
            grant = calls.refresh(refresh_token)
        except ProviderRefused as refused:
            self.store.expire(held, now=self.clock())
            raise ConnectionExpired(internal=refused.internal) from refused
        except ProviderFailed:
            self.store.release(held)
            raise
        now = self.clock()
        access = key.encrypt(held.purpose("access"), grant.access_token)
        following = key.encrypt(held.purpose("refresh"), grant.refresh_token or refresh_token)
        if self._keep(held, access, following, _end(grant, now)) is None:
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

    def _connect(self, description: Description, grant: Grant, now: datetime) -> Connection:
        owner, name = self.context.owner, description.name
        refresh, key = grant.refresh_token, self.encryption.new_data_key()
        return Connection(
            owner=owner,
            provider=name,
            scopes=grant.scopes,
            status="active",
            created_at=now,
            updated_at=now,
            sealed_access=key.encrypt(connection_purpose(owner, name, "access"), grant.access_token),
            sealed_refresh=key.encrypt(connection_purpose(owner, name, "refresh"), refresh) if refresh else b"",
            expires_at=_end(grant, now),
        )


def _end(grant: Grant, now: datetime) -> datetime | None:
    return now + timedelta(seconds=grant.expires_in) if grant.expires_in is not None else None
