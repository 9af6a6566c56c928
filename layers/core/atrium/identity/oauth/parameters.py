"""Parameters of an OAuth call, from a query or a form: each once (RFC 6749 §3.1), unknown ones ignored."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from atrium.identity.oauth.failures import OAuthRefused

_FIELDS_MAX = 50
_SEVERAL = frozenset({"resource"})


@dataclass(frozen=True, slots=True)
class Parameters:
    """What was sent; an empty value is as good as none."""

    single: Mapping[str, str]
    resources: tuple[str, ...] = ()

    def get(self, name: str) -> str:
        return self.single.get(name, "")

    def need(self, name: str) -> str:
        """Return a parameter; `OAuthRefused` if it is missing."""
        value = self.get(name)
        if not value:
            raise OAuthRefused("invalid_request", f"{name} is missing")
        return value


def read_form(body: bytes) -> Parameters:
    """Read `application/x-www-form-urlencoded`; `OAuthRefused` if it is none or says something twice."""
    try:
        return read_pairs(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_FIELDS_MAX, errors="strict"))
    except ValueError as error:
        raise OAuthRefused("invalid_request", "the form cannot be read") from error


def read_pairs(pairs: Iterable[tuple[str, str]]) -> Parameters:
    """Sort pairs by name; `OAuthRefused` if one stands twice."""
    single: dict[str, str] = {}
    resources: list[str] = []
    for name, value in pairs:
        if name in _SEVERAL:
            resources.append(value)
        elif name in single:
            raise OAuthRefused("invalid_request", f"{name[:64]} was sent twice")
        elif value:
            single[name] = value
    return Parameters(single, tuple(resources))


def check_resources(resources: Iterable[str], issuer: str) -> None:
    """Refuse a `resource` (RFC 8707) that is not this platform's API, the one that our tokens are for."""
    for resource in resources:
        if resource.rstrip("/") != issuer:
            raise OAuthRefused("invalid_target", f"the only resource here is {issuer}")
