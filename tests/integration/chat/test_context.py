"""Long sessions over HTTP: summaries, limits of the history, and prompts that the provider rejects as too long."""

from typing import Any

import pytest
from atrium.context.conversation import SUMMARY_HEADING

from tests.builders.api_env import ADMIN, ApiEnv, say

pytestmark = pytest.mark.loopback


def configure(api_env: ApiEnv, **fields: Any) -> str:
    """Create an agent with these fields. Return its id."""
    body = {"name": "long", "model": "claude-haiku-5-5", "system_prompt": "Be brief.", **fields}
    created = api_env.admin_as(ADMIN).post("/v1/agents", json=body)
    assert created.status_code == 201, created.text
    return str(created.json()["id"])


def first_text(sent: dict[str, Any]) -> str:
    return str(sent["messages"][0]["content"][0]["text"])


def test_older_messages_are_summarised_and_stay_in_the_session(api_env: ApiEnv) -> None:
    agent, client = (
        configure(api_env, compaction_profile="customer_service", max_history_tokens=2_000),
        api_env.chat_as(),
    )
    session, costs, charged = None, [], 0.0
    for number in range(12):
        body = say(client, f"Message {number} " + "m" * 300, session_id=session, agent_id=agent).json()
        session = body["session_id"]
        costs.append(float(body["usage"]["cost_usd"]))
        charged += api_env.tenant_env.entry_of(body["run_id"]).cost_nanos / 1e9
        assert body["iterations"] == 1
    sent = api_env.sent_bodies()
    summaries = [each for each in sent if "You summarise" in each["system"][0]["text"]]
    assert 1 <= len(summaries) < 5
    assert len(sent) == 12 + len(summaries)
    assert all("tools" not in each and each["max_tokens"] == 250 for each in summaries)
    assert first_text(sent[-1]).startswith(SUMMARY_HEADING)
    assert sent[-1]["system"][0]["text"] == "Be brief."
    assert sum(used.input_tokens for used in api_env.reported_usage()) > 0
    assert sum(costs) == pytest.approx(charged, abs=1e-5)
    messages = client_messages(api_env, str(session))
    assert len(messages) == 24
    assert messages[0]["content"][0]["text"].startswith("Message 0 ")


def client_messages(api_env: ApiEnv, session_id: str) -> list[dict[str, Any]]:
    found = api_env.sessions_as(ADMIN).get(f"/v1/sessions/{session_id}/messages?limit=100").json()["data"]
    return list(found)


def test_without_a_profile_the_oldest_messages_are_left_out(api_env: ApiEnv) -> None:
    agent, client = configure(api_env, max_history_messages=10), api_env.chat_as()
    session = None
    for number in range(8):
        session = say(client, f"Message {number}", session_id=session, agent_id=agent).json()["session_id"]
    sent = api_env.sent_bodies()
    assert (len(sent), len(sent[-1]["messages"])) == (8, 11)
    assert first_text(sent[-1]) == "Message 2"


def test_a_prompt_that_is_too_long_is_shortened_once(api_env: ApiEnv) -> None:
    agent, client = configure(api_env), api_env.chat_as()
    session = None
    for number in range(8):
        session = say(client, f"Message {number} " + "m" * 200, session_id=session, agent_id=agent).json()["session_id"]
    body = say(client, "Now [[status=413]]", session_id=session, agent_id=agent).json()
    assert (body["stop_reason"], body["iterations"], body["response"]) == ("context_overflow", 2, "")
    rejected, sent = api_env.sent_bodies()[-2:]
    assert len(rejected["messages"]) == 17
    assert len(sent["messages"]) < 13
