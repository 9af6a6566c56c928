"""Lists contain only resources that the caller may see.

With the scope `admin`, a caller sees all resources of the tenant. Other callers do not see the resources of other
owners. A caller cannot use the cursors and saved responses of another caller.
"""

import pytest

from tests.isolation.asking import ask, fill, refusal
from tests.isolation.document import Route
from tests.isolation.knowledge import GUARDED, NOUNS, Reference, references_of, scope_of
from tests.isolation.test_routes import by_name
from tests.isolation.world import World

PAGED = [route for route in GUARDED if route.is_paged]
POSTS = [route for route in GUARDED if route.has_key and scope_of(route) != "platform"]


def listed_by(route: Route) -> Reference | None:
    """Return the kind of resource that a list contains, or None if the route is not a list.

    The kind is read from the route whose path is the path of the list plus one id.
    """
    for other in GUARDED:
        head, _, last = other.path.rpartition("/")
        if head == route.path and last.startswith("{"):
            return next((each for each in references_of(other) if f"{{{each.field.name}}}" == last), None)
    return None


LISTS = [(route, noun) for route in GUARDED if route.is_read and (noun := listed_by(route)) is not None]


@pytest.mark.parametrize(("route", "listed"), LISTS, ids=[route.name for route, _ in LISTS], indirect=["route"])
def test_a_list_has_the_callers_items(route: Route, listed: Reference, world: World) -> None:
    noun = listed.noun
    for caller in world.ours:
        if refusal(route, caller) is not None:
            continue
        own = world.thing(noun, caller)
        others = world.thing(noun, world.neighbour(caller))
        answer = ask(world, route, caller, fill(world, route, caller))
        assert own in answer.text, f"{route.name}, {caller.name}: its own is missing: {answer}"
        if NOUNS[noun].owned:
            assert (others in answer.text) == caller.sees_all, f"{route.name}, {caller.name}: {answer}"


@pytest.mark.parametrize("route", PAGED, ids=by_name, indirect=True)
def test_a_cursor_is_valid_for_its_own_list_only(route: Route, world: World) -> None:
    """A cursor of another tenant or user is invalid."""
    mine = world.theirs[0]
    if mine.may("platform") or refusal(route, mine) is not None:
        return  # the operator's lists do not belong to a tenant
    cursor = world.cursor_of(route, mine)
    for caller in world.ours:
        if refusal(route, caller) is not None:
            continue
        request = fill(world, route, caller)
        neighbours = () if caller.sees_all else (world.cursor_of(route, world.neighbour(caller)),)
        for strange in (cursor, *neighbours):
            query = {**request.query, "cursor": strange, "limit": "1"}
            answer = world.send(caller, "GET", request.path, query=query, function=route.function)
            assert (answer.status, answer.code) == (400, "INVALID_CURSOR"), f"{route.name}, {caller.name}: {answer}"


@pytest.mark.parametrize("route", POSTS, ids=by_name, indirect=True)
def test_a_saved_answer_is_for_its_own_caller(route: Route, world: World) -> None:
    """A call with the same `Idempotency-Key` and body from another tenant or credential is a different call."""
    with world.passing():
        first = fill(world, route, world.ours[0])
        world.tenant_env.clock.advance(1)
        said = ask(world, route, world.ours[0], first, idempotency_key="one")
        if said.status < 300:
            again = ask(world, route, world.ours[0], first, idempotency_key="one")
            assert again.headers.get("idempotency-replayed") == "true", f"{route.name}: {again}"
        for caller in (world.our("admin"), world.theirs[0]):
            world.tenant_env.clock.advance(1)
            answer = world.send(
                caller, "POST", fill(world, route, caller).path, body=first.body, function=route.function,
                headers={"idempotency-key": "one"},
            )  # fmt: skip
            assert "idempotency-replayed" not in answer.headers, f"{route.name}, {caller.name}: {answer}"
            if caller in world.theirs:
                assert answer.text == "" or answer.text != said.text, f"{route.name}, {caller.name}: {answer}"
                assert answer.status < 300 or answer.status == 409, f"{route.name}, {caller.name}: {answer}"


def test_the_tenant_header_must_name_the_credentials_tenant(world: World) -> None:
    """Only the operator may choose a tenant with the header. Other callers may name only their own tenant."""
    for caller in world.ours:
        if not caller.principal_id or caller.may("platform"):
            continue
        for tenant_id, status in ((world.theirs[0].tenant.id, 403), (world.ours[0].tenant.id, 200)):
            answer = world.send(caller, "GET", "/v1/auth/me", headers={"x-tenant-id": tenant_id})
            assert answer.status == status, f"{caller.name}: {answer}"
