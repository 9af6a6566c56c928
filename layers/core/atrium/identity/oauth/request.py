"""What a client asks a user for, at `/oauth/authorize`.

What is wrong with a request is shown to the user and never sent to the client: a client could register an address of
its own choice, and use this page to forward people there without a login (RFC 9700 §4.11.2).
"""

import re
from dataclasses import dataclass

from atrium.identity.clients.model import OIDC_SCOPES, Client, is_registered
from atrium.identity.oauth.failures import OAuthRefused
from atrium.identity.oauth.parameters import Parameters, check_resources
from atrium.identity.scopes import TENANT_SCOPES

PARAMETERS = frozenset(
    {"client_id", "redirect_uri", "response_type", "response_mode", "scope", "state", "nonce", "prompt", "resource",
     "code_challenge", "code_challenge_method", "request", "request_uri"}
)  # fmt: skip
"""What a request may say; anything else is ignored (RFC 6749 §3.1)."""
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
    """Return where the answer goes: an address that the client has registered, or the only one."""
    wanted = parameters.get("redirect_uri")
    if not wanted and len(client.redirect_uris) == 1:
        return client.redirect_uris[0]
    if not is_registered(wanted, client.redirect_uris):
        raise OAuthRefused("invalid_request", "redirect_uri is not one that this client has registered")
    return wanted


def read_request(parameters: Parameters, client: Client, redirect_uri: str, *, issuer: str) -> AuthorizationRequest:
    """Return what is asked for; `OAuthRefused` says what is wrong."""
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
        names = tuple(scope for scope in client.scopes if scope in TENANT_SCOPES)
    else:
        names = read_scopes(wanted, oidc=oidc)
    own = set(TENANT_SCOPES) if "admin" in client.scopes else set(client.scopes) & set(TENANT_SCOPES)
    excess = [name for name in names if name not in own | set(OIDC_SCOPES)]
    if excess:
        raise OAuthRefused("invalid_scope", f"this client does not have the scope {excess[0]}")
    if not names:
        raise OAuthRefused("invalid_scope", "this client has no scope that it could be granted")
    return names


def read_scopes(wanted: str, *, oidc: bool) -> tuple[str, ...]:
    """Return those of the scopes asked for that a tenant can grant, in our order; others are ignored (RFC 6749 §3.3).

    The answer names what was granted. `OAuthRefused` if nothing is left.
    """
    asked = set(wanted.split(" "))
    names = tuple(scope for scope in (*TENANT_SCOPES, *(OIDC_SCOPES if oidc else ())) if scope in asked)
    if not names:
        raise OAuthRefused("invalid_scope", "none of the scopes is known here")
    return names


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
