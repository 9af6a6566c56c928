"""`/v1/prompts`: prompts are created, returned, listed, changed, rendered, audited and deleted."""

from typing import Any

import pytest

from tests.builders.api_env import ADMIN, ApiEnv

pytestmark = pytest.mark.loopback

TEMPLATE = (
    "You answer questions about {{ topic }} for {{ company }}.\n{% for rule in rules %}\n- {{ rule }}\n{% endfor %}"
)
VARIABLES = [
    {"name": "topic", "type": "string", "description": "What about", "required": True, "default": None},
    {"name": "rules", "type": "list", "description": "", "required": False, "default": ["Be kind."]},
]
PROMPT = {"name": "desk", "description": "The desk", "template": TEMPLATE, "variables": VARIABLES}


def create(api_env: ApiEnv, **fields: Any) -> dict[str, Any]:
    answer = api_env.tools_as().post("/v1/prompts", json={**PROMPT, **fields})
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"].endswith(f"/v1/prompts/{answer.json()['id']}")
    return dict(answer.json())


def test_creates_returns_changes_and_deletes_a_prompt(api_env: ApiEnv) -> None:
    made, client = create(api_env), api_env.tools_as()
    path = f"/v1/prompts/{made['id']}"
    assert {name: made[name] for name in PROMPT} == PROMPT
    assert (made["source"], made["version"]) == ("tenant", 1)
    assert client.get(path).json() == made
    changed = client.patch(path, json={"name": "counter", "description": None}).json()
    assert (changed["name"], changed["description"], changed["version"]) == ("counter", None, 1)
    assert client.get(path).json() == changed
    assert client.delete(path).status_code == 204
    assert client.get(path).status_code == 404
    assert client.get(f"{path}/versions/1").status_code == 404
    assert not [key for key in api_env.tenant_env.items() if "PROMPT" in str(key)]
    assert create(api_env, name="counter")["version"] == 1


def test_another_template_or_other_variables_make_a_version_that_never_changes(api_env: ApiEnv) -> None:
    made, client = create(api_env), api_env.tools_as()
    path = f"/v1/prompts/{made['id']}"
    first = client.get(f"{path}/versions/1").json()
    assert client.patch(path, json={"template": "About {{ topic }}."}).json()["version"] == 2
    assert client.patch(path, json={"template": "About {{ topic }}."}).json()["version"] == 2
    assert client.patch(path, json={"variables": [VARIABLES[0]]}).json()["version"] == 3
    assert client.get(f"{path}/versions/1").json() == first
    assert (first["template"], first["variables"]) == (TEMPLATE, VARIABLES)
    newest = client.get(f"/v1/prompts/{made['id']}/versions", params={"limit": "2"}).json()
    rest = client.get(f"{path}/versions", params={"limit": "2", "cursor": newest["next_cursor"]}).json()
    assert [each["version"] for each in newest["data"] + rest["data"]] == [3, 2, 1]
    assert rest["next_cursor"] is None


def test_lists_the_shipped_prompts_and_then_the_tenants_in_pages(api_env: ApiEnv) -> None:
    made, client, cursor, found = create(api_env), api_env.tools_as(), None, list[Any]()
    for _ in range(2):
        page = client.get("/v1/prompts", params={"limit": "3", **({"cursor": cursor} if cursor else {})}).json()
        found, cursor = found + page["data"], page["next_cursor"]
    assert cursor is None
    assert [(each["name"], each["source"]) for each in found] == [
        ("base", "builtin"), ("customer_service", "builtin"), ("coding", "builtin"), ("desk", "tenant"),
    ]  # fmt: skip
    assert found[3] == made
    assert client.get("/v1/prompts").json()["data"] == found


def test_renders_a_stored_version(api_env: ApiEnv) -> None:
    made, client = create(api_env), api_env.tools_as()
    path = f"/v1/prompts/{made['id']}"
    client.patch(path, json={"template": "New."})
    body = {"version": 1, "values": {"topic": "returns"}, "built_in": {"company": "Acme"}}
    answer = client.post(f"{path}/render", json=body).json()
    assert answer == {
        "text": "You answer questions about returns for Acme.\n- Be kind.\n",
        "estimated_tokens": 19,
        "variables_used": ["company", "rules", "topic"],
    }
    assert client.post(f"{path}/render", json={"values": {"topic": "x"}}).json()["text"] == "New."


def test_renders_a_template_that_is_not_stored_with_the_built_in_variables(api_env: ApiEnv) -> None:
    before = api_env.tenant_env.items()
    template = "{{ agent }}|{{ company }}|{{ tools }}|{{ time_zone }}|{{ language }}|{{ n }}"
    body = {"template": template, "variables": [{"name": "n", "type": "number"}], "values": {"n": 0.5}}
    answer = api_env.tools_as().post("/v1/prompts/render", json=body)
    assert answer.json()["text"] == "assistant|acme||UTC|en|0.5", answer.text
    assert api_env.tenant_env.items() == before


def test_renders_the_date_in_the_time_zone(api_env: ApiEnv) -> None:
    texts = [
        api_env.tools_as()
        .post("/v1/prompts/render", json={"template": "{{ date }}", "built_in": {"time_zone": zone}})
        .json()["text"]
        for zone in ("Pacific/Kiritimati", "Pacific/Midway")
    ]
    assert texts[0] > texts[1]


def test_shipped_prompts_can_be_rendered(api_env: ApiEnv) -> None:
    client = api_env.tools_as()
    for shipped in client.get("/v1/prompts").json()["data"]:
        path = f"/v1/prompts/{shipped['id']}"
        assert client.get(path).json() == shipped
        assert [each["version"] for each in client.get(f"{path}/versions").json()["data"]] == [1]
        assert "assistant" in client.post(f"{path}/render", json={}).json()["text"]


def test_every_change_is_audited_without_the_template_and_raises_the_version(api_env: ApiEnv) -> None:
    before = api_env.version()
    made = create(api_env, template="A secret {{ topic }}.")
    path, client = f"/v1/prompts/{made['id']}", api_env.tools_as(ADMIN)
    client.patch(path, json={"template": "Another secret."})
    client.delete(path)
    assert api_env.version() == before + 3
    events = [event.details for event in api_env.events("admin.change")]
    assert [(each["action"], each["version"]) for each in events] == [
        ("prompt.delete", 2), ("prompt.change", 2), ("prompt.create", 1)
    ]  # fmt: skip
    assert "secret" not in str(events)
