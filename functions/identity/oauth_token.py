"""`POST /oauth/token`, `/oauth/revoke` and `/oauth/introspect`: form bodies, JSON responses."""

from typing import Literal

from atrium.http.models import StrictModel
from atrium.identity.oauth.failures import OAuthRefused
from atrium.identity.oauth.granting import Granted
from atrium.identity.oauth.parameters import Parameters
from fastapi import APIRouter, Request
from starlette.responses import Response

from functions.identity.oauth_answers import (
    NEVER_STORED,
    REFUSALS,
    answer_json,
    answer_oauth,
    describe_form,
    oauth_endpoint,
)
from functions.identity.oauth_services import open_server

router = APIRouter(tags=["oauth"])
_CLIENT = {
    "client_id": "Unless it is in Authorization: Basic",
    "client_secret": "Likewise; a public client has none",
}

_GRANT_FORM = {
    "grant_type": "client_credentials, authorization_code or refresh_token",
    "code": "With authorization_code",
    "redirect_uri": "With authorization_code: the redirect URI that received the code",
    "code_verifier": "With authorization_code: the verifier of code_challenge (PKCE)",
    "refresh_token": "With refresh_token: the most recent refresh token",
    "scope": "A subset of the granted scopes, separated by spaces",
    "resource": "This platform's address (RFC 8707)",
    **_CLIENT,
}
_TOKEN_FORM = {"token": "An access or a refresh token", "token_type_hint": "Ignored", **_CLIENT}


class OAuthTokens(StrictModel):
    """A successful token response (RFC 6749 §5.1)."""

    access_token: str
    """Access token for `Authorization: Bearer`."""
    token_type: Literal["Bearer"]
    """Always `Bearer`."""
    expires_in: int
    """Seconds until the access token ends."""
    scope: str
    """Scopes that were granted, separated by spaces."""
    refresh_token: str | None = None
    """Refresh token; it works once. Absent with `client_credentials`."""
    id_token: str | None = None
    """OpenID Connect id token. Absent unless the scope `openid` was granted."""


class Introspection(StrictModel):
    """The state of a token (RFC 7662). For an inactive token only `active` is set."""

    active: bool
    """Whether the token works. If false, all other members are absent."""
    token_type: str | None = None
    """`Bearer` for access tokens."""
    sub: str | None = None
    """Id of the user or client."""
    username: str | None = None
    """Email address of the user. Absent for a client."""
    client_id: str | None = None
    """Client the token was issued to."""
    scope: str | None = None
    """Scopes, separated by spaces."""
    iss: str | None = None
    """Issuer."""
    aud: str | None = None
    """Audience."""
    iat: int | None = None
    """When it was issued (seconds since 1970)."""
    nbf: int | None = None
    """From when it is valid (seconds since 1970)."""
    exp: int | None = None
    """When it ends (seconds since 1970)."""
    jti: str | None = None
    """Id of the token."""
    tenant_id: str | None = None
    """Tenant of the token."""


@router.post(
    "/oauth/token",
    response_model=OAuthTokens,
    responses=REFUSALS,
    openapi_extra=describe_form("grant_type", _GRANT_FORM),
)
@oauth_endpoint
async def issue_oauth_tokens(request: Request) -> Response:
    """Issue OAuth tokens.

    Gives a client tokens: for itself (`client_credentials`), for an authorization code, or for a refresh token (RFC
    6749). A refresh token works once.
    """
    server = open_server(request)

    def work(parameters: Parameters) -> Response:
        client, tenant = server.authenticate(parameters)
        return answer_json(_render(server.grants.grant(client, tenant, parameters, server.origin_as(client))))

    return await answer_oauth(request, work)


@router.post(
    "/oauth/revoke",
    status_code=200,
    response_class=Response,
    responses=REFUSALS,
    openapi_extra=describe_form("token", _TOKEN_FORM),
)
@oauth_endpoint
async def revoke_oauth_token(request: Request) -> Response:
    """Revoke a token.

    Ends a token and the login it belongs to (RFC 7009). A token that is unknown or has ended is answered with 200
    too.
    """
    server = open_server(request)

    def work(parameters: Parameters) -> Response:
        client, tenant = server.authenticate(parameters)
        server.tokens.revoke(client, tenant, parameters.need("token"), server.origin_as(client))
        return Response(status_code=200, headers=NEVER_STORED)

    return await answer_oauth(request, work)


@router.post(
    "/oauth/introspect",
    response_model=Introspection,
    responses=REFUSALS,
    openapi_extra=describe_form("token", _TOKEN_FORM),
)
@oauth_endpoint
async def introspect_oauth_token(request: Request) -> Response:
    """Introspect a token.

    Tells a confidential client of the tenant whether a token of the same tenant works, and what it may do (RFC 7662).
    A public client is refused with `unauthorized_client`.
    """
    server = open_server(request)

    def work(parameters: Parameters) -> Response:
        client, tenant = server.authenticate(parameters)
        if client.type != "confidential":
            raise OAuthRefused("unauthorized_client", "a client without a secret may not introspect")
        found = server.tokens.introspect(tenant, parameters.need("token"))
        return answer_json({name: value for name, value in found.items() if value is not None})

    return await answer_oauth(request, work)


def _render(granted: Granted) -> dict[str, object]:
    answer: dict[str, object] = {
        "access_token": granted.access_token,
        "token_type": "Bearer",
        "expires_in": granted.expires_in,
        "scope": granted.scope,
    }
    if granted.refresh_token:
        answer["refresh_token"] = granted.refresh_token
    if granted.id_token:
        answer["id_token"] = granted.id_token
    return answer
