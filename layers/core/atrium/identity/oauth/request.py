"""The authorization request at `/oauth/authorize`.

An error is shown to the user, and the browser is not redirected to the client. Otherwise a client could register any
URL and use this endpoint to redirect users to that URL without a login (RFC 9700 §4.11.2).
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
"""The known parameters. Other parameters are ignored (RFC 6749 §3.1)."""
STATE_MAX = 2_048
NONCE_MAX = 512
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """A valid authorization request. If `redirect_sent` is set, the token request must contain the redirect URI."""

    client_id: str
    redirect_uri: str
    redirect_sent: bool
    scopes: tuple[str, ...]
    code_challenge: str
    state: str = ""
    nonce: str = ""


def choose_redirect(parameters: Parameters, client: Client) -> str:
    """Return the requested redirect URI, or the only registered redirect URI if the request has none.

    Raises `OAuthRefused` if the URI is not registered.
    """
    wanted = parameters.get("redirect_uri")
    if not wanted and len(client.redirect_uris) == 1:
        return client.redirect_uris[0]
    if not is_registered(wanted, client.redirect_uris):
        raise OAuthRefused(
            "invalid_request", "`redirect_uri` must be a redirect URI that is registered for this client"
        )
    return wanted


def read_request(parameters: Parameters, client: Client, redirect_uri: str, *, issuer: str) -> AuthorizationRequest:
    """Return the validated request; raise `OAuthRefused` if a parameter is missing or invalid."""
    _check_form(parameters, client)
    if len(parameters.get("state")) > STATE_MAX or len(parameters.get("nonce")) > NONCE_MAX:
        raise OAuthRefused(
            "invalid_request", f"state may have at most {STATE_MAX} characters, nonce at most {NONCE_MAX}"
        )
    if parameters.need("code_challenge_method") != "S256":
        raise OAuthRefused("invalid_request", "code_challenge_method must be S256")
    challenge = parameters.need("code_challenge")
    if not _CHALLENGE.fullmatch(challenge):
        raise OAuthRefused("invalid_request", "code_challenge must be a SHA-256 hash in base64url, 43 characters")
    check_resources(parameters.resources, issuer)
    if "none" in parameters.get("prompt").split():
        raise OAuthRefused(
            "login_required", "`prompt` must not be `none`, because the user must log in for each request"
        )
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
    """Return the requested scopes. If `scope` was not sent, return all tenant scopes of the client.

    Raises `OAuthRefused` for a scope that the client does not have, or if no scope remains.
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
        raise OAuthRefused("invalid_scope", "this client has no scopes that can be granted")
    return names


def read_scopes(wanted: str, *, oidc: bool) -> tuple[str, ...]:
    """Return the requested scopes that a tenant can grant, in the order of `TENANT_SCOPES`.

    Other scopes are ignored (RFC 6749 §3.3), because the response contains the granted scopes. If `oidc` is set, the
    scopes of OpenID Connect are also allowed. Raises `OAuthRefused` if no scope remains.
    """
    requested = set(wanted.split(" "))
    names = tuple(scope for scope in (*TENANT_SCOPES, *(OIDC_SCOPES if oidc else ())) if scope in requested)
    if not names:
        raise OAuthRefused(
            "invalid_scope",
            f"scope must contain at least one of {', '.join((*TENANT_SCOPES, *(OIDC_SCOPES if oidc else ())))}",
        )
    return names


def _check_form(parameters: Parameters, client: Client) -> None:
    if parameters.get("request"):
        raise OAuthRefused(
            "request_not_supported", "the parameter `request` is not supported; send each parameter in the query string"
        )
    if parameters.get("request_uri"):
        raise OAuthRefused(
            "request_uri_not_supported",
            "the parameter `request_uri` is not supported; send each parameter in the query string",
        )
    if parameters.need("response_type") != "code":
        raise OAuthRefused("unsupported_response_type", "response_type must be code")
    if parameters.get("response_mode") not in {"", "query"}:
        raise OAuthRefused("invalid_request", "response_mode must be query")
    if not client.may("authorization_code"):
        raise OAuthRefused("unauthorized_client", "this client may not use authorization_code")
