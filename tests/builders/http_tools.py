"""HTTP tools of a tenant: valid fields, the service, and servers on this machine."""

from collections.abc import Sequence
from typing import Any

from atrium.agent.service import agents_naming
from atrium.agent.store import AgentStore
from atrium.egress.client import EgressClient
from atrium.egress.destination import Rules
from atrium.tenants.context import TenantContext
from atrium.tools.http.model import RequestTemplate
from atrium.tools.http.service import HttpToolService
from atrium.tools.http.store import HttpToolStore

from tests.builders.tenant_env import ADMIN, TenantEnv

LOCAL = frozenset({"127.0.0.1"})
SECRET = 'planted secret/+&"4f1c'
SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["city"],
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}, "detail": {"type": "boolean"}},
}


def request_to(url: str, **fields: Any) -> RequestTemplate:
    return RequestTemplate(**{"method": "GET", "url": url, **fields})


def tool_fields(url: str = "https://api.example/weather/{city}", /, **wishes: Any) -> dict[str, Any]:
    """Return the fields of a tool. Names of `RequestTemplate` in `wishes` change the request, others the tool."""
    http = {name: wishes.pop(name) for name in ("method", "headers", "query", "body") if name in wishes}
    fields = {"name": "weather", "description": "Weather of a city.", "input_schema": SCHEMA, "effect": "pure"}
    return {**fields, "http": request_to(url, **http), **wishes}


def http_tools(tenant_env: TenantEnv, context: TenantContext = ADMIN) -> HttpToolService:
    """Return the service of a tenant. Its tools may call servers on this machine."""
    tenant_env.egress = EgressClient(Rules(local_addresses=LOCAL))
    table = tenant_env.table(context.tenant_id)
    return HttpToolService(
        tenant_env.guard(context),
        HttpToolStore(table),
        tenant_env.encryption(context.tenant_id),
        LOCAL,
        lambda tool: _agents(tenant_env, context, tool),
    )


def _agents(tenant_env: TenantEnv, context: TenantContext, tool: str) -> Sequence[str]:
    return agents_naming(AgentStore(tenant_env.table(context.tenant_id)), tool)
