"""`web_search` is offered if the deployment has a provider, and a turn calls the provider."""

import json

import pytest
from atrium.egress.client import EgressClient
from atrium.egress.destination import Rules
from atrium.tools.search_provider import PROVIDERS, WebSearch

from infra.local.search_server import PROVIDER, running
from tests.builders.api_env import ApiEnv, assert_problem, stream
from tests.builders.http_tools import LOCAL

pytestmark = pytest.mark.loopback
AGENT = {"name": "researcher", "model": "claude-haiku-5-5", "tools": ["web_search"]}


def offer_search(api_env: ApiEnv, url: str) -> None:
    runtime = api_env.runtime
    runtime.__dict__["egress"] = EgressClient(Rules(local_addresses=LOCAL))
    runtime.__dict__["web_search"] = WebSearch(PROVIDERS[PROVIDER], lambda: "a-key-of-tests", url)


def listed(api_env: ApiEnv) -> set[str]:
    return {each["name"] for each in api_env.tools_as().get("/v1/tools?limit=100").json()["data"]}


def test_without_a_provider_it_cannot_be_chosen(api_env: ApiEnv) -> None:
    assert "web_search" not in listed(api_env)
    body = assert_problem(api_env.admin_as().post("/v1/agents", json=AGENT), 422, "VALIDATION_FAILED")
    assert body["errors"][0]["loc"] == ["body", "tools"]
    assert "must not contain `web_search`, which this deployment does not offer" in body["errors"][0]["msg"]


def test_a_turn_searches_and_hides_denied_hosts(api_env: ApiEnv) -> None:
    api_env.tenant_env.configure(settings='{"outbound": {"deny": ["ads.example.org"]}}')
    with running() as url:
        offer_search(api_env, url)
        assert "web_search" in listed(api_env)
        agent_id = api_env.admin_as().post("/v1/agents", json=AGENT).json()["id"]
        events = stream(api_env.chat_as(), '[[tool=web_search {"query": "tea"}]]', agent_id=agent_id)
    (result,) = [event.data for event in events if event.event == "tool_result"]
    assert not result["is_error"]
    found = json.loads(result["result"])["results"]
    assert {each["title"] for each in found} == {"Tea", "Tea shop"}
    assert "Buy green tea & black tea: free delivery." in {each["snippet"] for each in found}
    (event,) = api_env.events("tool.call")
    assert (event.details["tool"], event.details["arguments"]) == ("web_search", {"query": "tea"})


def test_an_agent_keeps_working_when_the_provider_is_removed(api_env: ApiEnv) -> None:
    with running() as url:
        offer_search(api_env, url)
        agent_id = api_env.admin_as().post("/v1/agents", json=AGENT).json()["id"]
    del api_env.runtime.__dict__["web_search"], api_env.runtime.__dict__["tools"]
    events = stream(api_env.chat_as(), '[[tool=web_search {"query": "tea"}]]', agent_id=agent_id)
    assert "web_search" not in {tool["name"] for body in api_env.sent_bodies() for tool in body.get("tools", [])}
    assert events[-1].event == "final"
