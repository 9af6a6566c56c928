"""Deletion of a tenant during changes of its users and providers, on DynamoDB Local.

After the deletion, no email or issuer is claimed by the tenant.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import product

import pytest
from atrium.identity.offboarding import Offboarding
from atrium.identity.providers.model import pair_digest
from atrium.identity.providers.service import IdentityProviderService
from atrium.identity.providers.store import IdentityProviderStore, IssuerRegistry
from atrium.identity.users.model import User
from atrium.identity.users.store import UserStore
from atrium.kernel.errors import AtriumError, NotFound, Unavailable
from atrium.kernel.ids import TenantId, mint_user_id
from atrium.storage import provider_keys
from atrium.storage.login import list_logins
from atrium.storage.table import PhysicalTable
from atrium.tenants.auditing import open_audit
from atrium.tenants.context import Caller, Principal, TenantContext

from tests.builders.deployments import Deployment
from tests.builders.erasing import Erasing
from tests.builders.tenant_env import open_bucket

ISSUER = "https://login.acme.example/"
ACTS = 48


def until_told(act: Callable[[], object]) -> bool:
    """Repeat the call while it conflicts with other calls. Return whether the call was accepted."""
    for _ in range(60):
        try:
            act()
        except Unavailable:
            continue
        except AtriumError:
            return False
        return True
    raise AssertionError("met others too often")


def providers(deployment: Deployment, tenant_id: TenantId) -> IdentityProviderService:
    runtime = deployment.runtime
    table = runtime.tenant_table(tenant_id)
    caller = Caller(Principal("key", "key_1", "k", frozenset({"admin"})), "req-1")
    context = TenantContext(tenant_id, "acme", "pro", 1, caller)
    audit = open_audit(context, table, runtime.clock)
    registry = IssuerRegistry(runtime.platform_table)
    return IdentityProviderService(
        context, IdentityProviderStore(table), registry, audit, frozenset(), deployment.clock
    )


def wanted(number: int) -> dict[str, str]:
    return {"name": "login", "issuer": ISSUER, "audience": f"audience-{number}"}


def users_of(deployment: Deployment, tenant_id: TenantId, names: str, count: int) -> list[User]:
    now = deployment.clock()
    emails = [f"{names}{number}@acme.example" for number in range(count)]
    return [User(mint_user_id(now), tenant_id, email, "user", "active", now, now) for email in emails]


def offboarding(deployment: Deployment) -> Offboarding:
    runtime = deployment.runtime
    return Offboarding(deployment.tenants, runtime.platform_table, runtime.tenant_table)


@pytest.mark.parametrize("turn", range(5))
def test_no_claim_is_left_after_a_deletion(dynamodb_table: PhysicalTable, deployment: Deployment, turn: int) -> None:
    tenant_id = deployment.onboard().tenant.id
    store, service = UserStore(deployment.runtime.tenant_table(tenant_id)), providers(deployment, tenant_id)
    changing = users_of(deployment, tenant_id, "old", ACTS // 4)
    for user in changing:
        store.create(user)
    moving = [service.create(wanted(100 + number)) for number in range(4)]
    acts: list[Callable[[], object]] = [
        *(partial(store.create, user) for user in users_of(deployment, tenant_id, "new", ACTS)),
        *(partial(store.change, user, replace(user, email=f"x{user.email}")) for user in changing),
        *(partial(service.create, wanted(number)) for number in range(12)),
        *(partial(service.change, each.id, wanted(200 + number)) for number, each in enumerate(moving)),
    ]
    acts.insert(20 + 8 * turn, lambda: offboarding(deployment).delete(tenant_id))
    spread = acts[::3] + acts[1::3] + acts[2::3]
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(until_told, spread))
    assert 0 < sum(done) < len(done)  # some calls were made before the deletion, and some after it

    def claimed() -> list[object]:
        numbers = [*range(12), *range(100, 104), *range(200, 204)]
        places = [provider_keys.issuer(pair_digest(ISSUER, f"audience-{number}")) for number in numbers]
        markers = list(deployment.runtime.platform_table.batch_get(places).values())
        emails = [f"{names}{number}@acme.example" for names, number in product(("new", "old", "xold"), range(ACTS))]
        return [*markers, *(place for email in emails for place in list_logins(dynamodb_table, email, limit=1))]

    with pytest.raises(NotFound):
        deployment.tenants.get(tenant_id)
    with open_bucket(on_moto=False) as bucket:
        erasing = Erasing(dynamodb_table, bucket, deployment.clock)
        erasing.finish()
    assert erasing.failed == []
    assert claimed() == []
