"""Who calls, built once from the verified credential and carried through every hop.

No module decodes a token again: the authorizer's flat context becomes these values at the rim
(`atrium.http.context`), and everything below takes them as arguments.
"""

from dataclasses import dataclass, field
from typing import Literal, get_args

from atrium.kernel.errors import ScopeRequired
from atrium.kernel.ids import TenantId
from atrium.tenants.model import SCREENING_DEFAULT, ScreeningMode
from atrium.tenants.plans import PlanName

type PrincipalType = Literal["user", "key", "client", "platform"]
type Role = Literal["admin", "user", "viewer"]

ROLES: tuple[Role, ...] = get_args(Role.__value__)


@dataclass(frozen=True, slots=True)
class Principal:
    """A verified caller. `id` is a `usr_`, `key_` or `cli_` id; `role` only for users.

    A key that came by rotation acts under the first of its line: `credential_id` is then its own. `client_id` is the
    OAuth client that a user's token was given to, empty for their own login. What no credential of a tenant can have is
    dropped here, whatever its record or token says: the scope `platform`, and an unknown role.
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
        """Tell whether a scope is held; `admin` includes a tenant's others, `platform` includes all."""
        if scope in self.scopes or "platform" in self.scopes:
            return True
        return scope != "platform" and "admin" in self.scopes

    def require(self, scope: str) -> None:
        if not self.has(scope):
            raise ScopeRequired(f"this call needs the scope {scope}")

    @property
    def sees_all(self) -> bool:
        """Whether sessions and runs of other principals of the tenant are visible."""
        return self.has("admin")


@dataclass(frozen=True, slots=True)
class Caller:
    """A call: who makes it, from where, and under which request id. `login_id` names the login of a user's token."""

    principal: Principal
    request_id: str
    source_ip: str = ""
    user_agent: str = ""
    trace_parent: str = ""
    login_id: str = ""


@dataclass(frozen=True, slots=True)
class TenantContext:
    """A call inside a tenant. `config_version` drops whatever was cached under another one; `audits_all` is the
    tenant's wish that what its policies allow is in the audit, too.
    """

    tenant_id: TenantId
    tenant_name: str
    plan: PlanName
    config_version: int
    caller: Caller
    features: frozenset[str] = field(default_factory=frozenset)
    audits_all: bool = False
    prompt_injection: ScreeningMode = SCREENING_DEFAULT

    @property
    def principal(self) -> Principal:
        return self.caller.principal

    @property
    def owner(self) -> str:
        """The id under which sessions and runs of this caller are filed."""
        return self.caller.principal.id

    def has_feature(self, name: str) -> bool:
        return name in self.features
