"""Parameters of an OAuth request, from a query string or a form.

A parameter must not be repeated (RFC 6749 §3.1), except `resource`. Unknown parameters are ignored.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from atrium.identity.oauth.failures import OAuthRefused

_FIELDS_MAX = 50
_SEVERAL = frozenset({"resource"})


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of a request. An empty value is treated as missing."""

    single: Mapping[str, str]
    resources: tuple[str, ...] = ()

    def get(self, name: str) -> str:
        return self.single.get(name, "")

    def need(self, name: str) -> str:
        """Return a parameter; raise `OAuthRefused` if it is missing."""
        value = self.get(name)
        if not value:
            raise OAuthRefused("invalid_request", f"{name} is missing")
        return value


def read_form(body: bytes) -> Parameters:
    """Parse a body of the type `application/x-www-form-urlencoded`.

    Raises `OAuthRefused` if the body is malformed or repeats a parameter.
    """
    try:
        return read_pairs(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_FIELDS_MAX, errors="strict"))
    except ValueError as error:
        raise OAuthRefused(
            "invalid_request", f"the body must be a form in UTF-8 with at most {_FIELDS_MAX} fields"
        ) from error


def read_pairs(pairs: Iterable[tuple[str, str]]) -> Parameters:
    """Return the parameters by name; raise `OAuthRefused` if a parameter other than `resource` is repeated."""
    single: dict[str, str] = {}
    resources: list[str] = []
    for name, value in pairs:
        if name in _SEVERAL:
            resources.append(value)
        elif name in single:
            raise OAuthRefused("invalid_request", f"the parameter `{name[:64]}` must not be repeated")
        elif value:
            single[name] = value
    return Parameters(single, tuple(resources))


def check_resources(resources: Iterable[str], issuer: str) -> None:
    """Raise `OAuthRefused` if a `resource` (RFC 8707) is not this platform's API."""
    for resource in resources:
        if resource.rstrip("/") != issuer:
            raise OAuthRefused("invalid_target", f"resource must be {issuer}")
