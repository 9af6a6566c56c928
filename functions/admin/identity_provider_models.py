"""Request and response models of identity providers: OIDC issuers, and clients at Google, GitHub and Slack."""

from typing import Annotated, Any, Literal

from atrium.http.fields import Name, OrNone
from atrium.http.models import StrictModel
from atrium.identity.providers.fetching import FetchFault
from atrium.identity.providers.key_sets import KeySet
from atrium.identity.providers.model import (
    ALGORITHMS,
    ALGORITHMS_DEFAULT,
    AUDIENCE_MAX,
    CLAIM_MAX,
    ISSUER_MAX,
    NAME_MAX,
    ROLES_MAX,
    Algorithm,
    ClaimMapping,
    IdentityProvider,
)
from atrium.identity.social.model import SocialClient
from atrium.identity.social.store import AnyProvider
from atrium.kernel.clock import format_time
from atrium.kernel.errors import invalid_field, named_pattern
from pydantic import Field, StringConstraints

from functions.admin.social_client_models import (
    ClientId,
    ClientSecret,
    ConnectionScopes,
    EmailDomains,
    RedirectUris,
    RoleName,
    SocialClientAnswer,
    render_client,
)

Issuer = Annotated[
    str, Field(min_length=1, max_length=ISSUER_MAX, description="Issuer of the tokens, equal to the claim `iss`")
]
Audience = Annotated[
    str,
    Field(
        min_length=1,
        max_length=AUDIENCE_MAX,
        pattern=named_pattern(r"^[\x21-\x7e]+$", "must be printable ASCII without spaces"),
        description=(
            "Audience of the tokens, equal to the claim `aud`. Other tenants cannot register an audience that contains "
            "your tenant's id"
        ),
    ),
]
KeysAddress = Annotated[
    str,
    Field(
        max_length=ISSUER_MAX, description="URL of the public keys. Null: the URL from the issuer's discovery document"
    ),
]
Algorithms = Annotated[list[Algorithm], Field(min_length=1, max_length=len(ALGORITHMS))]
Claim = Annotated[str, Field(min_length=1, max_length=CLAIM_MAX)]
RoleMapping = Annotated[
    dict[Annotated[str, StringConstraints(min_length=1, max_length=CLAIM_MAX)], RoleName], Field(max_length=ROLES_MAX)
]


class ClaimNames(StrictModel):
    """Names of the token claims with the user's email address, name and role. Dots separate nested members."""

    email: Claim = "email"
    """Claim with the user's email address. Dots separate nested members. Default `email`."""
    name: Claim = "name"
    """Claim with the user's name. Default `name`."""
    role: Claim | None = None
    """Claim with the user's role, mapped by `role_mapping`. Null: the stored role of the user applies."""


class IdentityProviderFields(StrictModel):
    """The fields that create and update requests share. Fields of another provider type are rejected."""

    client_id: OrNone[ClientId] = None
    """Client id at the provider (Google, GitHub, Slack). Null or absent: the platform's client."""
    client_secret: OrNone[ClientSecret] = None
    """Client secret at the provider, at most 1,024 characters. Stored encrypted and never returned. Null or absent: the
    platform's client.
    """
    redirect_uris: RedirectUris = Field(default_factory=list)
    """Allowed redirect URIs of sign-ins, compared exactly. At most 10. Only for Google, GitHub and Slack."""
    connection_scopes: ConnectionScopes = Field(default_factory=list)
    """Scopes that connections request from the provider, at most 30. Empty: the provider's default scopes."""
    email_domains: EmailDomains = Field(default_factory=list)
    """Email domains that are allowed to sign in, at most 50. Empty: any domain."""
    jwks_uri: OrNone[KeysAddress] = None
    """URL of the issuer's public keys. Null or absent: the URL from the discovery document. Only for `oidc`."""
    algorithms: Algorithms = Field(default_factory=lambda: list(ALGORITHMS_DEFAULT))
    """Accepted signature algorithms. Default `RS256`, `ES256`. Only for `oidc`."""
    claim_mapping: ClaimNames = Field(default_factory=ClaimNames)
    """Names of the claims that identify a user. Only for `oidc`."""
    role_mapping: RoleMapping = Field(default_factory=dict)
    """Mapping of values of the role claim to roles, at most 50 entries. Only for `oidc`."""
    default_role: RoleName = "user"
    """Role of a new user if no mapping applies. Default `user`."""
    provision_users: bool = True
    """Whether a user is created at the first sign-in of an unknown person. Default true."""
    enabled: bool = True
    """Whether sign-ins and tokens of the provider are accepted. Default true."""
    assume_email_verified: bool = False
    """Whether email addresses are trusted if the claim `email_verified` is missing. Default false. Only for `oidc`."""


class IdentityProviderBody(IdentityProviderFields):
    """An identity provider to create. `oidc` requires `issuer` and `audience`.

    Without `client_id` and `client_secret`, sign-ins at Google, GitHub and Slack use the platform's client.
    """

    type: Literal["oidc", "google", "github", "slack"] = "oidc"
    """`oidc` is the tenant's own token issuer. The other types enable sign-in with that provider. Default `oidc`."""
    issuer: Issuer = ""
    """Issuer of the tokens, equal to the claim `iss`, at most 512 characters. Required for `oidc`."""
    audience: Audience = ""
    """Audience of the tokens, equal to the claim `aud`. Other tenants cannot register an audience that contains your
    tenant's id. Required for `oidc`.
    """
    name: Name = ""
    """Name of the provider, at most 100 visible characters. Default: the issuer or type of the provider."""


class IdentityProviderPatch(IdentityProviderFields):
    """The fields of an identity provider to change. Absent fields are not changed."""

    issuer: Issuer = ""
    """Issuer of the tokens, equal to the claim `iss`, at most 512 characters. Only for `oidc`."""
    audience: Audience = ""
    """Audience of the tokens, equal to the claim `aud`, at most 255 characters. Only for `oidc`."""
    name: Name = ""
    """Name of the provider, at most 100 visible characters."""


class IdentityProviderAnswer(StrictModel):
    """An OIDC identity provider of the tenant: its issuer, audience, keys and claim mapping."""

    id: str
    """Id of the identity provider."""
    type: Literal["oidc"] = "oidc"
    """Always `oidc`: the tenant's own token issuer."""
    name: str
    """Name of the provider."""
    issuer: str
    """Issuer of the tokens, equal to the claim `iss`."""
    audience: str
    """Audience of the tokens, equal to the claim `aud`."""
    jwks_uri: str | None
    """URL of the issuer's public keys. Null: the URL from the discovery document."""
    algorithms: list[str]
    """Accepted signature algorithms."""
    claim_mapping: ClaimNames
    """Names of the claims that identify a user."""
    role_mapping: dict[str, RoleName]
    """Mapping of values of the role claim to roles."""
    default_role: RoleName
    """Role of a new user if no mapping applies."""
    provision_users: bool
    """Whether a user is created at the first sign-in of an unknown person."""
    enabled: bool
    """Whether the provider's tokens are accepted."""
    assume_email_verified: bool
    """Whether email addresses are trusted if the claim `email_verified` is missing."""
    created_at: str
    """When the identity provider was created (RFC 3339, UTC)."""
    updated_at: str
    """When the identity provider was last changed (RFC 3339, UTC)."""


class KeysAnswer(StrictModel):
    """State of the issuer's cached keys: number, last successful fetch, last attempt, and error of this attempt."""

    count: int
    """Number of cached public keys of the issuer."""
    fetched_at: str | None
    """When the keys were last fetched successfully (RFC 3339, UTC). Null if no fetch succeeded."""
    tried_at: str | None
    """When a fetch was last attempted (RFC 3339, UTC). Null if no fetch was attempted."""
    fault: FetchFault | None
    """Why the last attempt failed. Null if the attempt succeeded."""


class IdentityProviderDetail(IdentityProviderAnswer):
    """An OIDC identity provider with the state of its public keys."""

    keys: KeysAnswer
    """State of the issuer's public keys. The keys are fetched when the first token is verified."""


type AnyAnswer = IdentityProviderAnswer | SocialClientAnswer
type AnyDetail = IdentityProviderDetail | SocialClientAnswer

_OF_OIDC = frozenset(
    {"issuer", "audience", "jwks_uri", "algorithms", "claim_mapping", "role_mapping", "assume_email_verified"}
)
_OF_CLIENTS = frozenset({"client_id", "client_secret", "redirect_uris", "connection_scopes", "email_domains"})


def read_new(body: IdentityProviderBody) -> dict[str, Any]:
    """Return the fields of a new provider, with a default name. Raises `ValidationFailed` if a field is missing."""
    oidc = body.type == "oidc"
    fields = read_fields(body, oidc=oidc)
    if oidc:
        for name in ("issuer", "audience"):
            if name not in fields:
                raise invalid_field(name, "is required")
        return {"name": body.issuer.removeprefix("https://")[:NAME_MAX], **fields}
    return {"name": body.type, "provider": body.type, **fields}


def read_fields(body: IdentityProviderFields, *, oidc: bool) -> dict[str, Any]:
    """Return the fields that were sent, as domain types. Raises `ValidationFailed` for fields of another type."""
    sent: dict[str, Any] = {name: getattr(body, name) for name in sorted(body.model_fields_set) if name != "type"}
    foreign = [name for name in sent if name in (_OF_CLIENTS if oidc else _OF_OIDC)]
    if foreign:
        raise invalid_field(foreign[0], "is not valid for this type of identity provider")
    for name in ("redirect_uris", "connection_scopes", "email_domains"):
        if name in sent:
            sent[name] = tuple(dict.fromkeys(sent[name]))
    sent |= {name: sent[name] or "" for name in ("client_id", "client_secret", "jwks_uri") if name in sent}
    if "algorithms" in sent:
        sent["algorithms"] = tuple(dict.fromkeys(sent["algorithms"]))
    if "claim_mapping" in sent:
        names: ClaimNames = sent["claim_mapping"]
        sent["claim_mapping"] = ClaimMapping(names.email, names.name, names.role or "")
    return sent


def render_provider(provider: AnyProvider) -> AnyAnswer:
    if isinstance(provider, SocialClient):
        return render_client(provider)
    return IdentityProviderAnswer(**_fields(provider))


def render_detail(provider: IdentityProvider, known: KeySet | None) -> IdentityProviderDetail:
    keys = KeysAnswer(count=0, fetched_at=None, tried_at=None, fault=None)
    if known is not None:
        fetched_at = format_time(known.fetched_at) if known.fetched_at else None
        keys = KeysAnswer(
            count=len(known.keys), fetched_at=fetched_at, tried_at=format_time(known.tried_at), fault=known.fault
        )
    return IdentityProviderDetail(**_fields(provider), keys=keys)


def _fields(provider: IdentityProvider) -> dict[str, Any]:
    mapping = provider.claim_mapping
    return {
        "id": provider.id,
        "name": provider.name,
        "issuer": provider.issuer,
        "audience": provider.audience,
        "jwks_uri": provider.jwks_uri or None,
        "algorithms": list(provider.algorithms),
        "claim_mapping": ClaimNames(email=mapping.email, name=mapping.name, role=mapping.role or None),
        "role_mapping": dict(provider.role_mapping),
        "default_role": provider.default_role,
        "provision_users": provider.provision_users,
        "enabled": provider.enabled,
        "assume_email_verified": provider.assume_email_verified,
        "created_at": format_time(provider.created_at),
        "updated_at": format_time(provider.updated_at),
    }
