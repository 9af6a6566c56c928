"""Sends requests to an OAuth provider: exchanges a code or refresh token for tokens, and reads protected resources.

A provider reports an error with the status, with the member `error` in a response with status 200 (GitHub), or with
`ok: false` (Slack). Each error is translated to `ProviderRefused`, or to `ProviderFailed` if a retry may succeed.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode

from atrium.egress.client import EgressClient
from atrium.egress.exchange import OutboundRequest, OutboundResponse
from atrium.egress.failures import OutboundFailed, OutboundRefused
from atrium.identity.social.descriptions import Endpoints
from atrium.identity.social.model import ClientCredentials
from atrium.kernel.errors import ProviderFailed, ProviderRefused
from atrium.kernel.foreign_json import read_foreign_json
from atrium.kernel.media_types import read_media_type

CALL_SECONDS_MAX = 5.0
CALL_BYTES_MAX = 262_144
EXPIRES_IN_MAX = 10 * 365 * 86_400
_FORM_TYPE = "application/x-www-form-urlencoded"
# The error codes with which providers refuse a refresh token that is invalid, expired or revoked.
_TOKEN_ERRORS = frozenset({
    "invalid_grant", "bad_refresh_token", "invalid_refresh_token", "token_revoked", "token_expired", "account_inactive",
})  # fmt: skip
_CODE = re.compile(r"[a-z][a-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True)
class Grant:
    """The tokens that a provider issued, hidden from `repr`.

    `expires_in` is the lifetime of the access token in seconds, or None if it is unknown or unlimited.
    """

    access_token: str = field(repr=False)
    refresh_token: str = field(default="", repr=False)
    id_token: str = field(default="", repr=False)
    expires_in: int | None = None
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProviderCalls:
    """Sends the token requests of one OAuth client to one provider."""

    egress: EgressClient
    endpoints: Endpoints
    client: ClientCredentials

    def exchange_code(self, code: str, *, redirect_uri: str, verifier: str) -> Grant:
        """Return the tokens for a code; raise `ProviderRefused` if the code is invalid, or `ProviderFailed`."""
        fields = {"code": code, "redirect_uri": redirect_uri, "code_verifier": verifier}
        return self._request_tokens({"grant_type": "authorization_code", **fields})

    def refresh(self, refresh_token: str) -> Grant:
        """Return new tokens for a refresh token.

        Raises `ProviderRefused` if the provider refuses the token, and `ProviderFailed` for all other errors, such as a
        wrong client secret.
        """
        return self._request_tokens({"grant_type": "refresh_token", "refresh_token": refresh_token}, _TOKEN_ERRORS)

    def _request_tokens(self, fields: Mapping[str, str], refusals: frozenset[str] | None = None) -> Grant:
        own = {"client_id": self.client.client_id, "client_secret": self.client.client_secret}
        headers = {"accept": "application/json", "content-type": _FORM_TYPE}
        answer = call(self.egress, "POST", self.endpoints.token, headers, urlencode({**fields, **own}).encode())
        found = read_answer(answer, refusals)
        # The response to a refresh may omit the member `tokens_in`. If `tokens_in` is empty, there is no such member.
        inner = found.get(self.endpoints.tokens_in)
        return _read_grant(inner if isinstance(inner, Mapping) else found, self.endpoints)


def read_protected(egress: EgressClient, url: str, access_token: str) -> Any:
    """Read a protected resource and return the JSON object or list; raise `ProviderRefused` or `ProviderFailed`."""
    headers = {"accept": "application/json", "authorization": f"Bearer {access_token}"}
    answer = call(egress, "GET", url, headers)
    if answer.body.lstrip()[:1] == b"[" and answer.status == 200:
        return _parse(answer)
    return read_answer(answer)


def call(
    egress: EgressClient, method: str, url: str, headers: Mapping[str, str], body: bytes = b""
) -> OutboundResponse:
    """Send a request and return the response.

    Raises `ProviderFailed` if the request fails, or if the status is 429, 3xx or 5xx.
    """
    request = OutboundRequest(
        method, url, headers, body, seconds_max=CALL_SECONDS_MAX, bytes_max=CALL_BYTES_MAX, redirects_max=0
    )
    try:
        answer = egress.send(request)
    except (OutboundRefused, OutboundFailed) as error:
        raise ProviderFailed(internal=f"provider: {error.reason}") from error
    if answer.status >= 500 or answer.status == 429 or 300 <= answer.status < 400:
        raise ProviderFailed(internal=f"provider: status {answer.status}")
    return answer


def read_answer(answer: OutboundResponse, refusals: frozenset[str] | None = None) -> Mapping[str, Any]:
    """Return the JSON object of a response.

    Raises `ProviderRefused` with the provider's error code if the response reports an error, and `ProviderFailed` if
    the response is malformed, or if the code is not in `refusals`.
    """
    found = _parse(answer)
    if not isinstance(found, Mapping):
        raise ProviderFailed(internal="provider: not an object")
    if found.get("error") or found.get("ok") is False or answer.status != 200:
        code = _text(found, "error")
        if refusals is not None and code not in refusals:
            raise ProviderFailed(internal=refused_by(code).internal)
        raise refused_by(code)
    return found


def refused_by(code: str) -> ProviderRefused:
    """Return a `ProviderRefused` error with the provider's error code.

    A malformed code and all other texts of the provider are omitted.
    """
    known = code if _CODE.fullmatch(code) else ""
    return ProviderRefused(
        f"The OAuth provider refused the request: {known}" if known else None, internal=f"provider: {known}"
    )


def _parse(answer: OutboundResponse) -> Any:
    """Parse a JSON or form response. GitHub may send a form although the request accepts only JSON."""
    if read_media_type(answer.headers.get("content-type", ""))[0] == _FORM_TYPE:
        try:
            return dict(parse_qsl(answer.body.decode(), max_num_fields=50))
        except ValueError as error:
            raise ProviderFailed(internal="provider: malformed form") from error
    try:
        return read_foreign_json(answer.body)
    except ValueError as error:
        raise ProviderFailed(internal="provider: not JSON") from error


def _read_grant(found: Mapping[str, Any], endpoints: Endpoints) -> Grant:
    access_token = found.get("access_token")
    if not isinstance(access_token, str) or not access_token:
        raise ProviderFailed(internal="provider: no access token")
    scope = found.get("scope")
    separated = scope.replace(endpoints.scope_separator, " ").replace(",", " ") if isinstance(scope, str) else ""
    return Grant(
        access_token=access_token,
        refresh_token=_text(found, "refresh_token"),
        id_token=_text(found, "id_token"),
        expires_in=_seconds(found.get("expires_in")),
        scopes=tuple(dict.fromkeys(separated.split())),
    )


def _text(found: Mapping[str, Any], name: str) -> str:
    value = found.get(name)
    return value if isinstance(value, str) else ""


def _seconds(value: Any) -> int | None:
    if isinstance(value, str) and value.isdecimal() and len(value) < 10:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        return None
    return min(value, EXPIRES_IN_MAX)
