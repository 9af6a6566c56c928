"""A tenant's client at a provider: its own, or the platform's where it names none."""

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
    """What a tenant registered. `sealed_secret` opens in its vault; empty with an empty `client_id`: the platform's."""

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
        """What its secret is sealed for: a secret of another client does not open here."""
        return f"client_secret:{self.id}"


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """A client as the provider knows it; the secret is never shown by `repr`."""

    client_id: str
    client_secret: str = field(repr=False)
