"""Fallback models and fallback texts: the answer, its cost, and the report of the fallback."""

import pytest

from tests.builders.api_env import ADMIN, ApiEnv, assert_problem, say, stream

pytestmark = pytest.mark.loopback

HAIKU, SONNET = "claude-haiku-5-5", "claude-sonnet-5-5"
TEXT = "I cannot answer at the moment. Please try again later."


def make_agent(api_env: ApiEnv, **fields: object) -> str:
    body = {"name": "a", "model": SONNET, "tools": ["calculator"], **fields}
    made = api_env.admin_as(ADMIN).post("/v1/agents", json=body)
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


def test_the_fallback_model_answers_and_the_answer_says_so(api_env: ApiEnv) -> None:
    agent = make_agent(api_env, fallback_models=[HAIKU])
    answer = say(
        api_env.chat_as(), f"[[status=529]] [[retry_after=0.01]] [[only={SONNET}]] Hi [[echo]]", agent_id=agent
    ).json()
    assert (answer["response"], answer["degraded"], answer["stop_reason"]) == ("Hi", True, "end_turn")
    bodies = [body["model"] for body in api_env.sent_bodies()]
    assert bodies == [SONNET] * 4 + [HAIKU]
    entry = api_env.tenant_env.entry_of(answer["run_id"])
    usage = answer["usage"]
    tokens = usage["input_tokens"] + usage["output_tokens"]
    assert entry.total_tokens == tokens
    assert entry.cost_nanos == usage["input_tokens"] * 100 + usage["output_tokens"] * 500


def test_a_step_after_the_fallback_asks_the_fallback_model(api_env: ApiEnv) -> None:
    agent = make_agent(api_env, fallback_models=[HAIKU])
    message = f'[[status=529]] [[retry_after=0.01]] [[only={SONNET}]] [[tool=calculator {{"expression":"6*7"}}]]'
    events = stream(api_env.chat_as(), message, agent_id=agent)
    assert events[-1].event == "final"
    assert events[-1].data["degraded"] is True
    assert [body["model"] for body in api_env.sent_bodies()] == [SONNET] * 4 + [HAIKU] * 2


def test_the_fallback_text_is_the_answer_where_no_model_answers(api_env: ApiEnv) -> None:
    agent = make_agent(api_env, fallback_text=TEXT)
    answer = say(api_env.chat_as(), "Hi [[status=529]] [[retry_after=0.01]]", agent_id=agent).json()
    assert (answer["response"], answer["degraded"], answer["stop_reason"]) == (TEXT, True, "fallback")
    assert answer["usage"]["cost_usd"] == "0.000000"
    again = say(api_env.chat_as(), "Again [[echo]]", agent_id=agent, session_id=answer["session_id"]).json()
    assert (again["response"], again["degraded"]) == ("Again", False)


def test_a_request_that_the_provider_refuses_is_an_error(api_env: ApiEnv) -> None:
    """An invalid API key or request is a permanent error, so no fallback model or fallback text replaces it."""
    agent = make_agent(api_env, fallback_models=[HAIKU], fallback_text=TEXT)
    assert_problem(say(api_env.chat_as(), "Hi [[status=401]]", agent_id=agent), 502, "MODEL_FAILED")
    assert len(api_env.sent_bodies()) == 1


def test_the_fallback_text_never_replaces_a_text_that_was_sent(api_env: ApiEnv) -> None:
    agent = make_agent(api_env, fallback_text=TEXT)
    events = stream(api_env.chat_as(), "[[disconnect]] a b c d e f g h i j k l [[echo]]", agent_id=agent)
    assert [event.event for event in events][-1] == "error"
    assert TEXT not in str([event.data for event in events])


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"fallback_models": ["unknown"]}, "fallback_models[0]"),
        ({"fallback_models": [SONNET]}, "fallback_models"),
        ({"fallback_models": [HAIKU, HAIKU]}, "fallback_models"),
        ({"fallback_models": [HAIKU, "claude-opus-5-5", "x"]}, "fallback_models"),
        ({"fallback_text": "x" * 2_001}, "fallback_text"),
        ({"fallback_text": "  "}, "fallback_text"),
    ],
)
def test_422_for_fallbacks_that_make_no_sense(api_env: ApiEnv, fields: dict[str, object], field: str) -> None:
    answer = api_env.admin_as(ADMIN).post("/v1/agents", json={"name": "a", "model": SONNET, **fields})
    assert field in assert_problem(answer, 422, "VALIDATION_FAILED")["detail"]
