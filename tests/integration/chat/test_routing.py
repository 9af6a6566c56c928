"""Turns whose model is `auto`: the chosen model, the explanation in all responses, fallbacks and refusals."""

from dataclasses import replace
from typing import Any

import pytest
from atrium.llm.circuit import OUTAGES_MAX

from tests.builders.api_env import ADMIN, OWN, ApiEnv, assert_problem, read_events, say, stream
from tests.builders.gateway import tenant_fields
from tests.builders.images import image_block, text_block

pytestmark = pytest.mark.loopback

HAIKU, SONNET, OPUS, LUNA, FLASH, GLM = (
    "claude-haiku-5-5", "claude-sonnet-5-5", "claude-opus-5-5", "gpt-6-luna", "glm-5.3-flash", "glm-5.3"
)  # fmt: skip
SMALL = {HAIKU, LUNA, FLASH}
HARD, CODE = "Prove that there are infinitely many primes.", "Write a Python function."


def add_rule(api_env: ApiEnv, *models: str, **fields: Any) -> None:
    body = {"name": "own", "priority": 20, "models": [{"model": model} for model in models], **fields}
    answer = api_env.tools_as(ADMIN).post("/v1/routing-rules", json=body)
    assert answer.status_code == 201, answer.text


def make_agent(api_env: ApiEnv, **fields: Any) -> str:
    answer = api_env.admin_as(ADMIN).post("/v1/agents", json={"name": "router", "model": "auto", **fields})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def asked(api_env: ApiEnv) -> list[str]:
    """Return the models that were called."""
    return [str(body["model"]) for body in api_env.sent_bodies()]


def test_an_agent_with_auto_uses_the_shipped_rules(api_env: ApiEnv) -> None:
    agent = make_agent(api_env)
    told = [say(api_env.chat_as(), text, agent_id=agent).json() for text in (HARD, CODE, "Hi")]
    assert [each["routing"]["rule"] for each in told] == ["builtin:large", "builtin:medium", "builtin:small"]
    assert told[0]["model"] == OPUS
    assert told[2]["model"] in SMALL
    assert [each["model"] for each in told] == asked(api_env)


def test_all_responses_tell_the_model_and_the_reason(api_env: ApiEnv) -> None:
    add_rule(api_env, SONNET, when={"complexity": "high"})
    client, expected = (
        api_env.chat_as(),
        {"rule": "own", "reason": "Complexity high; the only usable model of the rule."},
    )
    answer = say(client, HARD, model="auto").json()
    assert (answer["model"], answer["routing"]) == (SONNET, expected)
    run = client.get(f"/v1/runs/{answer['run_id']}").json()
    assert (run["model"], run["provider"], run["routing"]) == (SONNET, "anthropic", expected)
    start = stream(client, HARD, model="auto")[0]
    assert (start.data["model"], start.data["routing"]) == (SONNET, expected)
    with client.stream("GET", f"/v1/runs/{start.data['run_id']}/events") as replayed:
        first = next(event for event in read_events(replayed) if event)
    assert first.data == start.data
    checked = client.post("/v1/limits/check", json={"message": HARD, "model": "auto"}).json()
    assert (checked["model"], checked["routing"], checked["admitted"]) == (SONNET, expected, True)


def test_a_fixed_model_has_no_routing_and_reads_no_rules(api_env: ApiEnv) -> None:
    add_rule(api_env, OPUS)
    client = api_env.chat_as()
    answer = say(client, HARD).json()
    assert answer["model"] == HAIKU
    assert "routing" not in answer
    assert "routing" not in client.get(f"/v1/runs/{answer['run_id']}").json()
    assert "routing" not in stream(client, HARD)[0].data
    assert "routing" not in client.post("/v1/limits/check", json={"message": HARD}).json()
    assert "router" not in api_env.runtime.__dict__


def test_a_request_can_replace_auto_by_a_model_and_a_model_by_auto(api_env: ApiEnv) -> None:
    agent = make_agent(api_env)
    fixed = say(api_env.chat_as(), HARD, agent_id=agent, model=HAIKU).json()
    assert (fixed["model"], "routing" in fixed) == (HAIKU, False)
    assert say(api_env.chat_as(), HARD, model="auto").json()["model"] == OPUS


def test_a_changed_rule_applies_to_the_next_turn(api_env: ApiEnv) -> None:
    client = api_env.chat_as()
    assert say(client, HARD, model="auto").json()["model"] == OPUS
    add_rule(api_env, SONNET)
    assert say(client, HARD, model="auto").json()["model"] == SONNET


def test_the_other_models_of_the_rule_are_the_fallbacks_across_providers(api_env: ApiEnv) -> None:
    add_rule(api_env, SONNET, models=[{"model": SONNET, "weight": 1000}, {"model": LUNA, "weight": 1}])
    client = api_env.chat_as()
    answers = [
        say(client, f"[[status=529]] [[retry_after=0.01]] [[only={SONNET}]] {number} [[echo]]", model="auto").json()
        for number in range(2)
    ]
    answer = next(each for each in answers if each["degraded"])
    assert (answer["model"], answer["routing"]["rule"]) == (LUNA, "own")
    run = client.get(f"/v1/runs/{answer['run_id']}").json()
    assert (run["model"], run["provider"]) == (LUNA, "openai")
    assert api_env.tenant_env.entry_of(answer["run_id"]).provider == "openai"


def test_the_plan_and_the_policies_restrict_the_models(api_env: ApiEnv) -> None:
    add_rule(api_env, OPUS, SONNET, HAIKU)
    api_env.tenant_env.configure(plan="starter")
    starter = api_env.chat_as({**OWN, "plan": "starter"})
    assert say(starter, "Hi", model="auto").json()["model"] in {SONNET, HAIKU}
    policy = {"name": "p", "effect": "deny", "principals": ["*"], "actions": ["*"], "resources": [f"model:{SONNET}"]}
    assert api_env.admin_as(ADMIN).post("/v1/policies", json=policy).status_code == 201
    client = api_env.chat_as({**OWN, "plan": "starter", "config_version": str(api_env.version())})
    assert {say(client, "Hi", model="auto").json()["model"] for _ in range(4)} == {HAIKU}


def test_403_if_the_policies_allow_no_model_and_the_refusal_is_audited(api_env: ApiEnv) -> None:
    policy = {"name": "p", "effect": "deny", "principals": ["*"], "actions": ["*"], "resources": ["model:*"]}
    assert api_env.admin_as(ADMIN).post("/v1/policies", json=policy).status_code == 201
    client = api_env.chat_as({**OWN, "config_version": str(api_env.version())})
    before = [item for item in api_env.tenant_env.items() if "IDEMPOTENCY" not in str(item["pk"])]
    assert_problem(say(client, "Hi", model="auto"), 403, "MODEL_NOT_ALLOWED")
    assert api_env.tenant_env.items() == before
    assert api_env.events("model.refuse")[0].details["model"] == "auto"


def test_503_if_all_circuits_are_open(api_env: ApiEnv) -> None:
    for model in (HAIKU, LUNA, FLASH):
        for _ in range(OUTAGES_MAX):
            api_env.runtime.models.breaker.record_outage(model)
    answer = say(api_env.chat_as(), "Hi", model="auto")
    assert_problem(answer, 503, "CIRCUIT_OPEN")
    assert 1 <= int(answer.headers["retry-after"]) <= 30


def test_only_models_with_an_api_key_are_used(api_env: ApiEnv) -> None:
    """A deployment with one vendor's key routes to this vendor."""
    secrets = api_env.runtime.secrets
    secrets.settings = replace(secrets.settings, model_api_keys={"zhipu": "a-key-of-tests"})
    assert {say(api_env.chat_as(), "Hi", model="auto").json()["model"] for _ in range(3)} == {FLASH}


def test_images_are_sent_only_to_models_that_accept_them(api_env: ApiEnv) -> None:
    add_rule(api_env, GLM, SONNET)
    body, client = {"message": [text_block("What is this?"), image_block()], "model": "auto"}, api_env.chat_as()
    assert {client.post("/v1/chat", json=body).json()["model"] for _ in range(4)} == {SONNET}


def test_an_agents_temperature_restricts_the_models(api_env: ApiEnv) -> None:
    agent = make_agent(api_env, temperature=0.5)
    assert {say(api_env.chat_as(), "Hi", agent_id=agent).json()["model"] for _ in range(4)} == {FLASH}


def test_the_prompt_includes_the_system_prompt_and_earlier_messages(api_env: ApiEnv) -> None:
    add_rule(api_env, SONNET, when={"prompt_tokens_min": 700})
    agent, client = make_agent(api_env, system_prompt="Be brief. " * 100), api_env.chat_as()
    first = say(client, "word " * 150, agent_id=agent).json()
    assert first["routing"]["rule"] != "own"
    second = say(client, "word " * 150, agent_id=agent, session_id=first["session_id"]).json()
    assert (second["routing"]["rule"], second["model"]) == ("own", SONNET)
    assert second["routing"]["reason"].startswith("About ")


def test_the_dry_run_needs_no_scope_chat(api_env: ApiEnv) -> None:
    client = api_env.chat_as(tenant_fields(scopes="usage:read"))
    answer = client.post("/v1/limits/check", json={"message": HARD, "model": "auto"})
    assert (answer.status_code, answer.json()["model"]) == (200, OPUS)


@pytest.mark.parametrize("provider", ["anthropic", "acme"])
def test_422_for_a_provider_besides_auto(api_env: ApiEnv, provider: str) -> None:
    assert_problem(say(api_env.chat_as(), "Hi", model="auto", provider=provider), 422, "PROVIDER_UNSUPPORTED")
    assert say(api_env.chat_as(), "Hi", model="auto", provider="auto").status_code == 200


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"provider": "anthropic"}, "provider"),
        ({"fallback_models": [HAIKU]}, "fallback_models"),
        ({"max_tokens": 1_000_000}, "max_tokens"),
    ],
)
def test_422_for_fields_of_an_agent_that_depend_on_one_model(api_env: ApiEnv, fields: Any, field: str) -> None:
    answer = api_env.admin_as(ADMIN).post("/v1/agents", json={"name": "a", "model": "auto", **fields})
    assert assert_problem(answer, 422, "VALIDATION_FAILED")["errors"][0]["loc"] == ["body", field]


def test_an_agent_can_change_between_auto_and_a_model(api_env: ApiEnv) -> None:
    path, admin = f"/v1/agents/{make_agent(api_env)}", api_env.admin_as(ADMIN)
    assert admin.get(path).json()["provider"] == "auto"
    assert admin.patch(path, json={"description": "d"}).json()["model"] == "auto"
    changed = admin.patch(path, json={"model": HAIKU}).json()
    assert (changed["model"], changed["provider"]) == (HAIKU, "anthropic")
    assert admin.patch(path, json={"model": "auto"}).json()["provider"] == "auto"
