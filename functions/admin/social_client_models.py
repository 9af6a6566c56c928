"""Fields of a tenant's client at Google, GitHub or Slack, and its answer."""

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
    r"^[\x21\x23-\x2b\x2d-\x5b\x5d-\x7e]+$", "must be printable ASCII without spaces, commas, quotes and backslashes"
)
_DOMAIN = named_pattern(r"^[a-z0-9-]+(\.[a-z0-9-]+)+$", "must be a domain in lower case, as `example.com`")
ClientId = Annotated[str, Field(max_length=CLIENT_ID_MAX, pattern=_PRINTABLE)]
ClientSecret = Annotated[str, Field(max_length=CLIENT_SECRET_MAX, pattern=_PRINTABLE, description="Kept sealed")]
RedirectUris = Annotated[
    list[Annotated[str, StringConstraints(min_length=1, max_length=REDIRECT_URI_MAX, pattern=_PRINTABLE)]],
    Field(max_length=REDIRECT_URIS_MAX, description="Where flows may come back to, exactly"),
]
ConnectionScopes = Annotated[
    list[Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=_SCOPE)]],
    Field(max_length=SCOPES_MAX, description="What connections ask the provider for; none: its own least"),
]
EmailDomains = Annotated[
    list[Annotated[str, StringConstraints(max_length=253, pattern=_DOMAIN)]],
    Field(max_length=50, description="Only people with an email of these domains sign in; none: any domain"),
]


class SocialClientAnswer(StrictModel):
    """A client at Google, GitHub or Slack as it is now; its secret is never shown. `client_id` null: the platform's."""

    id: str
    """Id of the identity provider."""
    type: ProviderName
    """The provider."""
    name: str
    """Name of the provider."""
    client_id: str | None
    """Client id at the provider. Null: the platform's client."""
    redirect_uris: list[str]
    """Addresses a sign-in may return to."""
    connection_scopes: list[str]
    """Scopes that connections ask the provider for. Empty: the provider's minimum."""
    email_domains: list[str]
    """Only people with an email address in these domains sign in. Empty: any domain."""
    default_role: RoleName
    """Role of a new user."""
    provision_users: bool
    """Whether unknown people become users at their first sign-in."""
    enabled: bool
    """Whether people can sign in through it."""
    created_at: str
    """When it was created (RFC 3339, UTC)."""
    updated_at: str
    """When it was last changed (RFC 3339, UTC)."""


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
