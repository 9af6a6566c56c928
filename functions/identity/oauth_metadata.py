"""Metadata documents for clients: RFC 8414, OpenID Connect Discovery, and RFC 9728."""

from atrium.http.issuing import issuer_of
from atrium.http.models import StrictModel
from atrium.identity.clients.model import GRANT_TYPES, OIDC_SCOPES
from atrium.identity.scopes import KEY_SCOPES_DEFAULT, TENANT_SCOPES
from fastapi import APIRouter, Request, Response

router = APIRouter(tags=["oauth"])
KEPT_SECONDS = 300
_METHODS = ["client_secret_basic", "client_secret_post"]


class ServerMetadata(StrictModel):
    """The authorization server (RFC 8414, OpenID Connect Discovery)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    revocation_endpoint: str
    introspection_endpoint: str
    jwks_uri: str
    scopes_supported: list[str]
    response_types_supported: list[str]
    response_modes_supported: list[str]
    grant_types_supported: list[str]
    code_challenge_methods_supported: list[str]
    token_endpoint_auth_methods_supported: list[str]
    revocation_endpoint_auth_methods_supported: list[str]
    introspection_endpoint_auth_methods_supported: list[str]
    authorization_response_iss_parameter_supported: bool
    subject_types_supported: list[str]
    id_token_signing_alg_values_supported: list[str]
    claims_supported: list[str]
    prompt_values_supported: list[str]
    request_parameter_supported: bool
    request_uri_parameter_supported: bool
    claims_parameter_supported: bool
    service_documentation: str


class ResourceMetadata(StrictModel):
    """This platform's API as a protected resource (RFC 9728)."""

    resource: str
    authorization_servers: list[str]
    jwks_uri: str
    scopes_supported: list[str]
    bearer_methods_supported: list[str]
    resource_name: str
    resource_documentation: str


@router.get("/.well-known/oauth-authorization-server")
async def get_server_metadata(request: Request, response: Response) -> ServerMetadata:
    """Return the metadata of the authorization server."""
    return _describe_server(request, response)


@router.get("/.well-known/openid-configuration")
async def get_openid_configuration(request: Request, response: Response) -> ServerMetadata:
    """Return the same metadata at the address that OpenID Connect clients use."""
    return _describe_server(request, response)


@router.get("/.well-known/oauth-protected-resource")
async def get_resource_metadata(request: Request, response: Response) -> ResourceMetadata:
    """Return the metadata of this API as a protected resource, with its authorization server.

    Clients request every scope that this document lists (as the MCP authorization specification says), so it lists only
    those of everyday use. The authorization server's metadata lists all scopes.
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
