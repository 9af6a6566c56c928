"""Parses and checks the URLs of outbound calls. A call uses the checked result, so that a URL is parsed only once."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from urllib.parse import quote, urljoin, urlsplit

import idna

from atrium.egress.failures import OutboundRefused

URL_MAX = 2_000
PORTS: Mapping[str, int] = {"https": 443, "http": 80}

_UNSAFE = re.compile(r"[\x00-\x20\x7f\\]")
_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*")
_SAFE_PATH = "/%:@!$&'()*+,;=~-._"


@dataclass(frozen=True, slots=True)
class HostList:
    """The hosts that a tenant's calls may reach: those in `allow` (all, if it is empty) that are not in `deny`.

    A pattern is a host, or `*.` and a host, which stands for all its subdomains.
    """

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()

    def permits(self, host: str) -> bool:
        return not _matches(self.deny, host) and (not self.allow or _matches(self.allow, host))


@dataclass(frozen=True, slots=True)
class Rules:
    """The allowed destinations: ports by scheme, and addresses that may be called on any port (local stack only)."""

    ports: Mapping[str, frozenset[int]] = field(
        default_factory=lambda: {"https": frozenset({443}), "http": frozenset({80})}
    )
    local_addresses: frozenset[str] = frozenset()
    hosts: HostList = HostList()


@dataclass(frozen=True, slots=True)
class Destination:
    """A checked destination. `host` is an ASCII name or a numeric address without brackets."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def origin(self) -> tuple[str, str, int]:
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        """Return the value of the `Host` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"


def read_url(url: str, rules: Rules) -> Destination:
    """Parse and check a URL; raise `OutboundRefused` if it is invalid or not allowed."""
    if len(url) > URL_MAX or _UNSAFE.search(url):
        raise OutboundRefused("url", f"the URL must have at most {URL_MAX} characters and no spaces or backslashes")
    try:
        parts = urlsplit(url)
        port, host = parts.port, _read_host(parts.hostname or "")
        path = quote(parts.path, safe=_SAFE_PATH) or "/"
        query = f"?{quote(parts.query, safe=_SAFE_PATH + '?')}" if parts.query else ""
    except (ValueError, idna.IDNAError):
        raise OutboundRefused(
            "url", "the URL is malformed: it must be an absolute URL with a valid host and port"
        ) from None
    if parts.scheme not in rules.ports or parts.scheme not in PORTS:
        raise OutboundRefused("scheme", f"the URL's scheme must be {' or '.join(sorted(rules.ports))}")
    if "@" in parts.netloc:
        raise OutboundRefused("url", "the URL must not contain a user name or password")
    if not rules.hosts.permits(host):
        raise OutboundRefused("host", "the tenant's setting `outbound` does not allow this host")
    return Destination(parts.scheme, host, PORTS[parts.scheme] if port is None else port, path + query)


def read_redirect(here: Destination, location: str, rules: Rules) -> Destination:
    """Resolve and check a redirect target; raise `OutboundRefused` for a redirect from https to http."""
    try:
        url = urljoin(here.url, location)
    except ValueError as error:
        raise OutboundRefused("url", "the redirect's URL is malformed") from error
    there = read_url(url, rules)
    if here.scheme == "https" and there.scheme != "https":
        raise OutboundRefused("redirect", "a redirect from https to http is not allowed")
    return there


def read_host_pattern(pattern: str) -> str:
    """Return a host pattern in its normal form; raise `ValueError` if it is invalid."""
    wildcard, host = ("*.", pattern[2:]) if pattern.startswith("*.") else ("", pattern)
    try:
        return wildcard + _read_host(host.removeprefix("[").removesuffix("]"))
    except idna.IDNAError as error:
        raise ValueError("invalid host") from error


def _matches(patterns: Iterable[str], host: str) -> bool:
    return any(host == each or (each.startswith("*.") and host.endswith(each[1:])) for each in patterns)


def _read_host(host: str) -> str:
    """Normalise a host; raise `ValueError` or `IDNAError` if it is invalid."""
    if ":" in host and "%" not in host:
        return str(IPv6Address(host))
    name = host.removesuffix(".")
    ascii_name = name.lower() if name.isascii() else idna.encode(name, uts46=True).decode()
    if len(ascii_name) > 253 or not _NAME.fullmatch(ascii_name):
        raise ValueError("invalid host")
    return ascii_name
