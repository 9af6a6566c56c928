"""One line with metrics for each model call, tool call and ended run, with the ids of the call."""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.builders.api_env import ADMIN, ApiEnv, say, stream, wait_until
from tests.integration.chat.test_fallback import HAIKU, SONNET, make_agent

pytestmark = pytest.mark.loopback

TOOL = '[[tool=calculator {"expression":"6*7"}]]'
type Lines = Callable[[int], list[dict[str, Any]]]


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Lines:
    """Return a function that waits for a number of metric lines and returns them."""
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "chat")
    found: list[dict[str, Any]] = []

    def read(count: int) -> list[dict[str, Any]]:
        def arrived() -> bool:
            texts = [line for line in capsys.readouterr().out.splitlines() if '"_aws"' in line]
            found.extend(map(json.loads, texts))
            return len(found) >= count

        wait_until(arrived)
        assert len(found) == count
        return found

    return read


def total(found: list[dict[str, Any]], name: str) -> float:
    return sum(sum(line.get(name, ())) for line in found)


@pytest.mark.parametrize("send", [lambda *a: say(*a).json(), lambda *a: stream(*a)[-1].data], ids=["chat", "stream"])
def test_a_turn_with_a_tool(api_env: ApiEnv, lines: Lines, send: Callable[..., dict[str, Any]]) -> None:
    answer = send(api_env.chat_as(), TOOL)
    found = lines(4)
    assert [line["message"] for line in found] == ["model call", "tool call", "model call", "run ended"]
    for line in found:
        assert line["run_id"] == found[0]["run_id"]
        assert line["tenant_id"] == api_env.tenant_env.runs().table.tenant_id
        assert line["request_id"]
        (directive,) = line["_aws"]["CloudWatchMetrics"]
        assert (directive["Namespace"], directive["Dimensions"], line["service"]) == ("Atrium", [["service"]], "chat")
    entry = api_env.tenant_env.entry_of(found[-1]["run_id"])
    assert total(found, "InputTokens") + total(found, "OutputTokens") == entry.total_tokens > 0
    names = ("ModelCalls", "ModelErrors", "ToolCalls", "ToolErrors", "Runs", "RunFailures", "Iterations")
    assert [total(found, name) for name in names] == [2, 0, 1, 0, 1, 0, 2]
    assert (found[1]["tool"], found[3]["stop_reason"]) == ("calculator", answer["stop_reason"])
    assert all(line["ModelLatency"][0] >= 0 for line in found if line["message"] == "model call")
    assert found[1]["ToolLatency"][0] >= 0
    assert found[3]["RunDuration"][0] > 0


def test_an_outage_and_the_call_of_the_fallback(api_env: ApiEnv, lines: Lines) -> None:
    agent = make_agent(api_env, fallback_models=[HAIKU])
    message = f"[[status=529]] [[retry_after=0.01]] [[only={SONNET}]] Hi [[echo]]"
    assert say(api_env.chat_as(), message, agent_id=agent).status_code == 200
    found = lines(3)
    assert [(line.get("model"), line.get("error")) for line in found] == [
        (SONNET, "MODEL_FAILED"),
        (HAIKU, None),
        (HAIKU, None),
    ]
    assert (total(found, "ModelErrors"), total(found, "RunFailures"), found[2]["degraded"]) == (1, 0, True)


def test_a_failed_run(api_env: ApiEnv, lines: Lines) -> None:
    assert say(api_env.chat_as(), "[[status=401]]").status_code == 502
    found = lines(2)
    assert Counter(line["message"] for line in found) == {"model call": 1, "run ended": 1}
    assert (total(found, "ModelErrors"), total(found, "RunFailures")) == (1, 1)
    assert (found[1]["status"], found[1]["error"]) == ("failed", "MODEL_FAILED")


def test_a_rejected_call_is_not_a_run(api_env: ApiEnv, lines: Lines) -> None:
    assert say(api_env.chat_as(), "").status_code == 422
    assert say(api_env.chat_as(), "Hi", session_id="ses_01k6r5m2x8f3v9q4w7t1y0z5ab").status_code == 404
    assert lines(0) == []


def test_the_call_that_makes_a_summary_is_a_complete_model_call(api_env: ApiEnv, lines: Lines) -> None:
    fields = {"name": "long", "model": HAIKU, "compaction_profile": "coding", "max_history_tokens": 1_000}
    agent, client = api_env.admin_as(ADMIN).post("/v1/agents", json=fields).json()["id"], api_env.chat_as()
    session = None
    for number in range(9):
        session = say(client, f"{number} " + "m" * 300, session_id=session, agent_id=agent).json()["session_id"]
    sent = api_env.sent_bodies()
    found = [line for line in lines(len(sent) + 9) if line["message"] == "model call"]
    assert len(found) == len(sent) > 9
    assert not any(line["interrupted"] or line["error"] for line in found)
