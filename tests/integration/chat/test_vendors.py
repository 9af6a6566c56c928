"""Turns with the models of every vendor: the same events, the same ledger, and sessions that move between vendors.

Each model is called with its own SDK and wire format at the model server.
"""

from dataclasses import dataclass
from typing import Any

import pytest
from atrium.llm.catalogue import find_model, price
from atrium.llm.content import IMAGE_OMITTED
from atrium.usage.model import LedgerEntry

from tests.builders.api_env import ApiEnv, Sent, assert_problem, say, stream
from tests.builders.counters import held
from tests.builders.images import image_block, text_block

pytestmark = pytest.mark.loopback

TWO_TOOLS = '[[tool=calculator {"expression":"6*7"}]] [[tool=current_time]]'


@dataclass(frozen=True)
class Vendor:
    name: str
    model: str
    thinks: bool
    path: str


VENDORS = {
    "anthropic": Vendor("anthropic", "claude-haiku-5-5", thinks=True, path="/v1/messages"),
    "openai": Vendor("openai", "gpt-6-luna", thinks=False, path="/v1/chat/completions"),
    "zhipu": Vendor("zhipu", "glm-5.3-flash", thinks=True, path="/v1/chat/completions"),
}


@pytest.fixture(params=list(VENDORS.values()), ids=list(VENDORS))
def vendor(request: pytest.FixtureRequest) -> Vendor:
    chosen: Vendor = request.param
    return chosen


def ledger(api_env: ApiEnv, session_id: str) -> list[LedgerEntry]:
    """Return the ledger entries of the ended runs of a session, newest first."""
    runs = api_env.chat_as().get("/v1/runs", params={"session_id": session_id}).json()["data"]
    return [api_env.tenant_env.entry_of(run["id"]) for run in runs]


def joined(events: list[Sent], kind: str) -> str:
    return "".join(event.data["content"] for event in events if event.event == kind)


def kinds(events: list[Sent]) -> list[str]:
    """Return the types of the events, without repetitions in a row."""
    names = [event.event for event in events]
    return [name for at, name in enumerate(names) if at == 0 or name != names[at - 1]]


def test_a_turn_with_two_tools_has_the_same_events_and_ledger(api_env: ApiEnv, vendor: Vendor) -> None:
    text = f"[[thinking=Let me see.]] [[preface=One moment.]] [[cache_read=7]] {TWO_TOOLS} What is it?"
    events = stream(api_env.chat_as(), text, model=vendor.model, provider=vendor.name)

    thinking = ["thinking"] if vendor.thinks else []
    assert kinds(events) == [
        "start", *thinking, "text", "tool_call", "tool_result", *thinking, "text", "usage", "final",
    ]  # fmt: skip
    assert joined(events, "thinking") == "Let me see.Let me see." * vendor.thinks
    assert events[0].data["model"] == vendor.model
    calls = [event.data for event in events if event.event == "tool_call"]
    assert [(call["tool"], call["args"]) for call in calls] == [
        ("calculator", {"expression": "6*7"}), ("current_time", {}),
    ]  # fmt: skip
    results = {event.data["tool_call_id"]: event.data for event in events if event.event == "tool_result"}
    assert [results[call["tool_call_id"]]["is_error"] for call in calls] == [False, False]
    assert events[-1].data["content"].startswith("One moment.\n\n6*7 = 42\ncurrent_time says: ")
    assert (events[-1].data["stop_reason"], events[-1].data["degraded"]) == ("end_turn", False)

    first, second = reported = api_env.reported_usage()
    assert [each.cache_read_tokens for each in reported] == [7, 7]
    (entry,) = ledger(api_env, events[0].data["session_id"])
    assert (entry.model, entry.provider, entry.status) == (vendor.model, vendor.name, "succeeded")
    assert (entry.tokens, entry.tokens.estimated) == (first + second, False)
    assert entry.cost_nanos == sum(price(vendor.model, each, api_env.runtime.clock()) for each in reported)
    assert entry.tool_calls == {"calculator": 1, "current_time": 1}
    usage = events[-2].data
    assert (usage["input_tokens"], usage["cache_read_tokens"]) == (first.input_tokens + second.input_tokens, 14)


def test_thinking_goes_back_within_its_turn_only(api_env: ApiEnv) -> None:
    glm = VENDORS["zhipu"].model
    body = say(api_env.chat_as(), f"[[thinking=Let me see.]] {TWO_TOOLS}", model=glm).json()
    say(api_env.chat_as(), "And then?", model=glm, session_id=body["session_id"])
    sent = [
        [message.get("reasoning_content") for message in each["messages"] if message["role"] == "assistant"]
        for each in api_env.sent_bodies()
    ]
    assert sent == [[], ["Let me see."], [None, None]]


def test_shows_an_image(api_env: ApiEnv, vendor: Vendor) -> None:
    message = [text_block("What is it?"), image_block()]
    response = api_env.chat_as().post("/v1/chat", json={"message": message, "model": vendor.model})
    assert response.json()["response"].endswith("I was shown 1 message and 1 image.")


def test_a_model_without_images_gets_a_text_for_earlier_images(api_env: ApiEnv) -> None:
    client = api_env.chat_as()
    first = client.post("/v1/chat", json={"message": [text_block("What is it?"), image_block()]}).json()
    response = say(client, "Are you sure?", session_id=first["session_id"], model="glm-5.3")
    assert response.status_code == 200, response.text
    assert IMAGE_OMITTED in api_env.sent_bodies()[1]["messages"][-3]["content"]


@pytest.mark.parametrize("directive", ["[[overload_midstream=3]]", "[[disconnect=3]]"])
def test_a_failure_in_the_stream_keeps_what_came(api_env: ApiEnv, vendor: Vendor, directive: str) -> None:
    events = stream(api_env.chat_as(), f"{directive} [[times=1]] Hello, model, how are you?", model=vendor.model)
    assert kinds(events) == ["start", "text", "error"]
    assert (events[-1].data["code"], events[-1].data["retryable"]) == ("MODEL_FAILED", True)
    assert len(api_env.server.requests()) == 1
    session = events[0].data["session_id"]
    (entry,) = ledger(api_env, session)
    assert (entry.model, entry.status) == (vendor.model, "failed")
    assert entry.tokens.output_tokens > 0
    assert entry.cost_nanos > 0
    assert held(api_env.tenant_env) == []
    again = say(api_env.chat_as(), "Hello again", session_id=session, model=vendor.model)
    assert again.status_code == 200


@pytest.mark.parametrize(
    ("directives", "status", "code", "attempts"),
    [
        ("[[status=401]]", 502, "MODEL_FAILED", 1),
        ("[[status=403]]", 502, "MODEL_FAILED", 1),
        ("[[status=429]] [[retry_after=0.01]]", 502, "MODEL_FAILED", 4),
        ("[[status=500]] [[retry_after=0.01]]", 502, "MODEL_FAILED", 4),
        ("[[status=529]] [[retry_after=0.01]]", 502, "MODEL_FAILED", 4),
        ("[[status=504]] [[retry_after=0.01]]", 504, "MODEL_TIMEOUT", 4),
    ],
)
def test_errors_have_one_vocabulary(
    api_env: ApiEnv, vendor: Vendor, directives: str, status: int, code: str, attempts: int
) -> None:
    response = say(api_env.chat_as(), f"{directives} Hello", model=vendor.model)
    problem = assert_problem(response, status, code)
    assert problem["retryable"] is (attempts > 1)
    assert len(api_env.server.requests()) == attempts


@pytest.mark.parametrize(("directives", "reason"), [("[[stop=max_tokens]]", "max_tokens"), ("[[refusal]]", "refusal")])
def test_reasons_to_stop_are_the_same(api_env: ApiEnv, vendor: Vendor, directives: str, reason: str) -> None:
    response = say(api_env.chat_as(), f"{directives} Hello", model=vendor.model)
    assert response.json()["stop_reason"] == reason


@pytest.mark.parametrize("name", ["openai", "zhipu"])
def test_a_prompt_that_is_too_long_ends_the_turn(api_env: ApiEnv, name: str) -> None:
    response = say(api_env.chat_as(), "[[overflow]] Hello", model=VENDORS[name].model)
    assert response.json()["stop_reason"] == "context_overflow"


@pytest.mark.parametrize("order", [("anthropic", "openai", "zhipu", "anthropic"), ("zhipu", "anthropic", "openai")])
def test_a_session_moves_between_vendors(api_env: ApiEnv, order: tuple[str, ...]) -> None:
    session: dict[str, Any] = {}
    for name in order:
        text = f"[[thinking=I am {name}.]] {TWO_TOOLS} What is it?"
        response = say(api_env.chat_as(), text, model=VENDORS[name].model, **session)
        assert response.status_code == 200, response.text
        assert response.json()["response"].startswith("6*7 = 42")
        session = {"session_id": response.json()["session_id"]}
    entries = ledger(api_env, session["session_id"])
    assert [entry.provider for entry in reversed(entries)] == list(order)
    assert all(record.status == 200 for record in api_env.server.requests())


def test_a_fallback_of_another_vendor_answers(api_env: ApiEnv) -> None:
    agent = {
        "name": "Mixed", "model": VENDORS["anthropic"].model, "fallback_models": [VENDORS["zhipu"].model],
        "tools": ["calculator"],
    }  # fmt: skip
    created = api_env.admin_as().post("/v1/agents", json=agent)
    assert created.status_code == 201, created.text
    text = "[[status=500]] [[retry_after=0.01]] [[only=claude-haiku-5-5]] [[thinking=Hm.]] What is 6*7?"
    events = stream(api_env.chat_as(), text, agent_id=created.json()["id"])
    assert events[-1].data["content"] == "6*7 = 42"
    assert events[-1].data["degraded"] is True
    (entry,) = ledger(api_env, events[0].data["session_id"])
    assert entry.cost_nanos == sum(
        price(VENDORS["zhipu"].model, each, api_env.runtime.clock()) for each in api_env.reported_usage()
    )


@pytest.mark.parametrize("other", VENDORS)
def test_provider_and_model_must_match(api_env: ApiEnv, vendor: Vendor, other: str) -> None:
    response = say(api_env.chat_as(), "Hello", model=vendor.model, provider=other)
    if other == vendor.name:
        assert response.status_code == 200
    else:
        problem = assert_problem(response, 422, "PROVIDER_UNSUPPORTED")
        assert problem["detail"] == (
            f"The model {vendor.model} is served by `{vendor.name}`. Set `provider` to `{vendor.name}` or omit it."
        )


def test_a_vendor_without_a_key_is_unavailable(api_env: ApiEnv, vendor: Vendor) -> None:
    settings = api_env.runtime.settings
    keys = {name: key for name, key in settings.model_api_keys.items() if name != vendor.name}
    object.__setattr__(settings, "model_api_keys", keys)
    response = say(api_env.chat_as(), "Hello", model=vendor.model)
    assert_problem(response, 503, "UNAVAILABLE")


def test_every_vendor_of_the_suite_is_in_the_catalogue() -> None:
    for each in VENDORS.values():
        model = find_model(each.model)
        assert model is not None
        assert model.vendor == each.name
