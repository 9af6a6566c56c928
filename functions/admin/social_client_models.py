"""Field types and the response model for a tenant's OAuth client at Google, GitHub or Slack."""

from typing import Annotated, Literal

from atrium.http.models import StrictModel
from atrium.identity.social.descriptions import ProviderName
from atrium.identity.social.model import (
    CLIENT_ID_MAX,
    CLIENT_SECRET_MAX,
    REDIRECT_URI_MAX,
    REDIRECT_URIS_MAX,
    SCOPES_MAX,
    SocialClient,
)
from atrium.kernel.clock import format_time
from atrium.kernel.errors import named_pattern
from pydantic import Field, StringConstraints

type RoleName = Literal["admin", "user", "viewer"]
_PRINTABLE = named_pattern(r"^[\x21-\x7e]*$", "must be printable ASCII without spaces")
_SCOPE = named_pattern(
    r"^[\x21\x23-\x2b\x2d-\x5b\x5d-\x7e]+$", "must be printable ASCII without spaces, commas, quotes or backslashes"
)
_DOMAIN = named_pattern(r"^[a-z0-9-]+(\.[a-z0-9-]+)+$", "must be a lowercase domain name, such as `example.com`")
ClientId = Annotated[str, Field(max_length=CLIENT_ID_MAX, pattern=_PRINTABLE)]
ClientSecret = Annotated[
    str,
    Field(
        max_length=CLIENT_SECRET_MAX,
        pattern=_PRINTABLE,
        description="Client secret at the provider. It is stored encrypted",
    ),
]
RedirectUris = Annotated[
    list[Annotated[str, StringConstraints(min_length=1, max_length=REDIRECT_URI_MAX, pattern=_PRINTABLE)]],
    Field(max_length=REDIRECT_URIS_MAX, description="Allowed redirect URIs, compared exactly"),
]
ConnectionScopes = Annotated[
    list[Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=_SCOPE)]],
    Field(max_length=SCOPES_MAX, description="Scopes that connections request. Empty: the provider's default scopes"),
]
EmailDomains = Annotated[
    list[Annotated[str, StringConstraints(max_length=253, pattern=_DOMAIN)]],
    Field(max_length=50, description="Email domains that are allowed to sign in. Empty: any domain"),
]


class SocialClientAnswer(StrictModel):
    """An OAuth client at Google, GitHub or Slack, without its secret."""

    id: str
    """Id of the identity provider."""
    type: ProviderName
    """Type of the identity provider."""
    name: str
    """Name of the provider."""
    client_id: str | None
    """Client id at the provider. Null: the platform's client."""
    redirect_uris: list[str]
    """Allowed redirect URIs of sign-ins."""
    connection_scopes: list[str]
    """Scopes that connections request from the provider. Empty: the provider's default scopes."""
    email_domains: list[str]
    """Email domains that are allowed to sign in. Empty: any domain."""
    default_role: RoleName
    """Role of a new user."""
    provision_users: bool
    """Whether a user is created at the first sign-in of an unknown person."""
    enabled: bool
    """Whether people can sign in with this provider."""
    created_at: str
    """When the identity provider was created (RFC 3339, UTC)."""
    updated_at: str
    """When the identity provider was last changed (RFC 3339, UTC)."""


def render_client(client: SocialClient) -> SocialClientAnswer:
    return SocialClientAnswer(
        id=client.id,
        type=client.provider,
        name=client.name,
        client_id=client.client_id or None,
        redirect_uris=list(client.redirect_uris),
        connection_scopes=list(client.connection_scopes),
        email_domains=list(client.email_domains),
        default_role=client.default_role,
        provision_users=client.provision_users,
        enabled=client.enabled,
        created_at=format_time(client.created_at),
        updated_at=format_time(client.updated_at),
    )
