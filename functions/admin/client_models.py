"""Request and response models of the OAuth client routes."""

from typing import Annotated, Any, Literal

from atrium.http.fields import Name
from atrium.http.models import StrictModel
from atrium.identity.clients.model import REDIRECT_URI_MAX, REDIRECT_URIS_MAX, Client, GrantType, IssuedClient
from atrium.identity.keys.model import GRACE_SECONDS_MAX
from atrium.identity.scopes import KEY_SCOPES_DEFAULT, SCOPES, Scope
from atrium.kernel.clock import format_time
from pydantic import Field

RedirectUris = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=REDIRECT_URI_MAX)]], Field(max_length=REDIRECT_URIS_MAX)
]
GrantTypes = Annotated[list[GrantType], Field(min_length=1, max_length=3)]
Scopes = Annotated[list[Scope], Field(min_length=1, max_length=len(SCOPES))]


class ClientBody(StrictModel):
    """An OAuth client to create."""

    name: Name
    """Name shown to users who grant access, 1 to 100 visible characters."""
    type: Literal["confidential", "public"]
    """`confidential` clients have a secret. `public` clients (browser, mobile) have no secret."""
    redirect_uris: RedirectUris = Field(default_factory=list)
    """Allowed redirect URIs, compared exactly. At most 20. Required for `authorization_code`."""
    grant_types: GrantTypes
    """OAuth grant types that the client may use, 1 to 3."""
    scopes: Scopes = Field(default_factory=lambda: list(KEY_SCOPES_DEFAULT))
    """Scopes that the client may request. Each must be a scope of the creator. Default: `chat`, `sessions:read`,
    `sessions:write`.
    """


class ClientPatch(StrictModel):
    """The fields of an OAuth client to change. Absent fields are not changed. The type cannot be changed."""

    name: Name = Field(default_factory=str)
    """Name shown to users who grant access, 1 to 100 visible characters."""
    redirect_uris: RedirectUris = Field(default_factory=list)
    """Allowed redirect URIs, compared exactly. At most 20. Replaced as a whole."""
    grant_types: GrantTypes = Field(default_factory=list)
    """OAuth grant types that the client may use, 1 to 3. Replaced as a whole."""
    scopes: Scopes = Field(default_factory=lambda: list(KEY_SCOPES_DEFAULT))
    """Scopes that the client may request. Each must be a scope of the caller. Replaced as a whole."""


class ClientGrace(StrictModel):
    """The time for which the previous secret remains valid."""

    grace_seconds: Annotated[int, Field(ge=0, le=GRACE_SECONDS_MAX)] = 0
    """Seconds for which the previous secret remains valid, 0 to 604,800. Default 0."""


class ClientAnswer(StrictModel):
    """An OAuth client, without its secret. `client_id` has the same value as `id`."""

    id: str
    """Id of the client."""
    client_id: str
    """Same value as `id`."""
    name: str
    """Name shown to users who grant access."""
    type: Literal["confidential", "public"]
    """`confidential` clients have a secret. `public` clients have no secret."""
    redirect_uris: list[str]
    """Allowed redirect URIs."""
    grant_types: list[GrantType]
    """OAuth grant types that the client may use."""
    scopes: list[str]
    """Scopes that the client may request."""
    created_by: str | None
    """Id of the user, API key or OAuth client that created this client. Null if the creator is unknown."""
    created_at: str
    """When the client was created (RFC 3339, UTC)."""
    updated_at: str
    """When the client was last changed (RFC 3339, UTC)."""


class CreatedClient(ClientAnswer):
    """An OAuth client with its secret, which is shown only in this response."""

    client_secret: str | None
    """The client's secret, shown only in this response. Null for a public client."""


def render_client(client: Client) -> ClientAnswer:
    return ClientAnswer(**_fields(client))


def render_issued_client(issued: IssuedClient) -> CreatedClient:
    return CreatedClient(**_fields(issued.client), client_secret=issued.secret or None)


def _fields(client: Client) -> dict[str, Any]:
    return {
        "id": client.id,
        "client_id": client.id,
        "name": client.name,
        "type": client.type,
        "redirect_uris": list(client.redirect_uris),
        "grant_types": list(client.grant_types),
        "scopes": list(client.scopes),
        "created_by": client.created_by or None,
        "created_at": format_time(client.created_at),
        "updated_at": format_time(client.updated_at),
    }
