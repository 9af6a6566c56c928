"""Metadata for OAuth clients: RFC 8414, OpenID Connect Discovery and RFC 9728."""

from atrium.http.issuing import issuer_of
from atrium.http.models import StrictModel
from atrium.identity.clients.model import GRANT_TYPES, OIDC_SCOPES
from atrium.identity.scopes import KEY_SCOPES_DEFAULT, TENANT_SCOPES
from fastapi import APIRouter, Request, Response

router = APIRouter(tags=["oauth"])
KEPT_SECONDS = 300
_METHODS = ["client_secret_basic", "client_secret_post"]


class ServerMetadata(StrictModel):
    """Metadata of the authorization server (RFC 8414, OpenID Connect Discovery)."""

    issuer: str
    """Issuer of the tokens."""
    authorization_endpoint: str
    """URL of the authorization endpoint."""
    token_endpoint: str
    """URL of the token endpoint."""
    revocation_endpoint: str
    """URL of the revocation endpoint."""
    introspection_endpoint: str
    """URL of the introspection endpoint."""
    jwks_uri: str
    """URL of the public keys that verify tokens."""
    scopes_supported: list[str]
    """Scopes that can be requested."""
    response_types_supported: list[str]
    """Supported response types: `code`."""
    response_modes_supported: list[str]
    """Supported response modes: `query`."""
    grant_types_supported: list[str]
    """Grant types of the token endpoint."""
    code_challenge_methods_supported: list[str]
    """Supported PKCE methods: `S256`."""
    token_endpoint_auth_methods_supported: list[str]
    """Client authentication methods of the token endpoint."""
    revocation_endpoint_auth_methods_supported: list[str]
    """Client authentication methods of the revocation endpoint."""
    introspection_endpoint_auth_methods_supported: list[str]
    """Client authentication methods of the introspection endpoint."""
    authorization_response_iss_parameter_supported: bool
    """Whether authorization responses contain `iss` (RFC 9207)."""
    subject_types_supported: list[str]
    """Supported subject types: `public`."""
    id_token_signing_alg_values_supported: list[str]
    """Signature algorithms of id tokens."""
    claims_supported: list[str]
    """Claims that an id token can contain."""
    prompt_values_supported: list[str]
    """Supported values of the parameter `prompt`."""
    request_parameter_supported: bool
    """Whether the parameter `request` is supported."""
    request_uri_parameter_supported: bool
    """Whether the parameter `request_uri` is supported."""
    claims_parameter_supported: bool
    """Whether the parameter `claims` is supported."""
    service_documentation: str
    """URL of the API documentation."""


class ResourceMetadata(StrictModel):
    """Metadata of this platform's API as a protected resource (RFC 9728)."""

    resource: str
    """URL of this API."""
    authorization_servers: list[str]
    """Authorization servers that issue tokens for this API."""
    jwks_uri: str
    """URL of the public keys that verify tokens."""
    scopes_supported: list[str]
    """Scopes for common use. The authorization server's metadata lists all scopes."""
    bearer_methods_supported: list[str]
    """Supported methods of sending tokens: `header`."""
    resource_name: str
    """Name of this API."""
    resource_documentation: str
    """URL of the API documentation."""


@router.get("/.well-known/oauth-authorization-server")
async def get_server_metadata(request: Request, response: Response) -> ServerMetadata:
    """Get the OAuth server's metadata.

    Returns the endpoints, scopes and methods of the authorization server in the format of RFC 8414.
    """
    return _describe_server(request, response)


@router.get("/.well-known/openid-configuration")
async def get_openid_configuration(request: Request, response: Response) -> ServerMetadata:
    """Get the OpenID Connect configuration.

    Returns the same document as the OAuth server's metadata, at the URL that OpenID Connect clients use.
    """
    return _describe_server(request, response)


@router.get("/.well-known/oauth-protected-resource")
async def get_resource_metadata(request: Request, response: Response) -> ResourceMetadata:
    """Get the API's OAuth metadata.

    Returns which server issues tokens for this API (RFC 9728), and the scopes for common use. The metadata of the
    authorization server lists all scopes.
    """
    issuer = issuer_of(request)
    response.headers["Cache-Control"] = f"public, max-age={KEPT_SECONDS}"
    return ResourceMetadata(
        resource=issuer,
        authorization_servers=[issuer],
        jwks_uri=f"{issuer}/.well-known/jwks.json",
        scopes_supported=list(KEY_SCOPES_DEFAULT),
        bearer_methods_supported=["header"],
        resource_name="Atrium",
        resource_documentation=f"{issuer}/docs",
    )


def _describe_server(request: Request, response: Response) -> ServerMetadata:
    issuer = issuer_of(request)
    response.headers["Cache-Control"] = f"public, max-age={KEPT_SECONDS}"
    return ServerMetadata(
        issuer=issuer,
        authorization_endpoint=f"{issuer}/oauth/authorize",
        token_endpoint=f"{issuer}/oauth/token",
        revocation_endpoint=f"{issuer}/oauth/revoke",
        introspection_endpoint=f"{issuer}/oauth/introspect",
        jwks_uri=f"{issuer}/.well-known/jwks.json",
        scopes_supported=[*TENANT_SCOPES, *OIDC_SCOPES],
        response_types_supported=["code"],
        response_modes_supported=["query"],
        grant_types_supported=list(GRANT_TYPES),
        code_challenge_methods_supported=["S256"],
        token_endpoint_auth_methods_supported=[*_METHODS, "none"],
        revocation_endpoint_auth_methods_supported=[*_METHODS, "none"],
        introspection_endpoint_auth_methods_supported=_METHODS,
        authorization_response_iss_parameter_supported=True,
        subject_types_supported=["public"],
        id_token_signing_alg_values_supported=["ES256"],
        claims_supported=["iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "email", "name", "tenant_id"],
        prompt_values_supported=["login", "consent"],
        request_parameter_supported=False,
        request_uri_parameter_supported=False,
        claims_parameter_supported=False,
        service_documentation=f"{issuer}/docs",
    )
