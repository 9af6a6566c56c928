"""Creates a usable tenant in one call: the tenant, its initial items, its first administrator and its first API key.

    1  Write the name marker and the entry in the list of tenants, in one transaction of platform items.
    2  Write the tenant item with the mark `opening`. The tenant is invisible while it has this mark.
    3  Call `prepare`, which writes the initial items in the tenant's partition and is idempotent.
    4  Remove the mark, and write the administrator, the email marker and the key, in one transaction.

If the call is interrupted before step 4, the tenant remains invisible. A repeated call continues with the tenant id of
step 1. Of two concurrent calls, the call that wrote its mark last succeeds, and the other call raises `Conflict`.
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
    """A new tenant. `admin` and `key` are None if no administrator was requested. The key has all tenant scopes."""

    tenant: Tenant
    admin: User | None = None
    key: IssuedKey | None = None


@dataclass(frozen=True, slots=True)
class Onboarding:
    """Creates tenants with their first credentials.

    `prepare` is called for each tenant before the tenant becomes visible, and again if the creation is resumed.
    """

    tenants: TenantService
    table_of: Callable[[TenantId], TenantTable]
    environment: Environment
    current_pepper: Callable[[], Pepper]
    prepare: Callable[[Tenant], None]
    clock: Clock

    def create(self, fields: TenantFields, admin: FirstAdmin | None, *, created_by: str) -> Onboarded:
        """Create a tenant. If `admin` is given, also create its first administrator and its first API key.

        Raises `Conflict` if the name is taken or a concurrent call creates the tenant, and `ValidationFailed` if a
        setting or the password is invalid.
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
