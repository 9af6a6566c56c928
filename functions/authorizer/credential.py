"""Reads the credential of a request from the request headers, without reading the table."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from atrium.audit.model import Origin
from atrium.http.context import read_domain
from atrium.identity.key_format import looks_like_key
from atrium.kernel.crypto import sha256_hex
from atrium.kernel.errors import Unauthenticated

CREDENTIAL_BYTES_MAX = 8_192
_TOKEN = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class Credential:
    """The credential of a request, and the request's `X-Tenant-ID` (may be empty), origin, domain and base path."""

    text: str = field(repr=False)
    tenant: str
    origin: Origin = field(default_factory=Origin)
    domain: str = ""
    base_path: str = ""

    @property
    def is_key(self) -> bool:
        return looks_like_key(self.text)

    @property
    def fingerprint(self) -> str:
        """Return the cache key of the verdict. The key is a hash, so that the credential itself is not stored."""
        return sha256_hex(f"{self.text}\0{self.tenant}\0{self.domain}{self.base_path}".encode())


def read_credential(event: Mapping[str, Any]) -> Credential:
    """Return the credential of a request. Raises `Unauthenticated` if there is none or if two differ.

    A repeated header is rejected, because servers differ in which of the values they use.
    """
    headers = _read_headers(event)
    bearer = _read_bearer(_single(headers, "authorization"))
    api_key = _single(headers, "x-api-key")
    if api_key is not None and not (_is_plain(api_key) and looks_like_key(api_key)):
        raise Unauthenticated(internal="x-api-key is not an API key")
    if bearer is not None and api_key is not None and bearer != api_key:
        raise Unauthenticated(internal="the two credential headers differ")
    text = bearer if bearer is not None else api_key
    if text is None:
        raise Unauthenticated(internal="no credential")
    context = event.get("requestContext") or {}
    tenant = ",".join(headers.get("x-tenant-id", [])).strip()
    return Credential(text, tenant, _read_origin(event, headers), read_domain(context), _read_base_path(context))


def _read_base_path(context: Mapping[str, Any]) -> str:
    stage = f"/{context.get('stage', '')}"
    return stage if str(context.get("path", "")).startswith(stage + "/") else ""


def _read_headers(event: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the values of all headers, by lowercase header name."""
    found: dict[str, list[str]] = {}
    several = event.get("multiValueHeaders")
    if isinstance(several, Mapping):
        for name, values in several.items():
            found.setdefault(name.lower(), []).extend(values)
        return found
    for name, value in (event.get("headers") or {}).items():
        found.setdefault(name.lower(), []).append(value)
    return found


def _read_origin(event: Mapping[str, Any], headers: Mapping[str, list[str]]) -> Origin:
    context = event.get("requestContext") or {}
    ip = str((context.get("identity") or {}).get("sourceIp") or "")
    agent = next(iter(headers.get("user-agent", [])), "")
    return Origin("", ip, agent, str(context.get("requestId") or ""))


def _single(headers: Mapping[str, list[str]], name: str) -> str | None:
    values = headers.get(name, [])
    if len(values) > 1:
        raise Unauthenticated(internal=f"{name} was sent more than once")
    if not values:
        return None
    if len(values[0]) > CREDENTIAL_BYTES_MAX:
        raise Unauthenticated(internal=f"{name} is too long")
    return values[0]


def _read_bearer(value: str | None) -> str | None:
    if value is None:
        return None
    scheme, _, text = value.partition(" ")
    text = text.strip(" ")
    if scheme.lower() != "bearer" or not _is_plain(text):
        raise Unauthenticated(internal="Authorization is not a bearer credential")
    return text


def _is_plain(text: str) -> bool:
    return _TOKEN.fullmatch(text) is not None
