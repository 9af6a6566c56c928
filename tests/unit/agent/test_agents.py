"""A tenant's agents: names are unique, one agent is the default, and the plan limits their number and settings."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from atrium.agent.service import AgentView
from atrium.agent.store import AgentStore
from atrium.kernel.errors import (
    AtriumError,
    Conflict,
    CountExceeded,
    ModelNotAllowed,
    NotFound,
    ProviderUnsupported,
    ValidationFailed,
)
from atrium.kernel.pagination import PageRequest
from atrium.storage import keys

from tests.builders.tenant_env import OTHER_TENANT, TENANT, TenantEnv, context_of
from tests.builders.wires import Send

FIELDS = {"name": "poet", "model": "claude-haiku-5-5"}


def create(tenant_env: TenantEnv, *, is_default: bool = False, **fields: Any) -> AgentView:
    return tenant_env.agents().create({**FIELDS, **fields}, is_default=is_default)


def names(tenant_env: TenantEnv) -> list[str]:
    return [view.agent.name for view in tenant_env.agents().list(PageRequest(100)).items]


def version(tenant_env: TenantEnv) -> int:
    item = tenant_env.table().get(keys.tenant())
    assert item is not None
    return int(item["config_version"])


def test_an_agent_comes_back_as_it_was_created(tenant_env: TenantEnv) -> None:
    made = create(
        tenant_env,
        description="Rhymes",
        provider="anthropic",
        system_prompt="Rhyme.",
        tools=("calculator",),
        max_tokens=77,
        max_iterations=3,
        require_done_tool=True,
        compaction_profile="coding",
    )
    assert tenant_env.agents().get(made.agent.id) == made
    assert (made.agent.provider, made.is_default, made.agent.created_at) == ("anthropic", False, tenant_env.clock.now)


def test_creates_with_defaults(tenant_env: TenantEnv) -> None:
    agent = create(tenant_env).agent
    assert (agent.provider, agent.max_tokens, agent.max_iterations, agent.tools) == ("anthropic", 4_096, 20, ())
    assert (agent.temperature, agent.require_done_tool, agent.compaction_profile) == (None, False, None)


def test_lists_oldest_first_in_pages(tenant_env: TenantEnv) -> None:
    for number in range(3):
        tenant_env.clock.advance(1)
        create(tenant_env, name=f"n{number}")
    assert names(tenant_env) == ["assistant", "n0", "n1", "n2"]
    page = tenant_env.agents().list(PageRequest(3))
    rest = tenant_env.agents().list(PageRequest(3, page.position))
    assert [view.agent.name for view in [*page.items, *rest.items]] == names(tenant_env)
    assert [view.is_default for view in page.items] == [True, False, False]


def test_requires_unique_names_within_a_tenant_only(tenant_env: TenantEnv) -> None:
    create(tenant_env)
    before = tenant_env.items()
    with pytest.raises(Conflict, match="Another agent has this name"):
        create(tenant_env)
    assert tenant_env.items() == before
    other = tenant_env.agents(context_of(tenant=OTHER_TENANT))
    assert other.create(FIELDS, is_default=False).agent.name == "poet"


def test_there_is_one_default(tenant_env: TenantEnv) -> None:
    first = create(tenant_env, name="first", is_default=True)
    second = create(tenant_env, name="second", is_default=True)
    assert (first.is_default, second.is_default) == (True, True)
    found = tenant_env.agents().list(PageRequest(100)).items
    assert [view.agent.name for view in found if view.is_default] == ["second"]
    assert tenant_env.agents().change(first.agent.id, {}, is_default=True).is_default
    assert not tenant_env.agents().get(second.agent.id).is_default


def test_each_change_increments_the_tenants_config_version(tenant_env: TenantEnv) -> None:
    versions = [version(tenant_env)]
    agent = create(tenant_env).agent
    versions.append(version(tenant_env))
    tenant_env.agents().change(agent.id, {"description": "x"}, is_default=None)
    versions.append(version(tenant_env))
    tenant_env.agents().delete(agent.id)
    versions.append(version(tenant_env))
    assert versions == list(range(versions[0], versions[0] + 4))


def test_changes_only_the_given_fields(tenant_env: TenantEnv) -> None:
    agent = create(tenant_env, description="old", system_prompt="Rhyme.").agent
    tenant_env.clock.advance(5)
    changed = tenant_env.agents().change(agent.id, {"description": "new"}, is_default=None)
    assert (changed.agent.description, changed.agent.system_prompt) == ("new", "Rhyme.")
    assert (changed.agent.created_at, changed.agent.updated_at) == (agent.created_at, tenant_env.clock.now)
    assert tenant_env.agents().get(agent.id) == changed


def test_renaming_frees_the_old_name(tenant_env: TenantEnv) -> None:
    agent = create(tenant_env).agent
    tenant_env.agents().change(agent.id, {"name": "bard"}, is_default=None)
    assert create(tenant_env).agent.name == "poet"
    with pytest.raises(Conflict, match="Another agent has this name"):
        create(tenant_env, name="bard")


def test_changes_nothing_if_the_new_name_is_taken(tenant_env: TenantEnv) -> None:
    agent = create(tenant_env).agent
    before = tenant_env.items()
    with pytest.raises(Conflict):
        tenant_env.agents().change(agent.id, {"name": "assistant"}, is_default=None)
    assert tenant_env.items() == before


def test_concurrent_changes_do_not_overwrite_each_other(tenant_env: TenantEnv) -> None:
    agent = create(tenant_env).agent
    once: list[None] = []

    def change_between(operation: str, _arguments: object, send: Send) -> Any:
        if operation == "TransactWriteItems" and not once:
            once.append(None)
            tenant_env.clock.advance(1)
            tenant_env.agents().change(agent.id, {"system_prompt": "Rhyme."}, is_default=None)
        return send()

    with tenant_env.intercepted(change_between), pytest.raises(Conflict, match="changed by another request"):
        tenant_env.agents().change(agent.id, {"description": "x"}, is_default=None)
    assert tenant_env.agents().get(agent.id).agent.system_prompt == "Rhyme."


def test_raises_not_found_if_deleted_during_a_change(tenant_env: TenantEnv) -> None:
    agent = create(tenant_env).agent
    tenant_env.agents().delete(agent.id)
    with pytest.raises(NotFound):
        AgentStore(tenant_env.table()).replace(agent, before=agent, make_default=False)
    assert names(tenant_env) == ["assistant"]


def test_deleting_frees_the_name(tenant_env: TenantEnv) -> None:
    agent = create(tenant_env).agent
    tenant_env.agents().delete(agent.id)
    with pytest.raises(NotFound):
        tenant_env.agents().get(agent.id)
    with pytest.raises(NotFound):
        tenant_env.agents().delete(agent.id)
    assert create(tenant_env).agent.id != agent.id


def test_the_default_cannot_be_deleted_or_cleared(tenant_env: TenantEnv) -> None:
    agent = create(tenant_env, is_default=True).agent
    with pytest.raises(Conflict, match="default agent cannot be deleted"):
        tenant_env.agents().delete(agent.id)
    with pytest.raises(ValidationFailed):
        tenant_env.agents().change(agent.id, {}, is_default=False)
    assert tenant_env.agents().get(agent.id).is_default


@pytest.mark.parametrize(
    ("fields", "failure"),
    [
        ({"model": "gpt-4"}, ValidationFailed),
        ({"provider": "openai"}, ProviderUnsupported),
        ({"temperature": Decimal("0.5")}, ValidationFailed),
        ({"tools": ("calculator", "teleport")}, ValidationFailed),
        ({"max_tokens": 128_001}, ValidationFailed),
    ],
    ids=lambda value: str(value)[:40],
)
def test_rejects_invalid_fields_on_creation_and_change(
    tenant_env: TenantEnv, fields: Mapping[str, Any], failure: type[AtriumError]
) -> None:
    agent = create(tenant_env).agent
    before = tenant_env.items()
    with pytest.raises(failure):
        create(tenant_env, name="other", **fields)
    with pytest.raises(failure):
        tenant_env.agents().change(agent.id, fields, is_default=None)
    assert tenant_env.items() == before


def test_rejects_a_model_outside_the_plan(tenant_env: TenantEnv) -> None:
    free = tenant_env.agents(context_of(plan="free"))
    with pytest.raises(ModelNotAllowed):
        free.create({**FIELDS, "model": "claude-opus-5-5"}, is_default=False)


def test_rejects_more_agents_than_the_plan_allows(tenant_env: TenantEnv) -> None:
    tenant_env.configure(plan="free")
    free = tenant_env.agents(context_of(plan="free"))
    made = [free.create({**FIELDS, "name": f"n{number}"}, is_default=False) for number in range(9)]
    with pytest.raises(CountExceeded) as full:
        free.create({**FIELDS, "name": "n9"}, is_default=False)
    assert (full.value.status, full.value.code) == (403, "QUOTA_EXCEEDED")
    assert full.value.extensions == {"limit": "agents", "scope": "tenant", "used": 10, "max": 10, "resets_at": None}
    free.delete(made[0].agent.id)
    with pytest.raises(NotFound):
        free.delete(made[0].agent.id)
    assert free.create({**FIELDS, "name": "n9"}, is_default=False)
    with pytest.raises(Conflict):
        free.create({**FIELDS, "name": "n9"}, is_default=False)
    tenant_env.configure(plan="enterprise")
    assert tenant_env.agents(context_of(plan="enterprise")).create({**FIELDS, "name": "n10"}, is_default=False)


@pytest.mark.parametrize(("own", "fit"), [(0, 0), (1, 0), (2, 1)])
def test_the_tenants_own_limit_overrides_the_plan(tenant_env: TenantEnv, own: int, fit: int) -> None:
    tenant_env.configure(limits={"agents": own})
    for number in range(fit):
        create(tenant_env, name=f"n{number}")
    with pytest.raises(CountExceeded) as full:
        create(tenant_env, name="one more")
    assert (full.value.extensions["used"], full.value.extensions["max"]) == (1 + fit, own)


@pytest.mark.parametrize(
    "agent_id", ["", "x", "agt_", "ses_01k6r5m2x8f3v9q4w7t1y0z5ab", "agt_01k6r5m2x8f3v9q4w7t1y0z5ab"]
)
def test_unknown_ids_are_not_found(tenant_env: TenantEnv, agent_id: str) -> None:
    with pytest.raises(NotFound):
        tenant_env.agents().get(agent_id)


def test_another_tenants_agent_is_not_found(tenant_env: TenantEnv) -> None:
    agent = create(tenant_env).agent
    other = tenant_env.agents(context_of(tenant=OTHER_TENANT))
    before = tenant_env.items(TENANT)
    for ask in (other.get, other.delete, lambda agent_id: other.change(agent_id, {"name": "x"}, is_default=True)):
        with pytest.raises(NotFound):
            ask(agent.id)
    assert agent.id not in {view.agent.id for view in other.list(PageRequest(100)).items}
    assert tenant_env.items(TENANT) == before
