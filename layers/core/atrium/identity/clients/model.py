"""The model of an OAuth client, without its secret, and the validation of redirect URIs.

A client id contains the tenant id.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, get_args
from urllib.parse import SplitResult, urlsplit

from atrium.kernel.ids import ClientId, TenantId

type ClientType = Literal["confidential", "public"]
type GrantType = Literal["client_credentials", "authorization_code", "refresh_token"]

GRANT_TYPES: tuple[str, ...] = get_args(GrantType.__value__)
OIDC_SCOPES = ("openid", "email", "profile")
NAME_MAX = 100
REDIRECT_URIS_MAX = 20
REDIRECT_URI_MAX = 2_000
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_LOOPBACK_PORT = re.compile(r"^(http://(?:127\.0\.0\.1|\[::1\])):[0-9]{1,5}(?=[/?]|$)")
_HOST = re.compile(r"(?:[A-Za-z0-9.-]+|\[::1\])(?::[0-9]{1,5})?")
_URI = re.compile(r"[\x21\x23-\x3b\x3d\x3f-\x5b\x5d\x5f\x61-\x7a\x7e]+")
_PRIVATE_SCHEME = re.compile(r"[a-z][a-z0-9+-]*(?:\.[a-z0-9+-]+)+")
_WHERE = "must use https, http on a loopback address, or a private-use scheme that contains a dot"


@dataclass(frozen=True, slots=True)
class Client:
    """An OAuth client. `old_digest` is the digest of the previous secret, which is valid until `old_ends_at`."""

    id: ClientId
    tenant_id: TenantId
    name: str
    type: ClientType
    redirect_uris: tuple[str, ...]
    grant_types: tuple[str, ...]
    scopes: tuple[str, ...]
    created_at: datetime
    updated_at: datetime
    created_by: str = ""
    digest: bytes = field(default=b"", repr=False)
    pepper_version: int = 0
    old_digest: bytes = field(default=b"", repr=False)
    old_pepper_version: int = 0
    old_ends_at: datetime | None = None

    def may(self, grant_type: str) -> bool:
        return grant_type in self.grant_types


@dataclass(frozen=True, slots=True)
class IssuedClient:
    """A client and its new secret. The secret is not stored. For a public client, the secret is empty."""

    client: Client
    secret: str = field(repr=False)


def find_redirect_fault(uri: str) -> str | None:
    """Return the reason why a redirect URI is not allowed, or None.

    A redirect URI must use https, http on a loopback address, or a private-use scheme that contains a dot (RFC 8252).
    """
    parts = _split(uri)
    if parts is None:
        return f"must be an absolute URI without a fragment, of at most {REDIRECT_URI_MAX} characters"
    if "@" in parts.netloc:
        return "must not contain a user name or password"
    host = parts.hostname or ""
    to_host = bool(_HOST.fullmatch(parts.netloc)) and (
        parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK)
    )
    to_program = _PRIVATE_SCHEME.fullmatch(parts.scheme) is not None
    return None if to_host or to_program else _WHERE


def is_registered(uri: str, registered: Iterable[str]) -> bool:
    """Return whether a redirect URI is equal to a registered redirect URI.

    For a loopback IP address, any port is accepted, because the operating system assigns the port (RFC 8252 §7.3).
    `localhost` is a name and not an address, so its port must match.
    """
    known = set(registered)
    if uri in known:
        return True
    return find_redirect_fault(uri) is None and _without_port(uri) in map(_without_port, known)


def _without_port(uri: str) -> str:
    return _LOOPBACK_PORT.sub(r"\1", uri)


def _split(uri: str) -> SplitResult | None:
    """Return the parts of an absolute URI, or None if the URI is invalid."""
    if len(uri) > REDIRECT_URI_MAX or not _URI.fullmatch(uri) or "#" in uri:
        return None
    try:
        parts = urlsplit(uri)
        _ = parts.port
    except ValueError:
        return None
    return parts if uri.startswith(parts.scheme + ":") else None


def find_client_fault(
    type: ClientType, grant_types: tuple[str, ...], redirect_uris: tuple[str, ...]
) -> tuple[str, str] | None:
    """Return the name of the first invalid field and the reason, or None if all fields are valid."""
    for uri in redirect_uris:
        fault = find_redirect_fault(uri)
        if fault is not None:
            return "redirect_uris", fault
    if "client_credentials" in grant_types and type == "public":
        return "grant_types", "a public client has no secret, so it cannot use client_credentials"
    if "authorization_code" in grant_types and not redirect_uris:
        return "redirect_uris", "the grant type authorization_code needs at least one redirect URI"
    if "refresh_token" in grant_types and "authorization_code" not in grant_types:
        return "grant_types", "refresh_token needs authorization_code"
    return None
