"""The operations of an owner on their connections."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from atrium.audit.service import AuditService
from atrium.identity.connections.model import Connection, connection_purpose
from atrium.identity.connections.store import ConnectionStore
from atrium.identity.connections.tokens import end_of
from atrium.identity.social.descriptions import Description
from atrium.identity.social.exchange import Grant
from atrium.identity.social.flow import Flow, Returned
from atrium.identity.social.service import check_redirect
from atrium.identity.social.state import StateSealer
from atrium.kernel.clock import Clock
from atrium.kernel.errors import NotFound, ProviderFailed, ProviderRefused, StateInvalid
from atrium.kernel.pagination import Page, PageRequest
from atrium.storage.secret_encryption import SecretEncryption
from atrium.tenants.context import TenantContext

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
            expires_at=end_of(grant, now),
        )
