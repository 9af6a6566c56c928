"""Validates the URLs of issuers and of their key sets, without a request.

The IP addresses of a host are checked when a request is sent (`atrium.egress`). `http` and private addresses are
allowed only for `local_addresses`, which are set only in the local stack.
"""

import json
from ipaddress import ip_address
from urllib.parse import urlsplit

from atrium.egress.addresses import is_public
from atrium.egress.destination import Rules, read_url
from atrium.egress.failures import OutboundRefused
from atrium.kernel.crypto import decode_base64url
from atrium.kernel.errors import ValidationFailed, invalid_field

_LOCAL_NAMES = frozenset({"localhost"})


def check_issuer(issuer: str, local_addresses: frozenset[str]) -> None:
    """Raise `ValidationFailed` if an issuer's URL is not valid."""
    if "?" in issuer or "#" in issuer:
        raise invalid_field("issuer", "must be a URL without a query and a fragment")
    _check("issuer", issuer, local_addresses)


def check_keys_address(address: str, local_addresses: frozenset[str]) -> None:
    """Raise `ValidationFailed` if the URL of a key set is not valid.

    An empty URL is valid. The URL is then read from the issuer's discovery document.
    """
    if address:
        _check("jwks_uri", address, local_addresses)


def may_be_issuer(text: str, local_addresses: frozenset[str]) -> bool:
    """Return whether a token's `iss` can be the issuer of a registered provider. Does not read the table."""
    try:
        check_issuer(text, local_addresses)
    except ValidationFailed:
        return False
    return True


def read_unverified_issuer(token: str) -> str:
    """Return the unverified issuer of a token, or "" if the token is malformed or has no issuer."""
    return read_unverified_claim(token, "iss")


def read_unverified_claim(token: str, claim: str) -> str:
    """Return an unverified claim of a token, or "" if the token is malformed or the claim is not a string."""
    parts = token.split(".")
    if len(parts) != 3:
        return ""
    try:
        payload = json.loads(decode_base64url(parts[1]))
    except (ValueError, RecursionError):
        return ""
    found = payload.get(claim) if isinstance(payload, dict) else None
    return found if isinstance(found, str) else ""


def _check(field: str, url: str, local_addresses: frozenset[str]) -> None:
    try:
        there = read_url(url, Rules())
    except OutboundRefused as refused:
        raise invalid_field(field, str(refused)) from refused
    if there.host in local_addresses or (local_addresses and there.host in _LOCAL_NAMES):
        return
    if urlsplit(url).scheme != "https":
        raise invalid_field(field, "must be an https URL")
    if there.port != 443:
        raise invalid_field(field, "must use port 443")
    if there.host in _LOCAL_NAMES or (_is_numeric(there.host) and not is_public(there.host)):
        raise invalid_field(field, "must have a host on the public internet")


def _is_numeric(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
