"""`GET /v1/models`: the models that the caller may use, with limits and the prices of the day."""

from datetime import UTC, datetime, timedelta
from typing import Any

import openai
import pytest
from atrium.llm.catalogue import MODELS
from atrium.tenants.plans import PLANS, PlanName

from tests.builders.api_env import OWN, ApiEnv, assert_problem
from tests.builders.gateway import Fields, platform_fields

pytestmark = pytest.mark.loopback


def read(api_env: ApiEnv, fields: Fields = OWN) -> list[dict[str, Any]]:
    response = api_env.chat_as(fields).get("/v1/models")
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer["object"] == "list"
    listed: list[dict[str, Any]] = answer["data"]
    return listed


def ids(api_env: ApiEnv, fields: Fields = OWN) -> list[str]:
    return [model["id"] for model in read(api_env, fields)]


@pytest.mark.parametrize("plan", PLANS)
def test_lists_the_models_of_the_plan(api_env: ApiEnv, plan: PlanName) -> None:
    sizes = PLANS[plan].models
    assert ids(api_env, {**OWN, "plan": plan}) == [each.id for each in MODELS.values() if each.size in sizes]


def test_describes_each_model(api_env: ApiEnv) -> None:
    by_id = {model["id"]: model for model in read(api_env)}
    assert by_id["gpt-6-luna"] == {
        "id": "gpt-6-luna",
        "object": "model",
        "created": int(datetime(2026, 9, 22, tzinfo=UTC).timestamp()),
        "owned_by": "openai",
        "provider": "openai",
        "display_name": "GPT-6 Luna",
        "size": "small",
        "context_tokens": 1_050_000,
        "max_output_tokens": 128_000,
        "accepts_images": True,
        "accepts_temperature": False,
        "key": "platform",
        "price": {
            "input": "0.10", "output": "0.50", "cache_read": "0.01", "cache_write": "0.125",
            "long_prompt": {
                "above_tokens": 272_000, "input": "0.20", "output": "0.75", "cache_read": "0.02", "cache_write": "0.25",
            },
        },
    }  # fmt: skip
    assert by_id["glm-5.3"]["price"]["long_prompt"] is None
    assert (by_id["glm-5.3"]["accepts_images"], by_id["glm-5.3"]["accepts_temperature"]) == (False, True)


def test_shows_the_price_of_the_day(api_env: ApiEnv) -> None:
    def cache_read() -> str:
        (sonnet,) = [model for model in read(api_env) if model["id"] == "claude-sonnet-5-5"]
        price: str = sonnet["price"]["cache_read"]
        return price

    assert cache_read() == "0.10"
    api_env.tenant_env.clock.advance(-timedelta(days=60).total_seconds())
    assert cache_read() == "0.20"


def test_leaves_out_what_a_policy_denies(api_env: ApiEnv) -> None:
    policy = {
        "name": "No GLM", "effect": "deny", "principals": ["*"], "actions": ["*"], "resources": ["model:glm-*"],
    }  # fmt: skip
    assert "glm-5.3" in ids(api_env)
    assert api_env.admin_as().post("/v1/policies", json=policy).status_code == 201
    changed = {**OWN, "config_version": api_env.version()}
    assert ids(api_env, changed) == [each for each in MODELS if not each.startswith("glm-")]


def test_a_credential_that_may_not_chat_has_no_models(api_env: ApiEnv) -> None:
    assert ids(api_env, {**OWN, "scopes": "usage:read"}) == []


def test_the_openai_sdk_lists_the_models(api_env: ApiEnv) -> None:
    client = openai.OpenAI(api_key="any", base_url=f"{api_env.url}/v1", max_retries=0, http_client=api_env.chat_as())
    listed = list(client.models.list())
    assert [(model.id, model.object, model.owned_by) for model in listed] == [
        (each.id, "model", each.vendor) for each in MODELS.values()
    ]


def test_400_without_a_tenant(api_env: ApiEnv) -> None:
    assert_problem(api_env.chat_as(platform_fields()).get("/v1/models"), 400, "TENANT_REQUIRED")


def test_422_for_an_unknown_parameter(api_env: ApiEnv) -> None:
    assert_problem(api_env.chat_as().get("/v1/models?page=1"), 422, "VALIDATION_FAILED")
