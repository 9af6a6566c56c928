"""Requests to a route with given ids, and checks of the responses."""

import re
from dataclasses import dataclass
from typing import Any

from atrium.kernel.ids import ULID_LENGTH

from tests.isolation.callers import Caller
from tests.isolation.calling import Answer
from tests.isolation.document import Route
from tests.isolation.knowledge import FOR_THE_PLATFORM, FOR_USERS, QUERIES, Reference, references_of, scope_of
from tests.isolation.world import World

# Headers whose values differ between two equal requests.
_VARYING = {"x-request-id", "date", "ratelimit"}


@dataclass(frozen=True)
class Request:
    """The path, query and body of a route, with the ids filled in."""

    path: str
    query: dict[str, str]
    body: Any


def fill(world: World, route: Route, caller: Caller, reference: Reference | None = None, value: str = "") -> Request:
    """Return a valid request of the caller. If a reference is given, its location contains `value`."""
    path, query, body = route.path, dict(QUERIES.get(route.name, {})), world.body_for(route.name, caller)
    for each in references_of(route):
        own = value if each == reference else world.thing(each.noun, caller)
        if each.field.place == "path":
            path = path.replace(f"{{{each.field.name}}}", own)
        elif each.field.place == "query" and (each == reference or each.field in route.required):
            query[each.field.name] = own
    if reference is not None and reference.field.place == "body":
        body = _put({} if body is None else body, reference.field.name.split("."), value)
    return Request(path, query, body)


def ask(world: World, route: Route, caller: Caller, request: Request, **headers: str) -> Answer:
    """Send the request, and assert that the response contains only data that the caller may read."""
    answer = world.send(
        caller, route.method, request.path, query=request.query, body=request.body, function=route.function,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )  # fmt: skip
    said = f"{request}"
    for mark in forbidden(world, caller, route):
        assert mark in said or mark not in answer.text, f"{route.name}, {caller.name}: shows {mark}: {answer}"
        assert mark in said or mark not in str(answer.headers), f"{route.name}, {caller.name}: a header shows {mark}"
    return answer


def forbidden(world: World, caller: Caller, route: Route) -> set[str]:
    """Return the values that no response to this caller may contain."""
    if route.path.startswith("/v1/tenants") and caller.may("platform"):
        return set()
    marks = world.marks_of_them()
    return marks if caller.sees_all else marks | world.marks_beside(caller)


def absent(known: str) -> str:
    """Return an id that has the same format as a known id but does not exist."""
    prefix, _, tail = known.partition("_")
    if not tail or len(tail) % ULID_LENGTH:
        return known + "-that-is-not"
    return (
        f"{prefix}_" + re.sub(".{10}$", "0" * 10, tail)
        if len(tail) == ULID_LENGTH
        else f"{prefix}_" + "".join(tail[at : at + 16] + "0" * 10 for at in range(0, len(tail), ULID_LENGTH))
    )


def refusal(route: Route, caller: Caller) -> tuple[int, set[str]] | None:
    """Return the status and error codes with which a route rejects the caller, or None if the caller is permitted."""
    if not caller.principal_id:
        return 401, set()
    if not caller.may(scope_of(route)):
        return 403, {"SCOPE_REQUIRED", "POLICY_DENIED"}
    if not caller.inside and not route.path.startswith(FOR_THE_PLATFORM):
        return 400, {"TENANT_REQUIRED"}
    if route.name in FOR_USERS and not caller.principal_id.startswith("usr_"):
        return 403, {"FORBIDDEN"}
    return None


def assert_refused(answer: Answer, expected: tuple[int, set[str]], where: str) -> None:
    status, codes = expected
    assert answer.status == status, f"{where}: {answer}"
    assert not codes or answer.code in codes, f"{where}: {answer}"


def assert_alike(one: Answer, other: Answer, ids: tuple[str, str], where: str) -> None:
    """Assert that the status, text, headers and AWS calls of two responses are equal, except for the two ids."""
    first, second = ids
    assert one.status == other.status, f"{where}: {one} / {other}"
    assert one.text.replace(first, "ID") == other.text.replace(second, "ID"), f"{where}: {one} / {other}"
    assert _steady(one, first) == _steady(other, second), where
    assert one.calls == other.calls, f"{where}: the calls to the table tell them apart: {one.calls} / {other.calls}"


def _steady(answer: Answer, known: str) -> dict[str, str]:
    return {
        name: value.replace(known, "ID") for name, value in answer.headers.items()
        if name not in _VARYING and not (name == "content-length" and known in answer.text)
    }  # fmt: skip


def _put(body: Any, path: list[str], value: str) -> Any:
    if not path:
        return value
    if path[0] == "[]":
        return [_put({}, path[1:], value)]
    inside = body.get(path[0], {}) if isinstance(body, dict) else {}
    return {**(body if isinstance(body, dict) else {}), path[0]: _put(inside, path[1:], value)}
