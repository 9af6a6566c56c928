"""Facts about routes that the isolation tests need and that the OpenAPI documents do not contain.

NOUNS       name of an id -> how to create the resource, and whether only its owner may see it
ACCESS      path prefix -> the scopes that a read and a write require
PUBLIC      routes that require no credential
BODIES      route -> a valid body; `{n}` is replaced by a unique number, and `{agent_id}` (or another noun) by the id
            of the caller's resource
REFERENCES  route -> field -> noun of the id, if the field's name does not name the noun; empty for another value
NOT_IDS     fields whose name ends in `_id` although they do not name a resource
"""

from dataclasses import dataclass
from typing import Any

from tests.builders.deployments import PASSWORD
from tests.isolation.document import Field, Route, read_routes
from tests.isolation.making import Make, create, make_deleted_session, make_run, make_session, make_tenant


@dataclass(frozen=True)
class Noun:
    """A kind of resource with an id.

    If `owned` is true, only the owner and callers with the scope `admin` may see the resource.
    """

    make: Make
    owned: bool = False
    of_platform: bool = False


@dataclass(frozen=True)
class Reference:
    """The location of an id in a route."""

    field: Field
    noun: str


ANYONE = ""

# fmt: off
BODIES: dict[str, Any] = {
    "POST /v1/agents": {"name": "agent {n}", "model": "claude-haiku-5-5"},
    "PATCH /v1/agents/{agent_id}": {"name": "renamed {n}"},
    "POST /v1/clients": {"name": "client {n}", "type": "confidential", "grant_types": ["client_credentials"]},
    "PATCH /v1/clients/{client_id}": {"name": "renamed {n}"},
    "POST /v1/files": {"path": "notes/{n}.txt", "content": "note {n}"},
    "POST /v1/identity-providers": {"issuer": "https://login.example/{n}", "audience": "https://atrium.example/{n}"},
    "PATCH /v1/identity-providers/{provider_id}": {"audience": "https://atrium.example/{n}"},
    "POST /v1/keys": {"name": "key {n}"},
    "PATCH /v1/keys/{key_id}": {"name": "renamed {n}"},
    "POST /v1/datasets": {"name": "data_{n}", "format": "csv", "content": "city\nRome"},
    # The time, because the answers of two calls must differ.
    "POST /v1/datasets/query": {"sql": "SELECT julianday('now')"},
    "PATCH /v1/settings": {"features": {"beta-{n}": True}},
    "PATCH /v1/sessions/{session_id}": {"title": "renamed {n}"},
    "POST /v1/sessions": {"title": "session {n}"},
    "POST /v1/sessions/{session_id}/fork": {"title": "fork {n}"},
    "POST /v1/auth/login": {"email": "unknown@example.org", "password": "correct horse battery"},
    "POST /v1/auth/invitations/accept": {"token": "made-up", "password": "correct horse battery"},
    "POST /v1/auth/password": {"old_password": PASSWORD, "new_password": "a longer horse battery {n}"},
    "POST /v1/auth/refresh": {"refresh_token": "atr_refresh_that_is_not"},
    "POST /v1/chat": {"message": "Hi"},
    "POST /v1/chat/stream": {"message": "Hi"},
    "POST /v1/chat/completions": {"model": "claude-haiku-5-5", "messages": [{"role": "user", "content": "Hi"}]},
    "POST /v1/messages": {
        "model": "claude-haiku-5-5", "max_tokens": 50, "messages": [{"role": "user", "content": "Hi"}],
    },
    "POST /v1/messages/count_tokens": {
        "model": "claude-haiku-5-5", "messages": [{"role": "user", "content": "Hi"}],
    },
    # A policy that allows everything, because a tenant's first policy replaces the built-in policies.
    "POST /v1/policies": {
        "name": "all {n}", "effect": "allow", "principals": ["tenant:*"], "actions": ["*"], "resources": ["*"],
    },
    "PATCH /v1/policies/{policy_id}": {"description": "changed {n}"},
    "POST /v1/policies/evaluate": {"principal": "role:viewer", "resource": "route:GET /v1/agents"},
    "POST /v1/tenants": {"name": "tenant-{n}", "plan": "free"},
    "PATCH /v1/tenants/{tenant_id}": {"display_name": "renamed {n}"},
    "PUT /v1/tenants/{tenant_id}/limits": {"requests_per_minute": 1000},
    "POST /v1/limits/check": {"message": "Hi"},
    # The test call is answered without a request, because an argument is missing.
    "POST /v1/tools": {
        "name": "tool_{n}", "description": "d", "effect": "pure",
        "input_schema": {"type": "object", "required": ["a{n}"]},
        "http": {"method": "GET", "url": "https://tools.example/"},
    },
    "PATCH /v1/tools/{tool_id}": {"description": "changed {n}"},
    "POST /v1/tools/{tool_id}/test": {"arguments": {}},
    "POST /v1/prompts": {"name": "prompt {n}", "template": "Answer as number {n}."},
    "PATCH /v1/prompts/{prompt_id}": {"template": "Answer as number {n}, please."},
    "POST /v1/prompts/render": {"template": "Number {n} of {{ company }}."},
    "POST /v1/prompts/{prompt_id}/render": {"values": {}},
    "POST /v1/routing-rules": {"name": "rule {n}", "models": [{"model": "claude-haiku-5-5"}]},
    "PATCH /v1/routing-rules/{rule_id}": {"name": "renamed {n}"},
    "POST /v1/users": {"email": "user-{n}@example.org", "role": "user"},
    "PATCH /v1/users/{user_id}": {"name": "renamed {n}"},
}
# fmt: on

NOUNS: dict[str, Noun] = {
    "tenant_id": Noun(make_tenant, of_platform=True),
    "agent_id": Noun(create("/v1/agents")),
    "dataset_id": Noun(create("/v1/datasets")),
    "client_id": Noun(create("/v1/clients")),
    "provider_id": Noun(create("/v1/identity-providers")),
    "file_path": Noun(create("/v1/files", field="path")),
    "key_id": Noun(create("/v1/keys")),
    "policy_id": Noun(create("/v1/policies")),
    "prompt_id": Noun(create("/v1/prompts")),
    "rule_id": Noun(create("/v1/routing-rules")),
    "tool_id": Noun(create("/v1/tools")),
    "user_id": Noun(create("/v1/users")),
    "session_id": Noun(make_session, owned=True),
    "deleted_session_id": Noun(make_deleted_session, owned=True),
    "run_id": Noun(make_run, owned=True),
}

ACCESS: dict[str, tuple[str, str]] = {
    "/v1/agents": ("agents:read", "agents:write"),
    "/v1/audit": ("admin", "admin"),
    "/v1/auth/me": (ANYONE, ANYONE),
    "/v1/auth/logout": (ANYONE, ANYONE),
    "/v1/auth/password": (ANYONE, ANYONE),
    "/v1/clients": ("admin", "admin"),
    "/v1/chat": ("chat", "chat"),
    "/v1/messages": ("chat", "chat"),
    "/v1/files": ("sessions:read", "sessions:write"),
    "/v1/datasets": ("agents:read", "agents:write"),
    "/v1/datasets/query": ("agents:read", "agents:read"),
    "/v1/identity-providers": ("admin", "admin"),
    "/v1/keys": ("admin", "admin"),
    "/v1/limits": (ANYONE, ANYONE),
    "/v1/model-keys": ("admin", "admin"),
    "/v1/models": (ANYONE, ANYONE),
    "/v1/policies": ("admin", "admin"),
    "/v1/prompts": ("agents:read", "agents:write"),
    "/v1/prompts/render": ("agents:read", "agents:read"),
    "/v1/prompts/{prompt_id}/render": ("agents:read", "agents:read"),
    "/v1/routing-rules": ("admin", "admin"),
    "/v1/runs": ("sessions:read", "chat"),
    "/v1/sessions": ("sessions:read", "sessions:write"),
    "/v1/settings": ("admin", "admin"),
    "/v1/signing-keys": ("platform", "platform"),
    "/v1/tenants": ("platform", "platform"),
    "/v1/tools": ("agents:read", "admin"),
    "/v1/users": ("admin", "admin"),
    "/v1/usage": (ANYONE, ANYONE),
}

# Path prefixes of routes that the operator can call without a tenant.
FOR_THE_PLATFORM = ("/v1/tenants", "/v1/signing-keys", "/v1/auth/me")

# Routes that reject API keys and clients, because only users have logins.
FOR_USERS = {"POST /v1/auth/logout", "POST /v1/auth/password"}

PUBLIC = {
    "POST /v1/auth/login",
    "POST /v1/auth/invitations/accept",
    "POST /v1/auth/refresh",
    "GET /.well-known/jwks.json",
    "GET /.well-known/oauth-authorization-server",
    "GET /.well-known/oauth-protected-resource",
    "GET /.well-known/openid-configuration",
    "GET /v1/health",
    "GET /v1/health/ready",
    "GET /v1/openapi.json",
}

QUERIES: dict[str, dict[str, str]] = {
    "GET /v1/usage": {"group_by": "day"},
    "GET /v1/runs": {"limit": "100"},  # tests of other routes start many runs
}
# A `message_id` is found only in its session.
# In these routes, `client_id` is the id of our client at an identity provider, not of a resource.
REFERENCES: dict[str, dict[str, str]] = {
    "GET /v1/files/content": {"path": "file_path"},
    "DELETE /v1/files": {"path": "file_path"},
    "POST /v1/sessions/{session_id}/fork": {"message_id": ""},
    "POST /v1/sessions/{session_id}/restore": {"session_id": "deleted_session_id"},
    "POST /v1/messages": {"metadata.user_id": ""},
    "POST /v1/identity-providers": {"client_id": ""},
    "PATCH /v1/identity-providers/{provider_id}": {"client_id": ""},
}
# Ids of other vendors' formats: of models, of people who are no users, and of tool calls, whose runs are checked in
# `tests/integration/chat/test_compatible_errors.py`.
NOT_IDS = {
    "client_id", "message_id", "after_id", "before_id", "metadata.user_id", "messages.[].tool_call_id",
    "messages.[].content.[].tool_use_id",
}  # fmt: skip
ELSEWHERE = {
    "POST /oauth/introspect": "tests/integration/oauth",
    "POST /oauth/revoke": "tests/integration/oauth",
    "POST /oauth/token": "tests/integration/oauth",
    "POST /v1/runs/{run_id}/approvals/{tool_call_id}": "tests/integration/chat",
    "GET /v1/prompts/{prompt_id}/versions/{version}": "tests/integration/prompts",
    "PUT /v1/model-keys/{provider}": "tests/integration/tools_model_keys",
    "DELETE /v1/model-keys/{provider}": "tests/integration/tools_model_keys",
    "GET /v1/auth/{provider}/authorize": "tests/integration/social",
    "GET /v1/auth/{provider}/callback": "tests/integration/social",
    "GET /v1/connections": "tests/integration/social",
    "GET /v1/connections/{provider}": "tests/integration/social",
    "DELETE /v1/connections/{provider}": "tests/integration/social",
    "GET /v1/connections/{provider}/authorize": "tests/integration/social",
    "GET /v1/connections/{provider}/callback": "tests/integration/social",
}


def scope_of(route: Route) -> str:
    """Return the scope that the route requires, from the entry of ACCESS with the longest matching prefix."""
    lines = [prefix for prefix in ACCESS if route.path == prefix or route.path.startswith(prefix + "/")]
    return ACCESS[max(lines, key=len)][0 if route.is_read else 1]


def references_of(route: Route) -> list[Reference]:
    """Return all locations in a route that contain the id of a known kind of resource."""
    own = REFERENCES.get(route.name, {})
    names = [(field, own.get(field.name, field.last.removesuffix("s"))) for field in route.fields]
    return [Reference(field, noun) for field, noun in names if noun in NOUNS]


def find_gaps(route: Route) -> list[str]:
    """Return the information about a route that this module lacks, one line per gap."""
    where = "tests/isolation/knowledge.py"
    gaps: list[str] = []
    if route.name in ELSEWHERE:
        return gaps
    known = {reference.field for reference in references_of(route)}
    for field in route.fields:
        is_id = field.place == "path" or field.last.removesuffix("s").endswith("_id")
        if is_id and field not in known and field.name not in NOT_IDS:
            gaps.append(f"{field.name} ({field.place}) is of no known noun: add a line to NOUNS in {where}")
    if route.name in PUBLIC:
        return gaps
    if not any(route.path == prefix or route.path.startswith(prefix + "/") for prefix in ACCESS):
        gaps.append(f"which scope it asks for is not known: add a line to ACCESS (or PUBLIC) in {where}")
    if route.needs_body and route.name not in BODIES:
        gaps.append(f"it needs a body: add a good one to BODIES in {where}")
    return gaps


ROUTES = read_routes()
GUARDED = tuple(route for route in ROUTES if route.name not in PUBLIC and route.name not in ELSEWHERE)
