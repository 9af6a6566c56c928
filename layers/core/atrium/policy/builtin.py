"""The built-in policies, which define the permissions of each scope.

They apply to a kind of resource until the tenant has an allow policy for that kind (`policy.engine`). A role is a set
of scopes (`identity.scopes`), so the built-in policies also apply to roles.
"""

from datetime import UTC, datetime

from atrium.identity.scopes import Scope
from atrium.kernel.ids import PolicyId
from atrium.policy.model import EXECUTE, Policy

_SINCE = datetime(2026, 1, 1, tzinfo=UTC)

_ANYONE = (
    "route:* /v1/auth/*", "route:GET /v1/limits", "route:POST /v1/limits/check", "route:GET /v1/usage",
    "route:GET /v1/models*", "route:* /v1/connections*",
)  # fmt: skip

_BY_SCOPE: dict[Scope, tuple[str, ...]] = {
    "chat": (
        "route:POST /v1/chat*", "route:POST /v1/messages*", "route:POST /v1/runs/*", "route:* /mcp", "tool:*",
        "model:*", "method:*",
    ),
    "sessions:read": ("route:GET /v1/sessions*", "route:GET /v1/runs*", "route:GET /v1/files*"),
    "sessions:write": (
        "route:POST /v1/sessions*", "route:PATCH /v1/sessions*", "route:DELETE /v1/sessions*", "route:POST /v1/files*",
        "route:DELETE /v1/files*",
    ),
    "jobs:read": ("route:GET /v1/jobs*",),
    "jobs:write": ("route:POST /v1/jobs*", "tool:*", "model:*"),
    "agents:read": (
        "route:GET /v1/agents*", "route:GET /v1/tools*", "route:GET /v1/datasets*", "route:POST /v1/datasets/query",
        "route:GET /v1/prompts*", "route:POST /v1/prompts/render", "route:POST /v1/prompts/*/render",
    ),
    "agents:write": (
        "route:POST /v1/agents*", "route:PATCH /v1/agents*", "route:DELETE /v1/agents*", "route:POST /v1/datasets",
        "route:DELETE /v1/datasets*", "route:POST /v1/prompts", "route:PATCH /v1/prompts*", "route:DELETE /v1/prompts*",
    ),
    "admin": ("*",),
}  # fmt: skip


_ACTIONS = {"chat": (EXECUTE, "read", "write"), "jobs:write": (EXECUTE, "read", "write"), "admin": ("*",)}
"""The actions of a scope on its resources, if they are not only `execute`. `read` and `write` are used for tools."""


def _policy(name: str, principal: str, resources: tuple[str, ...]) -> Policy:
    actions = _ACTIONS.get(name, (EXECUTE,))
    return Policy(
        PolicyId(f"builtin:{name}"), f"built-in: {name}", "allow", (principal,), actions, resources, _SINCE, _SINCE
    )


BUILT_IN: tuple[Policy, ...] = (
    _policy("anyone", "tenant:*", _ANYONE),
    *(_policy(scope, f"scope:{scope}", resources) for scope, resources in _BY_SCOPE.items()),
)
