"""The model of a tenant's OAuth client at a provider. Without a registered client id, the platform's client is used."""

from dataclasses import dataclass, field
from datetime import datetime

from atrium.identity.social.descriptions import ProviderName
from atrium.kernel.ids import IdentityProviderId
from atrium.tenants.context import Role

REDIRECT_URIS_MAX = 10
REDIRECT_URI_MAX = 500
CLIENT_ID_MAX = 255
CLIENT_SECRET_MAX = 1_024
SCOPES_MAX = 30


@dataclass(frozen=True, slots=True)
class SocialClient:
    """A tenant's registered client at a provider.

    `sealed_secret` is encrypted with the tenant's key. If `client_id` is empty, the platform's client is used.
    """

    id: IdentityProviderId
    provider: ProviderName
    name: str
    redirect_uris: tuple[str, ...]
    created_at: datetime
    updated_at: datetime
    client_id: str = ""
    sealed_secret: bytes = field(default=b"", repr=False)
    connection_scopes: tuple[str, ...] = ()
    email_domains: tuple[str, ...] = ()
    default_role: Role = "user"
    provision_users: bool = False
    enabled: bool = True

    @property
    def purpose(self) -> str:
        """Return the encryption context of the secret. Each client has a different context."""
        return f"client_secret:{self.id}"


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """The client's id and secret at the provider. `repr` does not show the secret."""

    client_id: str
    client_secret: str = field(repr=False)
