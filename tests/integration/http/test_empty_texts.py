"""Optional text fields without a value: null in every response, and absent, null or empty in requests."""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
from atrium.agent.service import default_agent
from atrium.agent.store import AgentStore
from starlette.testclient import TestClient

from tests.builders.deployments import Deployment
from tests.builders.gateway import call_as, platform_fields, tenant_fields
from tests.builders.request_fields import nodes, request_fields

OPTIONAL = {
    "name",
    "title",
    "display_name",
    "end_user",
    "description",
    "system_prompt",
    "provider",
    "jwks_uri",
    "reason",
}
MINIMAL: dict[str, tuple[str, dict[str, Any]]] = {
    "/v1/users": ("admin", {"email": "ann@acme.example", "role": "user"}),
    "/v1/keys": ("admin", {"name": "a key"}),
    "/v1/clients": ("admin", {"name": "a client", "type": "public", "grant_types": ["authorization_code"],
                              "redirect_uris": ["https://client.example/cb"]}),
    "/v1/agents": ("admin", {"name": "an agent", "model": "claude-haiku-5-5"}),
    "/v1/policies": ("admin", {"name": "a policy", "effect": "deny", "principals": ["role:viewer"], "actions": ["*"],
                               "resources": ["tool:calculator"]}),
    "/v1/identity-providers": ("admin", {"issuer": "https://login.acme.example/", "audience": "https://a.example"}),
    "/v1/sessions": ("sessions", {}),
    "/v1/tenants": ("platform", {"name": "another", "plan": "free",
                                 "admin": {"email": "eve@b.example", "password": "correct horse battery"}}),
}  # fmt: skip
PATHS = sorted(MINIMAL)


@pytest.fixture
def clients(deployment: Deployment) -> dict[str, TestClient]:
    made = deployment.onboard()
    AgentStore(deployment.runtime.tenant_table(made.tenant.id)).create(
        default_agent(deployment.clock), make_default=True
    )
    fields = tenant_fields(tenant_id=made.tenant.id, scopes="admin chat agents:write sessions:write sessions:read")
    return {
        name: call_as(
            import_module(f"functions.{name}.app").build(lambda: deployment.runtime),
            platform_fields() if name == "platform" else fields,
        )
        for name in ("admin", "sessions", "platform")
    }


def empty_texts(value: Any, path: str = "") -> Iterator[str]:
    if value == "":
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, each in inner:
        yield from empty_texts(each, f"{path}.{name}")


@pytest.mark.parametrize("path", PATHS)
def test_an_answer_shows_null(clients: dict[str, TestClient], path: str) -> None:
    function, body = MINIMAL[path]
    made = clients[function].post(path, json=body)
    assert made.status_code == 201, made.text
    read = clients[function].get(f"{path}/{made.json()['id']}")
    for answer in (made, read):
        assert list(empty_texts(answer.json())) == []


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("empty", [None, ""])
def test_a_request_may_say_null_or_nothing(clients: dict[str, TestClient], path: str, empty: str | None) -> None:
    function, body = MINIMAL[path]
    optional = optional_texts(path) - body.keys()
    made = clients[function].post(path, json={**body, **dict.fromkeys(optional, empty)})
    assert made.status_code == 201, made.text
    assert {name for name in optional & made.json().keys() if made.json()[name] is not None} <= {
        "provider",
        "display_name",
    }


def optional_texts(path: str) -> set[str]:
    """Return the names of the text fields of a POST body, not of objects in it, that may be null in the schema."""
    return {
        found.name.removeprefix(f"{field.name}.")
        for field in request_fields() if field.name == f"POST {path} body"
        for found, above in nodes(field)
        if found.schema["type"] == "str" and any(schema["type"] == "nullable" for schema in above)
    } & OPTIONAL  # fmt: skip


def test_finds_optional_texts() -> None:
    assert optional_texts("/v1/agents") == {"description", "provider", "system_prompt"}
    assert optional_texts("/v1/sessions") == {"title", "end_user"}
