"""Administration of HTTP tools: unique names, secrets that can only be written, limits and audit."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from atrium.audit.query import make_query
from atrium.kernel.errors import AtriumError, Conflict, CountExceeded, NotFound, ValidationFailed
from atrium.kernel.ids import mint_tool_id
from atrium.kernel.pagination import PageRequest
from atrium.storage import keys
from atrium.tools.http.calling import open_secrets
from atrium.tools.http.model import TOOLS_MAX, ToolDefinition
from atrium.tools.http.service import HttpToolService

from tests.builders.http_tools import SECRET, http_tools, request_to, tool_fields
from tests.builders.tenant_env import ADMIN, OTHER_TENANT, TenantEnv, context_of

WITH_SECRET = {"headers": {"Authorization": "Bearer {{secret.KEY}}"}, "secrets": {"KEY": SECRET}}


@pytest.fixture
def service(tenant_env: TenantEnv) -> HttpToolService:
    return http_tools(tenant_env)


def secrets_of(tenant_env: TenantEnv, tool: ToolDefinition) -> dict[str, str]:
    return open_secrets(tool, tenant_env.encryption())


def version(tenant_env: TenantEnv) -> int:
    return int((tenant_env.table().get(keys.tenant()) or {})["config_version"])


def test_creates_lists_changes_and_deletes(tenant_env: TenantEnv, service: HttpToolService) -> None:
    before = version(tenant_env)
    tool = service.create(tool_fields())
    changed = service.change(tool.id, {"name": "forecast", "description": "D.", "requires_approval": True})
    assert (changed.id, changed.name, changed.version, changed.requires_approval) == (tool.id, "forecast", 2, True)
    assert service.get(tool.id) == changed
    assert service.create(tool_fields()).name == "weather"
    assert [each.name for each in service.list(PageRequest()).items] == ["forecast", "weather"]
    service.delete(tool.id)
    assert [each.name for each in service.list(PageRequest()).items] == ["weather"]
    assert version(tenant_env) == before + 4
    with pytest.raises(NotFound):
        service.get(tool.id)


@pytest.mark.parametrize("effect", ["pure", "idempotent", "effectful"])
def test_the_default_permission_follows_from_the_effect(service: HttpToolService, effect: str) -> None:
    assert service.create(tool_fields(effect=effect)).permission == ("read" if effect == "pure" else "write")
    assert service.create(tool_fields(effect=effect, name="b", permission="admin")).permission == "admin"


def test_names_are_unique_within_a_tenant(tenant_env: TenantEnv, service: HttpToolService) -> None:
    service.create(tool_fields())
    other = service.create(tool_fields(name="other"))
    with pytest.raises(Conflict, match="this name"):
        service.create(tool_fields())
    with pytest.raises(Conflict, match="this name"):
        service.change(other.id, {"name": "weather"})
    http_tools(tenant_env, context_of(tenant=OTHER_TENANT)).create(tool_fields())


def test_another_tenants_tool_does_not_exist(tenant_env: TenantEnv, service: HttpToolService) -> None:
    tool, other = service.create(tool_fields()), http_tools(tenant_env, context_of(tenant=OTHER_TENANT))
    calls: list[Callable[[], object]] = [
        lambda: other.get(tool.id), lambda: other.change(tool.id, {"description": "x"}), lambda: other.delete(tool.id),
        lambda: other.test(tool.id, {}, tenant_env.services(context_of(tenant=OTHER_TENANT))),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(NotFound):
            call()
    assert other.list(PageRequest()).items == []


def test_the_number_of_tools_is_limited(service: HttpToolService) -> None:
    for number in range(TOOLS_MAX):
        tool = service.create(tool_fields(name=f"tool_{number}"))
    with pytest.raises(CountExceeded) as caught:
        service.create(tool_fields())
    assert caught.value.extensions["limit"] == "tools"
    service.delete(tool.id)
    service.create(tool_fields())


def test_a_concurrent_change_is_rejected(service: HttpToolService) -> None:
    tool = service.create(tool_fields())
    service.change(tool.id, {"description": "newer"})
    record = service._record("change", tool)
    with pytest.raises(Conflict, match="changed by another request"):
        service.store.replace(tool, record, before=tool)
    with pytest.raises(Conflict, match="changed by another request"):
        service.store.delete(tool, record)
    with pytest.raises(NotFound):
        service.get(mint_tool_id(service.guard.clock()))


def test_secrets_are_merged_and_deleted(tenant_env: TenantEnv, service: HttpToolService) -> None:
    tool = service.create(tool_fields(**WITH_SECRET))
    assert secrets_of(tenant_env, tool) == {"KEY": SECRET}
    assert SECRET not in str(tenant_env.items()) + repr(tool)
    service.change(tool.id, {"secrets": {"OTHER": "another value"}})
    tool = service.change(tool.id, {"secrets": {"KEY": "a new value"}})
    assert secrets_of(tenant_env, tool) == {"KEY": "a new value", "OTHER": "another value"}
    tool = service.change(tool.id, {"secrets": {"OTHER": None}})
    assert (tool.secret_names, secrets_of(tenant_env, tool)) == (("KEY",), {"KEY": "a new value"})
    with pytest.raises(ValidationFailed, match="must contain KEY"):
        service.change(tool.id, {"secrets": {"KEY": None}})
    assert secrets_of(tenant_env, service.change(tool.id, {"description": "x"})) == {"KEY": "a new value"}


@pytest.mark.parametrize("url", ["https://evil.example/", "https://api.example:8443/", "http://127.0.0.1/"])
def test_a_secret_cannot_be_moved_to_another_host(tenant_env: TenantEnv, service: HttpToolService, url: str) -> None:
    tool = service.create(tool_fields(**WITH_SECRET))
    moved = {"http": request_to(url, headers=WITH_SECRET["headers"])}
    for changes in (moved, {**moved, "secrets": {"OTHER": "another value"}}):
        with pytest.raises(ValidationFailed, match="all secrets again"):
            service.change(tool.id, changes)
    changed = service.change(tool.id, {**moved, "secrets": {"KEY": "a new value"}})
    assert secrets_of(tenant_env, changed) == {"KEY": "a new value"}


@pytest.mark.parametrize("use", ["delete", "rename"])
def test_a_tool_that_an_agent_has_keeps_its_name(tenant_env: TenantEnv, service: HttpToolService, use: str) -> None:
    tool = service.create(tool_fields())
    agents = tenant_env.agents()
    agent = agents.create({"name": "reporter", "model": "claude-haiku-5-5", "tools": ("weather",)}, is_default=False)
    remove: Callable[[], object] = (
        (lambda: service.delete(tool.id)) if use == "delete" else (lambda: service.change(tool.id, {"name": "new"}))
    )
    with pytest.raises(Conflict, match="reporter"):
        remove()
    agents.change(agent.agent.id, {"tools": ()}, is_default=None)
    remove()


def test_agents_can_have_only_tools_that_exist(tenant_env: TenantEnv, service: HttpToolService) -> None:
    http_tools(tenant_env, context_of(tenant=OTHER_TENANT)).create(tool_fields(name="theirs"))
    service.create(tool_fields())
    agent: dict[str, Any] = {"name": "a", "model": "claude-haiku-5-5", "require_approval": ("weather",)}
    tenant_env.agents().create({**agent, "tools": ("weather", "calculator")}, is_default=False)
    for name in ("theirs", "gone", "a#b"):
        with pytest.raises(ValidationFailed, match="names of the tenant's tools"):
            tenant_env.agents().create({**agent, "name": "b", "tools": ("weather", name)}, is_default=False)


def test_changes_are_audited_without_secrets(tenant_env: TenantEnv, service: HttpToolService) -> None:
    tool = service.create(tool_fields("https://api.example/{city}?key={{secret.KEY}}", **WITH_SECRET))
    service.change(tool.id, {"secrets": {"KEY": SECRET + "2"}, "description": "x"})
    service.delete(tool.id)
    events = tenant_env.guard(ADMIN).audit.list(make_query(now=tenant_env.clock(), type="admin.change"), PageRequest())
    details = {str(event.details["action"]): event.details for event in events.items}
    assert set(details) == {"tool.create", "tool.change", "tool.delete"}
    assert details["tool.change"]["changed"] == ["description", "secrets"]
    assert details["tool.create"]["url"] == "https://api.example/{city}"
    assert details["tool.create"]["secret_names"] == ["KEY"]
    assert SECRET not in json.dumps([dict(each) for each in details.values()])


def test_errors_do_not_contain_secrets(service: HttpToolService) -> None:
    with pytest.raises(AtriumError) as caught:
        service.create(tool_fields(query={"a": "{unknown}"}, **WITH_SECRET))
    assert SECRET not in f"{caught.value} {caught.value.detail} {caught.value.internal} {caught.value.extensions}"
