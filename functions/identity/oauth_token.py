"""`POST /oauth/token`, `/oauth/revoke` and `/oauth/introspect`, with form requests and JSON responses."""

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
    "client_id": "Id of the client. Required unless it is sent as Authorization: Basic",
    "client_secret": "Secret of a confidential client. Required unless it is sent as Authorization: Basic",
}

_GRANT_FORM = {
    "grant_type": "client_credentials, authorization_code or refresh_token",
    "code": "For authorization_code: the authorization code",
    "redirect_uri": "For authorization_code: the redirect URI that received the code",
    "code_verifier": "For authorization_code: the PKCE verifier of code_challenge",
    "refresh_token": "For refresh_token: the most recent refresh token",
    "scope": "A subset of the granted scopes, separated by spaces",
    "resource": "This platform's URL (RFC 8707)",
    **_CLIENT,
}
_TOKEN_FORM = {"token": "An access token or a refresh token", "token_type_hint": "Ignored", **_CLIENT}


class OAuthTokens(StrictModel):
    """A successful token response (RFC 6749 §5.1)."""

    access_token: str
    """Access token for `Authorization: Bearer`."""
    token_type: Literal["Bearer"]
    """Always `Bearer`."""
    expires_in: int
    """Seconds until the access token expires."""
    scope: str
    """Granted scopes, separated by spaces."""
    refresh_token: str | None = None
    """Refresh token, which is valid once. Absent for `client_credentials`."""
    id_token: str | None = None
    """OpenID Connect id token. Absent unless the scope `openid` was granted."""


class Introspection(StrictModel):
    """The state of a token (RFC 7662). For an inactive token, only `active` is set."""

    active: bool
    """Whether the token is active. If false, all other members are absent."""
    token_type: str | None = None
    """Type of the token: `Bearer` for an access token, `refresh_token` for a refresh token."""
    sub: str | None = None
    """Id of the user or client."""
    username: str | None = None
    """Email address of the user. Absent for a client."""
    client_id: str | None = None
    """Id of the client to which the token was issued."""
    scope: str | None = None
    """Scopes of the token, separated by spaces."""
    iss: str | None = None
    """Issuer of the token."""
    aud: str | None = None
    """Audience of the token."""
    iat: int | None = None
    """When the token was issued (seconds since 1970)."""
    nbf: int | None = None
    """When the token becomes valid (seconds since 1970)."""
    exp: int | None = None
    """When the token expires (seconds since 1970)."""
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

    Issues tokens for the grant types `client_credentials`, `authorization_code` and `refresh_token` (RFC 6749). A
    refresh token is valid once.
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

    Revokes a token and the login to which the token belongs (RFC 7009). Also returns 200 if the token is unknown or no
    longer valid.
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

    Returns whether a token of the same tenant is active, and its scopes and other claims (RFC 7662). Only confidential
    clients can call this route. Public clients receive the error `unauthorized_client`.
    """
    server = open_server(request)

    def work(parameters: Parameters) -> Response:
        client, tenant = server.authenticate(parameters)
        if client.type != "confidential":
            raise OAuthRefused("unauthorized_client", "only a confidential client can introspect tokens")
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
