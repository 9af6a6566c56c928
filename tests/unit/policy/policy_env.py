"""The policies of a tenant on an empty table: the service, guards for any caller, and the audit events."""

from dataclasses import dataclass, field, replace
from typing import Any

from atrium.audit.model import AuditEvent, EventType
from atrium.audit.query import make_query
from atrium.identity.keys.model import ApiKey
from atrium.identity.keys.store import KeyStore
from atrium.identity.scopes import ROLE_SCOPES
from atrium.identity.users.model import User
from atrium.identity.users.store import UserStore
from atrium.kernel.ids import KeyId, TenantId, UserId
from atrium.kernel.pagination import PageRequest
from atrium.policy.guard import PolicyCache, PolicyGuard
from atrium.policy.model import Policy
from atrium.policy.service import PolicyService
from atrium.storage import keys
from atrium.storage.table import PhysicalTable, TenantTable
from atrium.storage.writes import ANY, Put
from atrium.tenants.auditing import open_audit
from atrium.tenants.context import Caller, Principal, PrincipalType, Role, TenantContext
from atrium.tenants.model import ScreeningMode

from tests.builders.gateway import OTHER_TENANT_ID, TENANT_ID
from tests.builders.runtimes import TurnedClock

TENANT, OTHER_TENANT = TenantId(TENANT_ID), TenantId(OTHER_TENANT_ID)
ANN = UserId("usr_01k6r5m2x8f3v9q4w7t1y0z5aa")
BOB = UserId("usr_01k6r5m2x8f3v9q4w7t1y0z5ab")
KEY = KeyId("key_01k6r5m2x8f3v9q4w7t1y0z5ac")
FIRST_KEY = KeyId("key_01k6r5m2x8f3v9q4w7t1y0z5ad")


def principal_of(some_id: str, scopes: frozenset[str], role: Role | None = None) -> Principal:
    kinds: dict[str, PrincipalType] = {"usr": "user", "key": "key", "cli": "client"}
    return Principal(kinds[some_id[:3]], some_id, "somebody", scopes, role)


ADMIN = principal_of(BOB, ROLE_SCOPES["admin"], "admin")
USER = principal_of(ANN, ROLE_SCOPES["user"], "user")
VIEWER = principal_of(ANN, ROLE_SCOPES["viewer"], "viewer")


@dataclass
class PolicyEnv:
    physical: PhysicalTable
    clock: TurnedClock = field(default_factory=TurnedClock)
    cache: PolicyCache = field(default_factory=PolicyCache)

    def __post_init__(self) -> None:
        for tenant in (TENANT, OTHER_TENANT):
            item = {"id": tenant, "plan": "pro", "config_version": 1}
            self.table(tenant).write(Put(keys.tenant(), item, ANY))

    def table(self, tenant: TenantId = TENANT) -> TenantTable:
        return TenantTable(self.physical, tenant)

    def context(
        self, principal: Principal = ADMIN, *, tenant: TenantId = TENANT, version: int | None = None
    ) -> TenantContext:
        known = self.version(tenant) if version is None else version
        return TenantContext(tenant, "acme", "pro", known, Caller(principal, "request-1", "203.0.113.9"))

    def guard(
        self,
        principal: Principal = USER,
        *,
        tenant: TenantId = TENANT,
        version: int | None = None,
        audits_all: bool = False,
        prompt_injection: ScreeningMode = "flag",
    ) -> PolicyGuard:
        context = self.context(principal, tenant=tenant, version=version)
        context = replace(context, audits_all=audits_all, prompt_injection=prompt_injection)
        table = self.table(tenant)
        return PolicyGuard(context, table, self.cache, self.clock, open_audit(context, table, self.clock))

    def service(self, *, tenant: TenantId = TENANT) -> PolicyService:
        return PolicyService(self.guard(ADMIN, tenant=tenant), self.clock)

    def create(self, **wishes: Any) -> Policy:
        """Create a policy that allows all callers all actions. `wishes` replace its fields."""
        self.clock.advance(1)
        fields = {"name": "p", "effect": "allow", "principals": ("*",), "actions": ("*",), "resources": ("*",)}
        return self.service().create(fields | wishes)

    def version(self, tenant: TenantId = TENANT) -> int:
        item = self.table(tenant).get(keys.tenant())
        assert item is not None
        return int(item["config_version"])

    def events(self, kind: EventType) -> list[AuditEvent]:
        audit = open_audit(self.context(), self.table(), self.clock)
        return audit.list(make_query(now=self.clock(), type=kind), PageRequest()).items

    def add_user(self, user_id: UserId, role: Role) -> None:
        now = self.clock()
        user = User(
            id=user_id, tenant_id=TENANT, email=f"{user_id}@example.com", role=role, status="active",
            created_at=now, updated_at=now,
        )  # fmt: skip
        UserStore(self.table()).create(user)

    def add_key(self, *scopes: str) -> None:
        now = self.clock()
        key = ApiKey(KEY, TENANT, "k", scopes, "atr_dev_", b"digest", 1, now, now, first_id=FIRST_KEY)
        KeyStore(self.table()).create(key)


def without(principal: Principal, *scopes: str) -> Principal:
    return replace(principal, scopes=principal.scopes - set(scopes))
