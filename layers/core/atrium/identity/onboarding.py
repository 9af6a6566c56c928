"""Creates a usable tenant in one call: the tenant, its initial items, its first administrator and its first key.

    1  name marker and list entry                  platform items, one transaction
    2  tenant item, marked as opening              invisible
    3  `prepare`: initial items                    in the tenant's partition, idempotent
    4  mark removed, admin, email marker, key      one transaction; the tenant becomes visible with its credentials

If the call is interrupted before step 4, the tenant is invisible, and a repeated call continues with the id of step 1.
Of two concurrent calls, the call that opened the tenant last succeeds and the other raises `Conflict`.
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
    """The email and password of the new tenant's first administrator."""

    email: str
    password: str


@dataclass(frozen=True, slots=True)
class Onboarded:
    """A new tenant. If requested, also its administrator and a key with all scopes of a tenant."""

    tenant: Tenant
    admin: User | None = None
    key: IssuedKey | None = None


@dataclass(frozen=True, slots=True)
class Onboarding:
    """Creates tenants.

    `prepare` is called for each tenant before it becomes visible, and again if its creation is resumed.
    """

    tenants: TenantService
    table_of: Callable[[TenantId], TenantTable]
    environment: Environment
    current_pepper: Callable[[], Pepper]
    prepare: Callable[[Tenant], None]
    clock: Clock

    def create(self, fields: TenantFields, admin: FirstAdmin | None, *, created_by: str) -> Onboarded:
        """Create a tenant.

        Raises `Conflict` if its name is taken, and `ValidationFailed` for an invalid setting or password.
        """
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
