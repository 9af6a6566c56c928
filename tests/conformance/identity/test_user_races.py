"""Users, invitations and throttles under concurrent calls, on DynamoDB Local."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from atrium.identity.login.one_time_tokens import OneTimeTokenService
from atrium.identity.users.service import UserService
from atrium.kernel.errors import Conflict, CountExceeded, NotFound, OneTimeTokenInvalid, RateLimited, Unavailable
from atrium.kernel.pagination import PageRequest
from atrium.storage import keys
from atrium.storage.table import PhysicalTable
from atrium.tenants.auditing import audit_of

from tests.builders.deployments import Deployment
from tests.builders.login_env import HERE, LoginEnv
from tests.builders.logins import ORIGIN, Logins

THREADS = 16
REFUSALS = (Conflict, CountExceeded, NotFound, RateLimited, OneTimeTokenInvalid)


@pytest.fixture
def login_env(dynamodb_table: PhysicalTable, deployment: Deployment) -> LoginEnv:
    return LoginEnv(deployment, deployment.onboard())


def service(login_env: LoginEnv) -> UserService:
    deployment, tenant = login_env.deployment, login_env.made.tenant
    audit = audit_of(tenant, deployment.runtime.tenant_table(tenant.id), ORIGIN, deployment.clock)
    return UserService(
        login_env.users(), audit, "dev", deployment.runtime.secrets.peppers("one_time_token").current, deployment.clock
    )


def race(call: Callable[[int], object], times: int) -> list[bool]:
    """Make concurrent calls, and repeat each call while it conflicts. Return for each call whether it was accepted."""

    def until_told(number: int) -> bool:
        for _ in range(60):
            try:
                call(number)
            except Unavailable:
                continue
            except REFUSALS:
                return False
            return True
        return False

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(until_told, range(times)))


def counts(login_env: LoginEnv) -> tuple[int, int, int]:
    """Return the counters of users and active admins, and the number of existing users."""
    item: Any = login_env.deployment.runtime.tenant_table(login_env.made.tenant.id).get(keys.counts())
    found = login_env.users().list(PageRequest(100)).items
    assert item["admins"] == sum(user.is_active_admin for user in found)
    return item["users"], item["admins"], len(found)


@pytest.mark.parametrize("turn", range(3))
def test_creates_exactly_the_limit_of_users(login_env: LoginEnv, turn: int) -> None:
    def create(number: int) -> None:
        service(login_env).create({"email": f"u{number}@b.example", "role": "user"}, maximum=8)

    won = race(create, 32)
    assert sum(won) == 7  # the first admin already exists
    assert counts(login_env) == (8, 1, 8)


def test_an_email_creates_one_user(login_env: LoginEnv) -> None:
    won = race(lambda _: service(login_env).create({"email": "ann@b.example", "role": "user"}), 32)
    assert sum(won) == 1
    assert counts(login_env) == (2, 1, 2)


@pytest.mark.parametrize("turn", range(3))
@pytest.mark.parametrize("how", ["demote", "suspend", "delete"])
def test_keeps_one_admin(login_env: LoginEnv, how: str, turn: int) -> None:
    admins = [login_env.admin, *(login_env.add_user(email=f"a{number}@b.example", role="admin") for number in range(7))]
    users = service(login_env)

    def go(number: int) -> None:
        user_id = admins[number % len(admins)].id
        match how:
            case "demote":
                users.change(user_id, {"role": "user"})
            case "suspend":
                users.change(user_id, {"status": "suspended"})
            case _:
                users.delete(user_id, revoke_keys=False)

    race(go, 32)
    assert counts(login_env)[1] == 1


def test_an_invitation_is_accepted_once(login_env: LoginEnv) -> None:
    service_under_test = OneTimeTokenService(login_env.throttles, Logins(login_env.deployment, login_env.made).families)
    for number in range(5):
        text = service(login_env).create({"email": f"u{number}@b.example", "role": "admin"}).text or ""

        def accept(each: int, text: str = text) -> object:
            return service_under_test.accept(text, f"password {each}", None, ORIGIN)

        assert sum(race(accept, 6)) == 1
        assert counts(login_env)[1] == number + 2


def test_a_throttle_admits_exactly_its_limit(login_env: LoginEnv) -> None:
    assert sum(race(lambda number: login_env.enter(f"{number}@b.example", HERE), 64)) == 30
    login_env.deployment.clock.advance(60)
    assert sum(race(lambda number: login_env.enter("ann@b.example", f"192.0.2.{number}"), 64)) == 20
    login_env.deployment.clock.advance(60)
    assert sum(race(lambda _: login_env.enter("bob@b.example", HERE), 24)) == 5
