"""What a client asks a user for, at `/oauth/authorize`.

First comes where the answer goes: as long as client and address are not known to belong together, nothing is sent
anywhere. Only then are the other wishes judged, and their refusals go back to the client.
"""

import re
from dataclasses import dataclass

from atrium.identity.clients.model import OIDC_SCOPES, Client
from atrium.identity.oauth.failures import OAuthRefused
from atrium.identity.oauth.parameters import Parameters, check_resources
from atrium.identity.scopes import TENANT_SCOPES

STATE_MAX = 2_048
NONCE_MAX = 512
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """A request that is sound. `redirect_sent`: the client named the address, so it must name it again."""

    client_id: str
    redirect_uri: str
    redirect_sent: bool
    scopes: tuple[str, ...]
    code_challenge: str
    state: str = ""
    nonce: str = ""


def choose_redirect(parameters: Parameters, client: Client) -> str:
    """Return where the answer goes: an address that is registered to the letter, or the only one."""
    wanted = parameters.get("redirect_uri")
    if not wanted and len(client.redirect_uris) == 1:
        return client.redirect_uris[0]
    if wanted not in client.redirect_uris:
        raise OAuthRefused("invalid_request", "redirect_uri is not one that this client has registered")
    return wanted


def read_request(parameters: Parameters, client: Client, redirect_uri: str, *, issuer: str) -> AuthorizationRequest:
    """Return what is asked for; `OAuthRefused` for the client to hear."""
    _check_form(parameters, client)
    if len(parameters.get("state")) > STATE_MAX or len(parameters.get("nonce")) > NONCE_MAX:
        raise OAuthRefused("invalid_request", "state or nonce is too long")
    if parameters.need("code_challenge_method") != "S256":
        raise OAuthRefused("invalid_request", "code_challenge_method must be S256")
    challenge = parameters.need("code_challenge")
    if not _CHALLENGE.fullmatch(challenge):
        raise OAuthRefused("invalid_request", "code_challenge is not a base64url SHA-256")
    check_resources(parameters.resources, issuer)
    if "none" in parameters.get("prompt").split():
        raise OAuthRefused("login_required", "the user logs in each time")
    return AuthorizationRequest(
        client_id=client.id,
        redirect_uri=redirect_uri,
        redirect_sent=bool(parameters.get("redirect_uri")),
        scopes=choose_scopes(parameters.get("scope"), client, oidc=True),
        code_challenge=challenge,
        state=parameters.get("state"),
        nonce=parameters.get("nonce"),
    )


def choose_scopes(wanted: str, client: Client, *, oidc: bool = False) -> tuple[str, ...]:
    """Return the scopes asked for, in our order, or all of the client's where `scope` was not sent.

    `OAuthRefused` for a scope that the client lacks, or if no scope is left.
    """
    if not wanted:
        wanted = " ".join(scope for scope in client.scopes if scope in TENANT_SCOPES)
    names = set(wanted.split(" ")) - {""}
    own = set(TENANT_SCOPES) if "admin" in client.scopes else set(client.scopes) & set(TENANT_SCOPES)
    known = own | (set(OIDC_SCOPES) if oidc else set())
    excess = sorted(names - known)
    if excess or not names:
        raise OAuthRefused("invalid_scope", "a scope is not one that this client has")
    return tuple(scope for scope in (*TENANT_SCOPES, *OIDC_SCOPES) if scope in names)


def _check_form(parameters: Parameters, client: Client) -> None:
    if parameters.get("request"):
        raise OAuthRefused("request_not_supported", "send the parameters themselves")
    if parameters.get("request_uri"):
        raise OAuthRefused("request_uri_not_supported", "send the parameters themselves")
    if parameters.need("response_type") != "code":
        raise OAuthRefused("unsupported_response_type", "response_type must be code")
    if parameters.get("response_mode") not in {"", "query"}:
        raise OAuthRefused("invalid_request", "response_mode must be query")
    if not client.may("authorization_code"):
        raise OAuthRefused("unauthorized_client", "this client may not use authorization_code")
