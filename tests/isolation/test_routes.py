"""Every route with every kind of credential: only permitted callers may call the route.

No call shows or changes data of another tenant.
"""

import pytest

from infra.runtime.template import ROOT
from tests.isolation.asking import ask, assert_refused, fill, refusal
from tests.isolation.document import Route
from tests.isolation.knowledge import (
    ACCESS,
    BODIES,
    ELSEWHERE,
    GUARDED,
    NOUNS,
    PUBLIC,
    QUERIES,
    REFERENCES,
    ROUTES,
    find_gaps,
)
from tests.isolation.world import World


def by_name(route: Route) -> str:
    return route.name


def test_the_suite_knows_every_route() -> None:
    gaps = [f"{route.name}: {gap}" for route in ROUTES for gap in find_gaps(route)]
    assert not gaps, "\n" + "\n".join(gaps)


def test_the_suite_knows_no_deleted_route() -> None:
    names = {route.name for route in ROUTES}
    assert set(BODIES) | set(QUERIES) | PUBLIC | set(REFERENCES) | set(ELSEWHERE) <= names
    assert not [tests for tests in ELSEWHERE.values() if not list((ROOT / tests).glob("test_*.py"))]
    assert not [prefix for prefix in ACCESS if not [route for route in ROUTES if route.path.startswith(prefix)]]
    fields = {field.last.removesuffix("s") for route in ROUTES for field in route.fields}
    named = {noun for route in REFERENCES.values() for noun in route.values()}
    assert not NOUNS.keys() - fields - named


@pytest.mark.parametrize("route", GUARDED, ids=by_name, indirect=True)
def test_only_permitted_callers_may_call_a_route(route: Route, world: World) -> None:
    """Each caller sends a valid request with ids of the caller's tenant. No call changes data of the other tenant."""
    carried_out = 0
    for caller in world.ours:
        where = f"{route.name}, {caller.name}"
        request = fill(world, route, caller)
        world.greet(caller)
        before = world.state()
        expected = refusal(route, caller)
        if expected is not None:
            assert_refused(ask(world, route, caller, request), expected, where)
            world.assert_nothing_written(before, where)
            continue
        with world.passing():
            world.tenant_env.clock.advance(1)
            answer = ask(world, route, caller, request)
            assert answer.status < 300 or answer.status == 409, f"{where}: {answer}"
            carried_out += answer.status < 300
            world.assert_theirs_untouched(before, where)
    assert carried_out, f"{route.name}: no credential succeeds, so that nothing else here proves anything"


@pytest.mark.parametrize("route", [route for route in ROUTES if route.name in PUBLIC], ids=by_name, indirect=True)
def test_a_public_route_shows_no_data_of_tenants(route: Route, world: World) -> None:
    anonymous = world.our("anonymous")
    before = world.state()
    answer = ask(world, route, anonymous, fill(world, route, anonymous))
    assert answer.status < 500 or route.name == "GET /v1/health/ready", answer
    assert not route.is_read or answer.status not in (401, 403), answer
    world.assert_nothing_written(before, route.name)


@pytest.mark.parametrize("route", [route for route in ROUTES if route.name in ELSEWHERE], ids=by_name)
def test_routes_tested_elsewhere_require_credentials(route: Route, world: World) -> None:
    before = world.state()
    path = route.path.replace("{provider}", "google")
    answer = world.send(world.our("anonymous"), route.method, path, function=route.function)
    has_credential_inside = route.path.startswith(("/v1/auth/", "/oauth/"))
    assert answer.status in ((400, 401, 404, 415, 422) if has_credential_inside else (401,)), answer
    world.assert_nothing_written(before, route.name)
