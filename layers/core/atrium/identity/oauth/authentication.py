"""Client authentication with a secret in the header `Authorization` or in the form (RFC 6749 §2.3.1).

A public client has no secret.
"""

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import unquote_plus

from atrium.audit.bound import RefusalBound
from atrium.audit.model import Origin
from atrium.identity.clients.model import Client
from atrium.identity.clients.secret import fits
from atrium.identity.clients.store import read_client
from atrium.identity.oauth.failures import OAuthRefused
from atrium.identity.oauth.parameters import Parameters
from atrium.kernel.clock import Clock
from atrium.kernel.ids import ClientId, TenantId, is_id, tenant_of_client
from atrium.storage import keys
from atrium.storage.secrets import Secrets
from atrium.storage.table import TenantTable
from atrium.tenants.auditing import audit_of
from atrium.tenants.model import Tenant
from atrium.tenants.store import read_tenant

HEADER_MAX = 2_048


@dataclass(frozen=True, slots=True)
class ClientProof:
    """The client id and secret of a request. If `method` is "none", no secret was sent."""

    client_id: str
    secret: str = field(repr=False)
    method: Literal["basic", "post", "none"]


@dataclass(frozen=True, slots=True)
class Clients:
    """Finds and authenticates the clients of all tenants. A client id contains the tenant id."""

    table_of: Callable[[TenantId], TenantTable]
    secrets: Secrets
    clock: Clock
    refusals: RefusalBound

    def find(self, client_id: str) -> tuple[Client, Tenant] | None:
        """Return a client and its tenant, or None if either does not exist or the tenant is not active.

        Makes one batch read.
        """
        if not is_id(client_id, "cli"):
            return None
        known = ClientId(client_id)
        tenant_id = tenant_of_client(known)
        found = self.table_of(tenant_id).batch_get([keys.client(known), keys.tenant()])
        if keys.tenant() not in found or keys.client(known) not in found:
            return None
        tenant = read_tenant(found[keys.tenant()])
        return (read_client(found[keys.client(known)], tenant_id), tenant) if tenant.is_active else None

    def authenticate(self, proof: ClientProof, origin: Origin) -> tuple[Client, Tenant]:
        """Return the authenticated client and its tenant; raise `OAuthRefused` (`invalid_client`) on failure.

        A wrong or missing secret of an existing client is recorded in the tenant's audit.
        """
        found = self.find(proof.client_id)
        if found is None:
            raise _refuse("unknown client")
        client, tenant = found
        if client.type == "confidential":
            is_valid = proof.method != "none" and fits(client, proof.secret, self.secrets, now=self.clock())
        else:
            is_valid = proof.method == "none"
        if not is_valid:
            audit = audit_of(tenant, self.table_of(tenant.id), origin, self.clock)
            details = {"by": "client", "client_id": client.id, "reason": "wrong or missing secret"}
            audit.record_refusal(details, self.refusals)
            raise _refuse("wrong secret")
        return client, tenant


def read_proof(authorization: list[str], parameters: Parameters) -> ClientProof:
    """Return the client credentials of a request; raise `OAuthRefused` if they are missing, malformed or sent twice."""
    if len(authorization) > 1:
        raise OAuthRefused("invalid_request", "the header `Authorization` must not be repeated")
    sent = parameters.get("client_secret")
    if authorization:
        named = _read_basic(authorization[0])
        if sent or parameters.get("client_id") not in {"", named.client_id}:
            raise OAuthRefused(
                "invalid_request",
                "send the client secret either in the header `Authorization` or in the form, with the same `client_id`",
            )
        return named
    return ClientProof(parameters.need("client_id"), sent, "post" if sent else "none")


def _read_basic(value: str) -> ClientProof:
    scheme, _, encoded = value.partition(" ")
    if scheme.lower() != "basic" or len(value) > HEADER_MAX:
        raise _refuse("the scheme of the header `Authorization` is not Basic")
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        raise _refuse("the header Authorization is malformed") from None
    client_id, _, secret = text.partition(":")
    return ClientProof(unquote_plus(client_id), unquote_plus(secret), "basic")


def _refuse(reason: str) -> OAuthRefused:
    return OAuthRefused("invalid_client", "the client is unknown, or its secret is wrong or missing", internal=reason)
