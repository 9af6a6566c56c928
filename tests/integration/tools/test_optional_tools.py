"""`web_search` and `knowledge_search` are offered only if the deployment has what they need, and work in a turn."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from atrium.egress.client import EgressClient
from atrium.egress.destination import Rules
from atrium.kernel.ids import TenantId
from atrium.tools.search_provider import PROVIDERS, WebSearch

from infra.local.search_server import PROVIDER, running
from tests.builders.api_env import ApiEnv, assert_problem, stream
from tests.builders.http_tools import LOCAL
from tests.builders.tenant_env import TENANT

pytestmark = pytest.mark.loopback
AGENT = {"name": "researcher", "model": "claude-haiku-5-5", "tools": ["web_search"]}


@dataclass(frozen=True)
class Match:
    """A passage."""

    text: str
    document: str = "doc_1"
    position: int = 7
    score: float = 0.9


@dataclass(frozen=True)
class Knowledge:
    """The knowledge base of a tenant, which repeats the query."""

    tenant_id: TenantId

    def search(self, namespaces: Sequence[str], query: str, top_k: int) -> Sequence[Match]:
        return [Match(f"{name} of {self.tenant_id}: {query}") for name in namespaces][:top_k]


def offer_search(api_env: ApiEnv, url: str) -> None:
    runtime = api_env.runtime
    runtime.__dict__["egress"] = EgressClient(Rules(local_addresses=LOCAL))
    runtime.__dict__["web_search"] = WebSearch(PROVIDERS[PROVIDER], lambda: "a-key-of-tests", url)


def listed(api_env: ApiEnv) -> set[str]:
    return {each["name"] for each in api_env.tools_as().get("/v1/tools?limit=100").json()["data"]}


@pytest.mark.parametrize("name", ["web_search", "knowledge_search"])
def test_a_tool_that_is_not_offered_cannot_be_chosen(api_env: ApiEnv, name: str) -> None:
    assert name not in listed(api_env)
    answer = api_env.admin_as().post("/v1/agents", json={**AGENT, "tools": ["calculator", name]})
    body = assert_problem(answer, 422, "VALIDATION_FAILED")
    assert body["errors"][0]["loc"] == ["body", "tools"]
    assert f"must not contain `{name}`, which this deployment does not offer" in body["errors"][0]["msg"]


def test_a_turn_searches_the_knowledge_of_its_tenant(api_env: ApiEnv) -> None:
    object.__setattr__(api_env.runtime, "knowledge", lambda context: Knowledge(context.tenant_id))
    assert "knowledge_search" in listed(api_env)
    agent_id = api_env.admin_as().post("/v1/agents", json={**AGENT, "tools": ["knowledge_search"]}).json()["id"]
    call = '[[tool=knowledge_search {"query": "tea", "namespaces": ["handbook"], "top_k": 3}]]'
    events = stream(api_env.chat_as(), call, agent_id=agent_id)
    (result,) = [event.data["result"] for event in events if event.event == "tool_result"]
    assert result == f"[document doc_1, position 7, score 0.900]\nhandbook of {TENANT}: tea"


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
