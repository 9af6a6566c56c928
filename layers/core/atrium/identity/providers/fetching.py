"""Fetches an issuer's keys through the egress client.

If the provider has no `jwks_uri`, the discovery document is fetched first. Time and size are limited, and redirects are
not followed. A failure is returned as a code (`FetchFault`) that may be shown to the tenant.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from atrium.egress.client import EgressClient
from atrium.egress.exchange import OutboundRequest
from atrium.egress.failures import OutboundFailed, OutboundRefused
from atrium.identity.providers.issuers import check_keys_address
from atrium.identity.providers.jwks import PublicJwk, read_key_set
from atrium.identity.providers.model import IdentityProvider
from atrium.kernel.errors import ValidationFailed
from atrium.kernel.foreign_json import read_foreign_json

FETCH_SECONDS_MAX = 2.5
FETCH_BYTES_MAX = 262_144
_DISCOVERY = "/.well-known/openid-configuration"

type FetchFault = Literal[
    "refused", "unreachable", "slow", "too_large", "redirected", "status", "malformed", "issuer_mismatch", "no_keys",
]  # fmt: skip

# Failures that may be temporary. Other failures require a correction by the tenant or the issuer.
PASSING: frozenset[FetchFault] = frozenset({"unreachable", "slow"})
_REASONS: dict[str, FetchFault] = {
    "resolve": "unreachable",
    "connect": "unreachable",
    "tls": "unreachable",
    "timeout": "slow",
    "too_large": "too_large",
}


@dataclass(frozen=True, slots=True)
class FetchFailed:
    """The result of a failed fetch: the keys could not be fetched or read."""

    fault: FetchFault


class _Fault(Exception):
    def __init__(self, fault: FetchFault) -> None:
        self.fault: FetchFault = fault
        super().__init__(fault)


def fetch_keys(
    egress: EgressClient, provider: IdentityProvider, local_addresses: frozenset[str]
) -> Sequence[PublicJwk] | FetchFailed:
    """Return the issuer's usable keys, or the reason why the keys could not be fetched.

    Sends one or two requests. Together they take at most 2.5 seconds, including name resolution.
    """
    deadline = time.monotonic() + FETCH_SECONDS_MAX
    try:
        address = provider.jwks_uri or _discover(egress, provider, local_addresses, deadline)
        return _read_keys(_get(egress, address, deadline))
    except _Fault as failed:
        return FetchFailed(failed.fault)


def _discover(
    egress: EgressClient, provider: IdentityProvider, local_addresses: frozenset[str], deadline: float
) -> str:
    body = _get(egress, provider.issuer.rstrip("/") + _DISCOVERY, deadline)
    try:
        document: Any = read_foreign_json(body)
    except ValueError as error:
        raise _Fault("malformed") from error
    address = document.get("jwks_uri") if isinstance(document, dict) else None
    if not isinstance(address, str):
        raise _Fault("malformed")
    if document.get("issuer") != provider.issuer:
        raise _Fault("issuer_mismatch")
    try:
        check_keys_address(address, local_addresses)
    except ValidationFailed as error:
        raise _Fault("refused") from error
    return address


def _get(egress: EgressClient, url: str, deadline: float) -> bytes:
    left = deadline - time.monotonic()
    if left <= 0:
        raise _Fault("slow")
    headers = {"accept": "application/json"}
    request = OutboundRequest("GET", url, headers, seconds_max=left, bytes_max=FETCH_BYTES_MAX, redirects_max=0)
    try:
        answer = egress.send(request)
    except OutboundRefused as error:
        raise _Fault("refused") from error
    except OutboundFailed as error:
        raise _Fault(_REASONS.get(error.reason, "malformed")) from error
    if 300 <= answer.status < 400:
        raise _Fault("redirected")
    if answer.status >= 500 or answer.status == 429:
        raise _Fault("unreachable")
    if answer.status != 200:
        raise _Fault("status")
    return answer.body


def _read_keys(body: bytes) -> Sequence[PublicJwk]:
    try:
        return read_key_set(body)
    except ValueError as error:
        raise _Fault("no_keys") from error
