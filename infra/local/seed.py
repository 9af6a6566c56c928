"""Creates the tenants of a new local stack over HTTP with the platform key."""

import secrets
from dataclasses import dataclass
from typing import Any

import httpx

from infra.local import StartFailed, seeds

SECONDS_MAX = 60.0
_TENANTS = (("acme", "Acme Corporation", "pro"), ("globex", "Globex Corporation", "free"))
_TENANTS_WITHOUT_ADMIN = (("initech", "Initech"), ("hooli", "Hooli"))
TENANT_IDS = {"acme": seeds.ACME, "globex": seeds.GLOBEX, "initech": seeds.INITECH, "hooli": seeds.HOOLI}


@dataclass(frozen=True)
class SeededAdmin:
    """The first user of a tenant."""

    email: str
    password: str


@dataclass(frozen=True)
class SeededTenant:
    """A tenant with an API key that has all tenant scopes."""

    id: str
    name: str
    plan: str
    api_key: str
    admin: SeededAdmin
    agent_id: str


async def seed_tenants(base_url: str, platform_key: str) -> tuple[SeededTenant, ...]:
    """Create the tenants, each with a default agent, and return the tenants that have an admin and an API key.

    Raises StartFailed if a request fails.
    """
    async with httpx.AsyncClient(base_url=base_url, timeout=SECONDS_MAX, trust_env=False) as client:
        for name, display_name in _TENANTS_WITHOUT_ADMIN:
            body = {"name": name, "display_name": display_name, "plan": "free"}
            await _call(client, platform_key, "POST", "/v1/tenants", body)
        return tuple([await _seed(client, platform_key, *tenant) for tenant in _TENANTS])


async def _seed(client: httpx.AsyncClient, platform_key: str, name: str, display_name: str, plan: str) -> SeededTenant:
    admin = SeededAdmin(f"admin@{name}.example", secrets.token_urlsafe(12))
    made = await _call(
        client,
        platform_key,
        "POST",
        "/v1/tenants",
        {
            "name": name,
            "display_name": display_name,
            "plan": plan,
            "admin": {"email": admin.email, "password": admin.password},
        },
    )
    api_key = str(made["api_key"]["key"] if isinstance(made["api_key"], dict) else made["api_key"])
    agents = (await _call(client, api_key, "GET", "/v1/agents"))["data"]
    agent_id = next((str(agent["id"]) for agent in agents if agent["is_default"]), "")
    if not agent_id:
        raise StartFailed(f"seeding: the tenant {name} has no default agent")
    return SeededTenant(str(made["id"]), name, plan, api_key, admin, agent_id)


async def _call(client: httpx.AsyncClient, key: str, method: str, path: str, body: object = None) -> dict[str, Any]:
    try:
        answer = await client.request(method, path, json=body, headers={"authorization": f"Bearer {key}"})
    except httpx.HTTPError as error:
        raise StartFailed(f"seeding: {method} {path} got no answer: {type(error).__name__}") from error
    if answer.is_error:
        raise StartFailed(f"seeding: {method} {path} answered {answer.status_code}: {answer.text[:300]}")
    content: dict[str, Any] = answer.json()
    return content
