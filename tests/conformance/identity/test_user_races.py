"""Users, invitations and throttles under calls that race, on DynamoDB Local."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from atrium.identity.doors.tickets import TicketService
from atrium.identity.users.service import UserService
from atrium.kernel.errors import Conflict, CountExceeded, NotFound, RateLimited, TicketInvalid, Unavailable
from atrium.kernel.pagination import PageRequest
from atrium.storage import keys
from atrium.storage.table import PhysicalTable
from atrium.tenants.auditing import audit_of

from tests.builders.deployments import Deployment
from tests.builders.doors import HERE, Street
from tests.builders.logins import ORIGIN, Logins

pytestmark = pytest.mark.timeout(180)
THREADS = 16
REFUSALS = (Conflict, CountExceeded, NotFound, RateLimited, TicketInvalid)


@pytest.fixture
def street(dynamodb_table: PhysicalTable, deployment: Deployment) -> Street:
    return Street(deployment, deployment.onboard())


def service(street: Street) -> UserService:
    deployment, tenant = street.deployment, street.made.tenant
    audit = audit_of(tenant, deployment.runtime.tenant_table(tenant.id), ORIGIN, deployment.clock)
    return UserService(street.users(), audit, "dev", deployment.runtime.secrets.current_pepper, deployment.clock)


def race(call: Callable[[int], object], times: int) -> list[bool]:
    """Make calls at once, each again while it meets others; return which were not refused."""

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


def counts(street: Street) -> tuple[int, int, int]:
    """Return users and active admins as they are counted, and the users that there are."""
    item: Any = street.deployment.runtime.tenant_table(street.made.tenant.id).get(keys.counts())
    found = street.users().list(PageRequest(100)).items
    assert item["admins"] == sum(user.is_active_admin for user in found)
    return item["users"], item["admins"], len(found)


@pytest.mark.parametrize("turn", range(3))
def test_as_many_users_as_the_limit_says(street: Street, turn: int) -> None:
    def create(number: int) -> None:
        service(street).create({"email": f"u{number}@b.example", "role": "user"}, maximum=8)

    won = race(create, 32)
    assert sum(won) == 7  # the first admin is there already
    assert counts(street) == (8, 1, 8)


def test_one_email_is_one_user(street: Street) -> None:
    won = race(lambda _: service(street).create({"email": "ann@b.example", "role": "user"}), 32)
    assert sum(won) == 1
    assert counts(street) == (2, 1, 2)


@pytest.mark.parametrize("turn", range(3))
@pytest.mark.parametrize("how", ["demote", "suspend", "delete"])
def test_one_admin_stays(street: Street, how: str, turn: int) -> None:
    admins = [street.admin, *(street.add_user(email=f"a{number}@b.example", role="admin") for number in range(7))]
    users = service(street)

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
    assert counts(street)[1] == 1


def test_an_invitation_is_accepted_once(street: Street) -> None:
    doors = TicketService(street.throttles, Logins(street.deployment, street.made).families)
    for number in range(5):
        text = service(street).create({"email": f"u{number}@b.example", "role": "admin"}).text or ""

        def accept(each: int, text: str = text) -> object:
            return doors.accept(text, f"password {each}", None, ORIGIN)

        assert sum(race(accept, 6)) == 1
        assert counts(street)[1] == number + 2


def test_a_throttle_lets_through_as_many_as_it_says(street: Street) -> None:
    assert sum(race(lambda number: street.enter(f"{number}@b.example", HERE), 64)) == 30
    street.deployment.clock.turn(60)
    assert sum(race(lambda number: street.enter("ann@b.example", f"192.0.2.{number}"), 64)) == 20
    street.deployment.clock.turn(60)
    assert sum(race(lambda _: street.enter("bob@b.example", HERE), 24)) == 5
