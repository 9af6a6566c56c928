"""The verified caller and tenant of a call.

`atrium.http.context` creates these values once per call from the authorizer's context. Other modules receive the values
as arguments and never decode a token.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from atrium.kernel.errors import ModelKeyRequired, ScopeRequired
from atrium.kernel.ids import TenantId
from atrium.tenants.model import SCREENING_DEFAULT, ScreeningMode, Tenant
from atrium.tenants.plans import PlanName

type PrincipalType = Literal["user", "key", "client", "platform"]
type Role = Literal["admin", "user", "viewer"]
type KeySource = Literal["tenant", "platform"]

ROLES: tuple[Role, ...] = get_args(Role.__value__)


@dataclass(frozen=True, slots=True)
class Principal:
    """A verified caller. `id` is a `usr_`, `key_` or `cli_` id. Only users have a `role`.

    If an API key replaced another key in a rotation, `id` is the id of the first key in the line of rotations, and
    `credential_id` is the id of the key itself. `client_id` is the OAuth client to which a user's token was issued, and
    is empty for a login without a client. An unknown role becomes None. The scope `platform` is removed from a tenant's
    credential.
    """

    type: PrincipalType
    id: str
    name: str
    scopes: frozenset[str]
    role: Role | None = None
    credential_id: str = ""
    client_id: str = ""

    def __post_init__(self) -> None:
        if self.type != "platform":
            object.__setattr__(self, "scopes", self.scopes - {"platform"})
        if self.role not in ROLES:
            object.__setattr__(self, "role", None)

    def has(self, scope: str) -> bool:
        """Return whether the principal has a scope.

        The scope `admin` includes all other scopes of a tenant. The scope `platform` includes all scopes.
        """
        if scope in self.scopes or "platform" in self.scopes:
            return True
        return scope != "platform" and "admin" in self.scopes

    def require(self, scope: str) -> None:
        if not self.has(scope):
            who = "the platform's operator" if scope == "platform" else "an administrator of the tenant"
            raise ScopeRequired(f"This call needs the scope {scope}, which {who} can grant.")

    @property
    def sees_all(self) -> bool:
        """Return whether the principal may see sessions and runs of other principals of the tenant."""
        return self.has("admin")


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller of a request: principal, network origin and request id.

    `login_id` is the token family of a user's access token. It is empty for other credentials.
    """

    principal: Principal
    request_id: str
    source_ip: str = ""
    user_agent: str = ""
    trace_parent: str = ""
    login_id: str = ""


@dataclass(frozen=True, slots=True)
class KeyUse:
    """The API keys that model calls for a tenant use: the tenant's own key for the providers in `own`, and otherwise
    the platform's key if `platform` is true.
    """

    own: frozenset[str] = frozenset()
    platform: bool = True

    @classmethod
    def of(cls, own: Iterable[str], settings: Mapping[str, Any]) -> "KeyUse":
        return cls(frozenset(own), settings.get("platform_model_key") is not False)

    def source(self, provider: str) -> KeySource | None:
        """Return whose key is used for a provider's models, or None if no key may be used."""
        return "tenant" if provider in self.own else "platform" if self.platform else None

    def require(self, provider: str) -> None:
        """Raise `ModelKeyRequired` if no key may be used for a provider's models."""
        if self.source(provider) is None:
            raise ModelKeyRequired(
                f"The tenant has no API key of its own for {provider}, and its setting `platform_model_key` does not "
                f"allow the platform's key. Use a model of another provider, or ask an administrator of the tenant to "
                f"set a key (`PUT /v1/model-keys/{provider}`)."
            )


@dataclass(frozen=True, slots=True)
class TenantContext:
    """The caller, tenant and settings of a call inside a tenant.

    A new `config_version` invalidates cached data. If `audits_all` is true, allowed policy decisions are also audited.
    """

    tenant_id: TenantId
    tenant_name: str
    plan: PlanName
    config_version: int
    caller: Caller
    features: frozenset[str] = field(default_factory=frozenset)
    audits_all: bool = False
    prompt_injection: ScreeningMode = SCREENING_DEFAULT

    @classmethod
    def of(cls, tenant: Tenant, caller: Caller) -> "TenantContext":
        """Return the context of a call inside a tenant, with the tenant's settings."""
        return cls(
            tenant_id=tenant.id,
            tenant_name=tenant.name,
            plan=tenant.plan,
            config_version=tenant.config_version,
            caller=caller,
            features=frozenset(tenant.features),
            audits_all=tenant.audits_all,
            prompt_injection=tenant.prompt_injection,
        )

    @property
    def principal(self) -> Principal:
        return self.caller.principal

    @property
    def owner(self) -> str:
        """Return the id of the principal that owns the sessions and runs of this caller."""
        return self.caller.principal.id

    def has_feature(self, name: str) -> bool:
        return name in self.features
