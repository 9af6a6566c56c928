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
    token_type: Literal["Bearer"]
    expires_in: int
    scope: str
    refresh_token: str | None = None
    id_token: str | None = None


class Introspection(StrictModel):
    """The state of a token (RFC 7662). For an inactive token only `active` is set."""

    active: bool
    token_type: str | None = None
    sub: str | None = None
    username: str | None = None
    client_id: str | None = None
    scope: str | None = None
    iss: str | None = None
    aud: str | None = None
    iat: int | None = None
    nbf: int | None = None
    exp: int | None = None
    jti: str | None = None
    tenant_id: str | None = None


@router.post(
    "/oauth/token",
    response_model=OAuthTokens,
    responses=REFUSALS,
    openapi_extra=describe_form("grant_type", _GRANT_FORM),
)
@oauth_endpoint
async def issue_oauth_tokens(request: Request) -> Response:
    """Issue tokens for client credentials, an authorization code, or a refresh token."""
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
    """Revoke a token and its login. An unknown or ended token is not an error."""
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
    """Tell a confidential client of the tenant whether a token of the tenant is active, and its scopes."""
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
