"""The built-in policies and the scopes of the routes agree: every route is tested with and without its scope."""

from collections.abc import Iterator
from importlib import import_module

import pytest
from atrium.http.guarding import read_scopes
from atrium.identity.scopes import TENANT_SCOPES
from atrium.policy.builtin import BUILT_IN
from atrium.policy.engine import PolicySet
from atrium.policy.model import AccessRequest, Circumstances
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant

from tests.builders.runtimes import NOON

FUNCTIONS = ("admin", "chat", "identity", "platform", "sessions", "tools", "usage")


def scope_of(root: Dependant) -> str | None:
    """Return the scope that a route requires: empty if any credential is accepted, None for a public route."""
    scopes = read_scopes(root)
    if scopes is None:
        return None
    assert len(scopes) <= 1
    return scopes[0] if scopes else ""


def routes() -> Iterator[tuple[str, str]]:
    for name in FUNCTIONS:
        app: FastAPI = import_module(f"functions.{name}.app").app
        included = (route for route in app.routes if hasattr(route, "effective_route_contexts"))
        for route in (context for router in included for context in router.effective_route_contexts()):
            scope = scope_of(route.dependant)
            if scope is not None:
                yield from ((f"route:{method} {route.path}", scope) for method in route.methods)


ROUTES = sorted(set(routes()))


def is_allowed(resource: str, *scopes: str) -> bool:
    subject = frozenset({"tenant:t", *(f"scope:{scope}" for scope in scopes)})
    return PolicySet((), BUILT_IN).decide(AccessRequest(subject, "execute", resource, Circumstances(NOON))).allowed


def test_finds_all_routes() -> None:
    assert ("route:POST /v1/chat", "chat") in ROUTES
    assert ("route:GET /v1/auth/me", "") in ROUTES
    assert ("route:DELETE /v1/keys/{key_id}", "admin") in ROUTES
    assert len(ROUTES) > 30


@pytest.mark.parametrize(("resource", "scope"), ROUTES)
def test_routes_and_policies_require_the_same_scope(resource: str, scope: str) -> None:
    others = [other for other in TENANT_SCOPES if other not in (scope, "admin")]
    if scope == "platform":  # no tenant's credential is admitted, and the operator is not subject to policies
        assert not is_allowed(resource, *others)
    elif scope == "":
        assert is_allowed(resource)
    else:
        assert is_allowed(resource, scope)
        assert is_allowed(resource, "admin")
        assert not is_allowed(resource, *others)


def test_chat_and_jobs_scopes_allow_tools_and_models() -> None:
    for resource in ("tool:any", "model:any"):
        assert is_allowed(resource, "chat")
        assert is_allowed(resource, "jobs:write")
        assert not is_allowed(resource, "sessions:read", "sessions:write", "agents:write", "usage:read")
