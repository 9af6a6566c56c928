"""Ids of another tenant or user get the same response as unknown ids, in every field of every route.

The rejected calls write nothing except audit events and throttles.
"""

import pytest

from tests.isolation.asking import absent, ask, assert_alike, assert_refused, fill, refusal
from tests.isolation.callers import Caller
from tests.isolation.calling import Answer
from tests.isolation.document import Route
from tests.isolation.knowledge import GUARDED, NOUNS, Reference, references_of
from tests.isolation.test_routes import by_name
from tests.isolation.world import World

WITH_IDS = [route for route in GUARDED if references_of(route)]


def kinds(world: World, caller: Caller, noun: str) -> dict[str, str]:
    """Return the existing ids that a caller must not be able to distinguish from an unknown id."""
    found = {}
    if not NOUNS[noun].of_platform:
        found["another tenant's"] = world.thing(noun, world.theirs[0])
    if NOUNS[noun].owned and not caller.sees_all:
        found["another user's"] = world.thing(noun, world.neighbour(caller))
    return found


@pytest.mark.parametrize("route", WITH_IDS, ids=by_name, indirect=True)
def test_an_outsiders_id_is_not_found(route: Route, world: World) -> None:
    for caller in world.ours:
        for reference in references_of(route):
            _try(world, route, caller, reference)


def _try(world: World, route: Route, caller: Caller, reference: Reference) -> None:
    where = f"{route.name}, {reference.field.name}, {caller.name}"
    unknown = absent(world.thing(reference.noun, caller))
    strange = kinds(world, caller, reference.noun)
    requests = {value: fill(world, route, caller, reference, value) for value in (unknown, *strange.values())}
    world.greet(caller)
    before = world.state()
    nothing = ask(world, route, caller, requests[unknown])
    _assert_not_found(nothing, route, caller, reference, f"{where}, an id that does not exist")
    for kind, value in strange.items():
        answer = ask(world, route, caller, requests[value])
        _assert_not_found(answer, route, caller, reference, f"{where}, {kind}")
        assert_alike(nothing, answer, (unknown, value), f"{where}, {kind}")
    world.assert_nothing_written(before, where)


def _assert_not_found(answer: Answer, route: Route, caller: Caller, reference: Reference, where: str) -> None:
    expected = refusal(route, caller)
    if expected is not None:
        assert_refused(answer, expected, where)
    elif reference.noun == "tenant_id" and reference.field.place != "path":
        assert_refused(answer, (403, {"TENANT_MISMATCH"}), where)
    elif reference.field.place == "query" and answer.status == 200:
        assert answer.json["data"] == [], f"{where}: {answer}"
    else:
        assert_refused(answer, (404, {"NOT_FOUND"}), where)


@pytest.mark.parametrize("route", WITH_IDS, ids=by_name, indirect=True)
def test_an_administrator_sees_what_a_user_owns(route: Route, world: World) -> None:
    """The resource exists for an administrator, so the 404 response to other callers depends on the caller."""
    admin = world.our("admin key")
    for reference in references_of(route):
        if not NOUNS[reference.noun].owned or refusal(route, admin) is not None:
            continue
        request = fill(world, route, admin, reference, world.thing(reference.noun, world.our("user")))
        with world.passing():
            world.tenant_env.clock.advance(1)
            answer = ask(world, route, admin, request)
            assert answer.status < 300 or answer.status == 409, f"{route.name}, {reference.field.name}: {answer}"
