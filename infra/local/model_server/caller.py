"""Who calls, as the headers say: a key is required but never checked, and so is the API version.

The SDK sends its API key as `Authorization: Bearer …` since 2.11, older clients and curl as `x-api-key`: both count.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from infra.local.model_server.errors import ApiError

SECRET_HEADERS = frozenset({"x-api-key", "authorization", "cookie"})


@dataclass(frozen=True)
class Caller:
    """The API version asked for, and whether a beta is on."""

    version: str
    beta: bool


def identify(headers: Mapping[str, str]) -> Caller:
    """Raise 401 without a key, 400 without an `anthropic-version`."""
    if not _key(headers):
        raise ApiError(401, "x-api-key header is required")
    if "anthropic-version" not in headers:
        raise ApiError(400, "anthropic-version: header is required")
    return Caller(headers["anthropic-version"], beta="anthropic-beta" in headers)


def public_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers without credentials; of the key its last four characters, as `key-end`."""
    shown = {name: value for name, value in headers.items() if name not in SECRET_HEADERS}
    key = _key(headers)
    return {**shown, "key-end": key[-4:]} if len(key) > 8 else shown


def _key(headers: Mapping[str, str]) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return headers.get("x-api-key", "").strip() or (token.strip() if scheme.lower() == "bearer" else "")
