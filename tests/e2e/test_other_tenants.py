"""Every route of the running product with an id in its path returns 404 for another tenant's id.

The routes are taken from the served OpenAPI document. The isolation suite's tables define how resources are created.
"""

import json
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.e2e.conftest import Stack, Tenant
from tests.isolation.knowledge import BODIES, ELSEWHERE, NOUNS, QUERIES

_METHODS = ("get", "post", "put", "patch", "delete")


def make_things(theirs: Tenant) -> dict[str, str]:
    """Create one resource of each kind in a tenant. Return the ids, by the name of the path parameter."""
    turn = theirs.chat("A secret of ours: swordfish.")
    things = {"session_id": turn["session_id"], "run_id": turn["run_id"], "tenant_id": theirs.id}
    for noun, path in (
        ("agent_id", "/v1/agents"), ("client_id", "/v1/clients"), ("provider_id", "/v1/identity-providers"),
        ("key_id", "/v1/keys"), ("policy_id", "/v1/policies"), ("user_id", "/v1/users"),
        ("dataset_id", "/v1/datasets"), ("rule_id", "/v1/routing-rules"), ("tool_id", "/v1/tools"),
        ("prompt_id", "/v1/prompts"),
    ):  # fmt: skip
        answer = theirs.http.post(path, json=body_of(f"POST {path}"))
        assert answer.status_code == 201, answer.text
        things[noun] = answer.json()["id"]
    return things


def body_of(name: str) -> Any:
    found = BODIES.get(name)
    return None if found is None else json.loads(json.dumps(found).replace("{n}", uuid4().hex[:12]))


def with_ids(stack: Stack) -> list[tuple[str, str]]:
    """Return the method and path of each route of the served document that has an id in its path."""
    paths = httpx.get(f"{stack.base_url}/v1/openapi.json", timeout=300).json()["paths"]
    found = [(method.upper(), path) for path, item in paths.items() for method in _METHODS if method in item]
    return [(method, path) for method, path in found if "{" in path and f"{method} {path}" not in ELSEWHERE]


def clear(theirs: Tenant, things: dict[str, str]) -> None:
    """Delete resources that would affect other tests."""
    for noun, path in (
        ("policy_id", "policies"), ("provider_id", "identity-providers"), ("agent_id", "agents"), ("user_id", "users"),
        ("dataset_id", "datasets"), ("rule_id", "routing-rules"), ("tool_id", "tools"),
        ("prompt_id", "prompts"),
    ):  # fmt: skip
        assert theirs.http.delete(f"/v1/{path}/{things[noun]}").status_code == 204


@pytest.mark.slow
def test_another_tenants_id_on_every_route(stack: Stack, pro: Tenant, free: Tenant) -> None:
    things, routes = make_things(pro), with_ids(stack)
    assert {part[1:-1] for _, path in routes for part in path.split("/") if part.startswith("{")} <= {*NOUNS, "code"}
    tried = 0
    for method, template in routes:
        if "{code}" in template:
            continue  # a documentation page of an error code
        path, body = template.format(**things), body_of(f"{method} {template}")
        answer = free.http.request(method, path, json=body, params=QUERIES.get(f"{method} {template}"))
        # The operator's routes need the platform scope.
        expected = (403, "SCOPE_REQUIRED") if template.startswith("/v1/tenants") else (404, "NOT_FOUND")
        assert (answer.status_code, answer.json()["code"]) == expected, f"{method} {template}: {answer.text}"
        assert "swordfish" not in answer.text
        tried += 1
    assert tried >= 30, tried
    assert pro.http.get(f"/v1/sessions/{things['session_id']}").status_code == 200
    clear(pro, things)
