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
    name: Claim = "name"
    role: Claim | None = None


class IdentityProviderFields(StrictModel):
    """What both creation and change take. Each type has fields of its own; those of the other are refused."""

    client_id: OrNone[ClientId] = None
    client_secret: OrNone[ClientSecret] = None
    redirect_uris: RedirectUris = Field(default_factory=list)
    connection_scopes: ConnectionScopes = Field(default_factory=list)
    email_domains: EmailDomains = Field(default_factory=list)
    jwks_uri: OrNone[KeysAddress] = None
    algorithms: Algorithms = Field(default_factory=lambda: list(ALGORITHMS_DEFAULT))
    claim_mapping: ClaimNames = Field(default_factory=ClaimNames)
    role_mapping: RoleMapping = Field(default_factory=dict)
    default_role: RoleName = "user"
    provision_users: bool = True
    enabled: bool = True
    assume_email_verified: Annotated[
        bool, Field(description="The issuer verifies emails, though its tokens lack `email_verified`")
    ] = False


class IdentityProviderBody(IdentityProviderFields):
    """A new identity provider; `oidc` needs `issuer` and `audience`. Without `name` it is called by its issuer or type.

    Without `client_id` and `client_secret`, Google, GitHub and Slack are asked as the platform's client.
    """

    type: Literal["oidc", "google", "github", "slack"] = "oidc"
    issuer: Issuer = ""
    audience: Audience = ""
    name: Name = ""


class IdentityProviderPatch(IdentityProviderFields):
    """Any part of an identity provider; what is absent stays."""

    issuer: Issuer = ""
    audience: Audience = ""
    name: Name = ""


class IdentityProviderAnswer(StrictModel):
    """An identity provider as it is now."""

    id: str
    type: Literal["oidc"] = "oidc"
    name: str
    issuer: str
    audience: str
    jwks_uri: str | None
    algorithms: list[str]
    claim_mapping: ClaimNames
    role_mapping: dict[str, RoleName]
    default_role: RoleName
    provision_users: bool
    enabled: bool
    assume_email_verified: bool
    created_at: str
    updated_at: str


class KeysAnswer(StrictModel):
    """The issuer's keys: how many are known, when they were fetched and asked for last, and what failed then."""

    count: int
    fetched_at: str | None
    tried_at: str | None
    fault: FetchFault | None


class IdentityProviderDetail(IdentityProviderAnswer):
    """An identity provider with the state of its keys, which are fetched when its first token comes."""

    keys: KeysAnswer


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
