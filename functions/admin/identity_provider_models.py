"""Bodies of identity providers: issuers of the tenant's own (`oidc`), and clients at Google, GitHub and Slack."""

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

Issuer = Annotated[str, Field(min_length=1, max_length=ISSUER_MAX, description="Exactly as the tokens' `iss` has it")]
Audience = Annotated[
    str,
    Field(
        min_length=1,
        max_length=AUDIENCE_MAX,
        pattern=named_pattern(r"^[\x21-\x7e]+$", "must be printable ASCII without spaces"),
        description="The tokens' `aud`. One that holds your tenant's id can be registered by nobody else.",
    ),
]
KeysAddress = Annotated[str, Field(max_length=ISSUER_MAX, description="None: the issuer's discovery document names it")]
Algorithms = Annotated[list[Algorithm], Field(min_length=1, max_length=len(ALGORITHMS))]
Claim = Annotated[str, Field(min_length=1, max_length=CLAIM_MAX)]
RoleMapping = Annotated[
    dict[Annotated[str, StringConstraints(min_length=1, max_length=CLAIM_MAX)], RoleName], Field(max_length=ROLES_MAX)
]


class ClaimNames(StrictModel):
    """Which claims say who somebody is; dots lead into objects. `role` null: the role that is kept for the user."""

    email: Claim = "email"
    """Claim with the user's email address; dots lead into objects. Default `email`."""
    name: Claim = "name"
    """Claim with the user's name. Default `name`."""
    role: Claim | None = None
    """Claim with the user's role, translated by `role_mapping`. Null: the role stored for the user."""


class IdentityProviderFields(StrictModel):
    """What both creation and change take. Each type has fields of its own; those of the other are refused."""

    client_id: OrNone[ClientId] = None
    """Client id at the provider (Google, GitHub, Slack). Null or absent: the platform's client."""
    client_secret: OrNone[ClientSecret] = None
    """Client secret at the provider, at most 1,024 characters. Stored encrypted, never shown. Null or absent: the
    platform's client.
    """
    redirect_uris: RedirectUris = Field(default_factory=list)
    """Addresses a sign-in may return to, compared exactly. At most 10. Only for Google, GitHub, Slack."""
    connection_scopes: ConnectionScopes = Field(default_factory=list)
    """Scopes that connections ask the provider for, at most 30. Empty: the provider's minimum."""
    email_domains: EmailDomains = Field(default_factory=list)
    """Only people with an email address in these domains sign in, at most 50. Empty: any domain."""
    jwks_uri: OrNone[KeysAddress] = None
    """Address of the issuer's public keys. Null or absent: taken from its discovery document. Only for `oidc`."""
    algorithms: Algorithms = Field(default_factory=lambda: list(ALGORITHMS_DEFAULT))
    """Signature algorithms that are accepted. Default `RS256`, `ES256`. Only for `oidc`."""
    claim_mapping: ClaimNames = Field(default_factory=ClaimNames)
    """Names of the claims that identify a user. Only for `oidc`."""
    role_mapping: RoleMapping = Field(default_factory=dict)
    """Role by value of the role claim, at most 50 entries. Only for `oidc`."""
    default_role: RoleName = "user"
    """Role of a new user when no mapping applies. Default `user`."""
    provision_users: bool = True
    """Whether unknown people become users at their first sign-in. Default true."""
    enabled: bool = True
    """Whether the provider is accepted. Default true."""
    assume_email_verified: Annotated[
        bool, Field(description="The issuer verifies emails, though its tokens lack `email_verified`")
    ] = False
    """Whether to trust email addresses of tokens without `email_verified`. Default false. Only for `oidc`."""


class IdentityProviderBody(IdentityProviderFields):
    """A new identity provider; `oidc` needs `issuer` and `audience`. Without `name` it is called by its issuer or type.

    Without `client_id` and `client_secret`, Google, GitHub and Slack are asked as the platform's client.
    """

    type: Literal["oidc", "google", "github", "slack"] = "oidc"
    """`oidc` is an issuer of the tenant's own; the others are sign-in at that provider. Default `oidc`."""
    issuer: Issuer = ""
    """Issuer, exactly as in the tokens' `iss`, at most 512 characters. Required for `oidc`."""
    audience: Audience = ""
    """Audience, as in the tokens' `aud`. One that contains your tenant's id cannot be registered by other tenants.
    Required for `oidc`.
    """
    name: Name = ""
    """Name of the provider, at most 100 visible characters. Default: its issuer or type."""


class IdentityProviderPatch(IdentityProviderFields):
    """Any part of an identity provider; what is absent stays."""

    issuer: Issuer = ""
    """Issuer, exactly as in the tokens' `iss`, at most 512 characters. Only for `oidc`."""
    audience: Audience = ""
    """Audience, as in the tokens' `aud`, at most 255 characters. Only for `oidc`."""
    name: Name = ""
    """Name of the provider, at most 100 visible characters."""


class IdentityProviderAnswer(StrictModel):
    """An identity provider as it is now."""

    id: str
    """Id of the identity provider."""
    type: Literal["oidc"] = "oidc"
    """Always `oidc`: an issuer of the tenant's own."""
    name: str
    """Name of the provider."""
    issuer: str
    """Issuer, exactly as in the tokens' `iss`."""
    audience: str
    """Audience, as in the tokens' `aud`."""
    jwks_uri: str | None
    """Address of the issuer's public keys. Null: taken from its discovery document."""
    algorithms: list[str]
    """Signature algorithms that are accepted."""
    claim_mapping: ClaimNames
    """Names of the claims that identify a user."""
    role_mapping: dict[str, RoleName]
    """Role by value of the role claim."""
    default_role: RoleName
    """Role of a new user when no mapping applies."""
    provision_users: bool
    """Whether unknown people become users at their first sign-in."""
    enabled: bool
    """Whether the provider's tokens are accepted."""
    assume_email_verified: bool
    """Whether email addresses of tokens without `email_verified` are trusted."""
    created_at: str
    """When it was created (RFC 3339, UTC)."""
    updated_at: str
    """When it was last changed (RFC 3339, UTC)."""


class KeysAnswer(StrictModel):
    """The issuer's keys: how many are known, when they were fetched and asked for last, and what failed then."""

    count: int
    """How many of the issuer's public keys are known."""
    fetched_at: str | None
    """When the keys were last fetched (RFC 3339, UTC). Null if never."""
    tried_at: str | None
    """When a fetch was last attempted (RFC 3339, UTC). Null if never."""
    fault: FetchFault | None
    """Why the last attempt failed. Null if it did not."""


class IdentityProviderDetail(IdentityProviderAnswer):
    """An identity provider with the state of its keys, which are fetched when its first token comes."""

    keys: KeysAnswer
    """State of the issuer's public keys, which are fetched with the first token."""


type AnyAnswer = IdentityProviderAnswer | SocialClientAnswer
type AnyDetail = IdentityProviderDetail | SocialClientAnswer

_OF_OIDC = frozenset(
    {"issuer", "audience", "jwks_uri", "algorithms", "claim_mapping", "role_mapping", "assume_email_verified"}
)
_OF_CLIENTS = frozenset({"client_id", "client_secret", "redirect_uris", "connection_scopes", "email_domains"})


def read_new(body: IdentityProviderBody) -> dict[str, Any]:
    """Return the fields of a new provider, its name among them in any case."""
    oidc = body.type == "oidc"
    fields = read_fields(body, oidc=oidc)
    if oidc:
        for name in ("issuer", "audience"):
            if name not in fields:
                raise invalid_field(name, "is required")
        return {"name": body.issuer.removeprefix("https://")[:NAME_MAX], **fields}
    return {"name": body.type, "provider": body.type, **fields}


def read_fields(body: IdentityProviderFields, *, oidc: bool) -> dict[str, Any]:
    """Return the fields that were sent, in the domain's types; `ValidationFailed` for those of the other type."""
    sent: dict[str, Any] = {name: getattr(body, name) for name in sorted(body.model_fields_set) if name != "type"}
    foreign = [name for name in sent if name in (_OF_CLIENTS if oidc else _OF_OIDC)]
    if foreign:
        raise invalid_field(foreign[0], "is not a field of this type of identity provider")
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
