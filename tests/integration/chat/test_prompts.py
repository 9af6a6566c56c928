"""Turns of agents with a prompt: the system prompt that the model receives, and prompts that cannot be rendered."""

from typing import Any

import pytest
from atrium.identity.users.model import User
from atrium.identity.users.store import UserStore
from atrium.kernel.ids import UserId

from tests.builders.api_env import ADMIN, OTHER_PRINCIPAL, OWN, ApiEnv, assert_problem, say
from tests.builders.tenant_env import OTHER_OWNER, TENANT

pytestmark = pytest.mark.loopback
HAIKU = "claude-haiku-5-5"


def add_prompt(api_env: ApiEnv, **fields: Any) -> str:
    body = {"name": "desk", "template": "About {{ topic }}.", "variables": [{"name": "topic"}], **fields}
    answer = api_env.tools_as().post("/v1/prompts", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def add_agent(api_env: ApiEnv, **fields: Any) -> str:
    answer = api_env.admin_as(ADMIN).post("/v1/agents", json={"name": "Ada", "model": HAIKU, **fields})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def add_user(api_env: ApiEnv, **fields: Any) -> None:
    now = api_env.tenant_env.clock()
    user = User(UserId(OTHER_OWNER), TENANT, "grace@acme.example", "user", "active", now, now, **fields)
    UserStore(api_env.tenant_env.table(TENANT)).create(user)


def system_of(api_env: ApiEnv, agent: str, fields: Any = OWN, **body: Any) -> str:
    """Return the system prompt of a turn."""
    answer = say(api_env.chat_as(fields), "Hi", agent_id=agent, **body)
    assert answer.status_code == 200, answer.text
    system = api_env.sent_bodies()[-1].get("system", [])
    return "".join(block["text"] for block in system)


def test_a_turn_has_the_rendered_prompt(api_env: ApiEnv) -> None:
    prompt_id = add_prompt(api_env)
    references: list[dict[str, Any]] = [{"id": prompt_id}, {"name": "desk"}, {"name": "desk", "version": 1}]
    for at, prompt in enumerate(references):
        agent = add_agent(api_env, name=f"agent {at}", prompt={**prompt, "variables": {"topic": "returns"}})
        assert system_of(api_env, agent) == "About returns."


def test_a_change_of_the_prompt_reaches_the_next_turn_unless_the_version_is_fixed(api_env: ApiEnv) -> None:
    prompt_id = add_prompt(api_env)
    prompt = {"name": "desk", "variables": {"topic": "x"}}
    newest = add_agent(api_env, name="newest", prompt=prompt)
    fixed = add_agent(api_env, name="fixed", prompt={**prompt, "version": 1})
    assert system_of(api_env, newest) == "About x."
    api_env.tools_as().patch(f"/v1/prompts/{prompt_id}", json={"template": "All about {{ topic }}."})
    assert [system_of(api_env, agent) for agent in (newest, fixed)] == ["All about x.", "About x."]


def test_a_prompt_of_the_tenant_overrides_the_shipped_one_until_it_is_deleted(api_env: ApiEnv) -> None:
    agent = add_agent(api_env, prompt={"name": "base"})
    assert system_of(api_env, agent).startswith("You are Ada, an assistant of acme.")
    prompt_id = add_prompt(api_env, name="base", template="Own.", variables=[])
    assert system_of(api_env, agent) == "Own."
    api_env.tools_as().delete(f"/v1/prompts/{prompt_id}")
    assert system_of(api_env, agent).startswith("You are Ada")


def test_the_built_in_variables_describe_agent_company_and_user(api_env: ApiEnv) -> None:
    template = "{{ agent }}|{{ company }}|{{ tools }}|{{ capabilities }}|{{ user_name }}|{{ time_zone }}|{{ language }}"
    add_prompt(api_env, template=template, variables=[])
    add_user(api_env, name="Grace", time_zone="Europe/Berlin", language="de")
    agent = add_agent(api_env, prompt={"name": "desk"}, tools=["calculator"], injections=[])
    assert system_of(api_env, agent, OTHER_PRINCIPAL).startswith("Ada|acme|calculator|")
    assert system_of(api_env, agent, OTHER_PRINCIPAL).endswith("|Grace|Europe/Berlin|de")
    assert system_of(api_env, agent, end_user="customer 42").endswith("|customer 42|UTC|en")
    assert system_of(api_env, agent).endswith("||UTC|en")


def test_preferences_of_the_user_are_added_unless_the_agent_switches_them_off(api_env: ApiEnv) -> None:
    add_user(api_env, time_zone="Europe/Berlin", preferences={"style": "casual", "length": "short", "level": "expert"})
    on = add_agent(api_env, name="on", system_prompt="Be brief.")
    off = add_agent(api_env, name="off", system_prompt="Be brief.", injections=["todo", "limits"])
    assert system_of(api_env, on, OTHER_PRINCIPAL) == (
        "Be brief.\n\n# The user\n\n- Time zone: Europe/Berlin\n- Style of the answers: casual\n"
        "- Length of the answers: short\n- Knowledge of the user: expert"
    )
    assert system_of(api_env, on, end_user="customer 42") == "Be brief.\n\n# The user\n\n- Name or id: customer 42"
    assert system_of(api_env, on) == "Be brief."
    assert system_of(api_env, off, OTHER_PRINCIPAL) == "Be brief."


def test_a_user_without_preferences_changes_nothing(api_env: ApiEnv) -> None:
    add_user(api_env, name="Grace")
    assert system_of(api_env, add_agent(api_env, system_prompt="Be brief."), OTHER_PRINCIPAL) == "Be brief."


def test_422_without_a_charge_if_the_prompt_cannot_be_rendered(api_env: ApiEnv) -> None:
    prompt_id = add_prompt(api_env)
    agent = add_agent(api_env, prompt={"id": prompt_id, "variables": {"topic": "x"}})
    required = [{"name": "topic"}, {"name": "more", "required": True}]
    api_env.tools_as().patch(f"/v1/prompts/{prompt_id}", json={"variables": required})
    before, client = api_env.tenant_env.items(), api_env.chat_as()
    for path in ("/v1/chat", "/v1/chat/stream", "/v1/limits/check"):
        answer = client.post(path, json={"message": "Hi", "agent_id": agent})
        detail = assert_problem(answer, 422, "PROMPT_UNUSABLE")["detail"]
        assert "the variable `more` needs a value" in detail
    assert api_env.tenant_env.items() == before
    assert api_env.sent_bodies() == []
