"""A tenant that works, in one call (T9): tenant, whatever else it starts with, first admin, first key.

    1  the name's marker and the list's entry      platform items, one transaction
    2  the tenant's item, marked as opening        invisible to everyone
    3  `prepare`: what else it starts with         in the tenant's partition, repeatable
    4  mark removed, admin, email marker, key      one transaction: now it exists, with all that is needed to enter it

Broken off after any step, there is nothing that anybody could see or use, and the same call made again goes on with
the id of step 1. Two calls at once: the later opening wins, the other is `Conflict`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from atrium.identity.keys.issue import issue_key
from atrium.identity.keys.model import IssuedKey
from atrium.identity.keys.store import KeyStore
from atrium.identity.scopes import TENANT_SCOPES
from atrium.identity.users.model import User
from atrium.identity.users.passwords import find_password_fault, hash_password
from atrium.identity.users.store import UserStore
from atrium.kernel.clock import Clock
from atrium.kernel.errors import ValidationFailed
from atrium.kernel.ids import TenantId, mint_user_id
from atrium.settings import Environment
from atrium.storage.secrets import Pepper
from atrium.storage.table import TenantTable
from atrium.storage.writes import Operation
from atrium.tenants.model import Tenant
from atrium.tenants.service import TenantFields, TenantService

FIRST_KEY_NAME = "first key"


@dataclass(frozen=True, slots=True)
class FirstAdmin:
    """Who is to administer the new tenant."""

    email: str
    password: str


@dataclass(frozen=True, slots=True)
class Onboarded:
    """A tenant, and with an admin asked for, that user and a key with all of a tenant's scopes."""

    tenant: Tenant
    admin: User | None = None
    key: IssuedKey | None = None


@dataclass(frozen=True, slots=True)
class Onboarding:
    """Makes tenants. `prepare` is called for each before it becomes visible, and again if its creation is resumed."""

    tenants: TenantService
    table_of: Callable[[TenantId], TenantTable]
    environment: Environment
    current_pepper: Callable[[], Pepper]
    prepare: Callable[[Tenant], None]
    clock: Clock

    def create(self, fields: TenantFields, admin: FirstAdmin | None, *, created_by: str) -> Onboarded:
        """Make a tenant; `Conflict` if its name is taken, `ValidationFailed` for settings or a password."""
        if admin is not None:
            _check_password(admin)
        tenant = self.tenants.open(fields)
        self.prepare(tenant)
        if admin is None:
            return Onboarded(self.tenants.close(tenant, []))
        user = self._make_user(tenant.id, admin)
        issued = issue_key(
            self.environment,
            self.current_pepper(),
            tenant_id=tenant.id,
            name=FIRST_KEY_NAME,
            scopes=TENANT_SCOPES,
            now=self.clock(),
            created_by=created_by,
        )
        table = self.table_of(tenant.id)
        operations: list[Operation] = [*UserStore(table).creation(user), KeyStore(table).creation(issued.key)]
        return Onboarded(self.tenants.close(tenant, operations), user, issued)

    def _make_user(self, tenant_id: TenantId, admin: FirstAdmin) -> User:
        now = self.clock()
        return User(
            id=mint_user_id(now),
            tenant_id=tenant_id,
            email=admin.email,
            role="admin",
            status="active",
            created_at=now,
            updated_at=now,
            password_hash=hash_password(admin.password),
        )


def _check_password(admin: FirstAdmin) -> None:
    fault = find_password_fault(admin.password, email=admin.email)
    if fault is not None:
        errors = [{"loc": ["body", "admin", "password"], "msg": fault, "type": "value_error"}]
        raise ValidationFailed(extensions={"errors": errors})
