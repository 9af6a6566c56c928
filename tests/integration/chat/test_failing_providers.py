"""A provider that fails: what the caller gets, how long it takes, how many attempts it costs, and what is charged.

After each failure, the counters agree with the ledger, no slot is taken, and the session accepts its next message.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest
from atrium.llm.catalogue import price
from atrium.usage.model import LedgerEntry

from infra.local.model_server.protocol import sign
from tests.builders.api_env import ApiEnv, Sent, assert_problem, say, stream
from tests.builders.counters import counted, held
from tests.builders.runtimes import build_runtime
from tests.builders.upstream import START, STOP, Event, Upstream, closed, encode, opened, piece, reason

pytestmark = pytest.mark.loopback

ATTEMPTS = 4
OUTAGES_MAX, OPEN_SECONDS, SUCCESSES_NEEDED = 5, 30, 3
HAIKU = "claude-haiku-5-5"


@dataclass(frozen=True)
class Case:
    """A failure of the model server and its consequences.

    `text` is the text that the stream contains before the failure. `attempts` is the number of requests at the server.
    `seconds` is the minimum duration of the turn, which takes at most two seconds more.
    """

    directives: str
    status: int
    code: str
    attempts: int = ATTEMPTS
    retry_after: int | None = None
    seconds: float = 0
    retryable: bool = True
    text: bool = False
    limits: dict[str, int] = field(default_factory=dict)


CASES = {
    "401": Case("[[status=401]]", 502, "MODEL_FAILED", attempts=1, retryable=False),
    "429 with Retry-After": Case("[[status=429]] [[retry_after=0.2]]", 502, "MODEL_FAILED", retry_after=1, seconds=0.6),
    "429 with a Retry-After beyond the deadline": Case(
        "[[status=429]] [[retry_after=600]]", 502, "MODEL_FAILED", attempts=1, retry_after=600
    ),
    "429 with a Retry-After beyond the limit of the turn": Case(
        "[[status=429]] [[retry_after=9]]", 502, "MODEL_FAILED", attempts=1, retry_after=9, limits={"max_seconds": 3}
    ),
    "500": Case("[[status=500]] [[retry_after=0.1]]", 502, "MODEL_FAILED", retry_after=1, seconds=0.3),
    "504": Case("[[status=504]] [[retry_after=0.1]]", 504, "MODEL_TIMEOUT", retry_after=1, seconds=0.3),
    "529": Case("[[status=529]] [[retry_after=0.1]]", 502, "MODEL_FAILED", retry_after=1, seconds=0.3),
    "hangs before the first event": Case(
        "[[hang]]", 504, "MODEL_TIMEOUT", attempts=1, seconds=1, limits={"max_seconds": 1}
    ),
    "overloaded in the middle": Case("[[overload_midstream]]", 502, "MODEL_FAILED", attempts=1, text=True),
    "disconnects in the middle": Case("[[disconnect]]", 502, "MODEL_FAILED", attempts=1, text=True),
}


def entries_of(api_env: ApiEnv, session_id: str) -> list[LedgerEntry]:
    """Return the ledger entries of the ended runs of a session, newest first."""
    runs = api_env.chat_as().get("/v1/runs", params={"session_id": session_id}).json()["data"]
    return [api_env.tenant_env.entry_of(run["id"]) for run in runs]


def assert_charged(entries: list[LedgerEntry], api_env: ApiEnv) -> None:
    """Assert that the counters contain the charges of these ledger entries and nothing else, and no slot is taken."""
    tenant_env = api_env.tenant_env
    assert counted(tenant_env, "requests_per_day") == len(entries)
    assert counted(tenant_env, "tokens_per_month") == sum(entry.total_tokens for entry in entries)
    assert counted(tenant_env, "cost_per_month") == sum(entry.cost_nanos for entry in entries)
    assert held(tenant_env) == []


def assert_goes_on(api_env: ApiEnv, session_id: str, answer: str) -> dict[str, Any]:
    """Assert that the session accepts a message after a failure. Return the response."""
    response = say(api_env.chat_as(), "Again. [[echo]]", session_id=session_id)
    assert (response.status_code, response.json()["response"]) == (200, answer), response.text
    return dict(response.json())


def text_of(events: list[Sent]) -> str:
    return "".join(event.data["content"] for event in events if event.event == "text")


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_failure(api_env: ApiEnv, case: Case) -> None:
    message = f"{case.directives} a b c d e f g h i j k l [[echo]]"
    began = time.monotonic()
    events = stream(api_env.chat_as(), message, limits=case.limits)
    assert case.seconds <= time.monotonic() - began < case.seconds + 20
    session_id, error = events[0].data["session_id"], events[-1]
    assert [event.event for event in events if event.event != "text"] == ["start", "error"]
    assert (error.data["status"], error.data["code"], error.data["retryable"]) == (
        case.status,
        case.code,
        case.retryable,
    )
    assert error.data.get("retry_after_seconds") == case.retry_after
    assert bool(text_of(events)) is case.text
    assert len(api_env.server.requests()) == case.attempts

    response = say(api_env.chat_as(), message, session_id=session_id, limits=case.limits)
    problem = assert_problem(response, case.status, case.code)
    assert response.headers.get("retry-after") == (str(case.retry_after) if case.retry_after else None)
    assert problem["run_id"] != error.data["run_id"]
    assert len(api_env.server.requests()) == 2 * case.attempts
    api_env.server.wait_until_idle()

    entries = entries_of(api_env, session_id)
    assert [entry.status for entry in entries] == ["failed", "failed"]
    prompts = [used.input_tokens for used in api_env.reported_usage()]
    assert [entry.tokens.input_tokens for entry in reversed(entries)] == (prompts if case.text else [0, 0])
    assert [entry.tokens.output_tokens > 0 for entry in entries] == [case.text] * 2
    for entry in entries:
        assert entry.cost_nanos == price(HAIKU, entry.tokens, entry.at)
    assert_charged(entries, api_env)
    assert_goes_on(api_env, session_id, "Again.")


def test_a_provider_that_hangs_in_its_answer_is_stopped_with_the_text_so_far(api_env: ApiEnv) -> None:
    began = time.monotonic()
    events = stream(api_env.chat_as(), "[[hang=2]] a b c d e f g h i j k l m n [[echo]]", limits={"max_seconds": 1})
    assert 1 <= time.monotonic() - began < 20
    assert (events[-1].event, events[-1].data["stop_reason"]) == ("final", "max_seconds")
    assert events[-1].data["content"] == text_of(events) != ""
    api_env.server.wait_until_idle()
    assert [record.outcome for record in api_env.server.requests()] == ["client_closed"]
    (entry,) = entries_of(api_env, events[0].data["session_id"])
    assert entry.tokens.input_tokens == api_env.reported_usage()[0].input_tokens
    assert entry.estimated
    assert_charged([entry], api_env)
    assert_goes_on(api_env, events[0].data["session_id"], "Again.")


ANSWER: list[Event] = [
    START,
    opened(0, type="thinking", thinking="", signature=""),
    piece(0, "thinking_delta", thinking="Let me "),
    piece(0, "thinking_delta", thinking="see."),
    piece(0, "signature_delta", signature=sign("Let me see.")),
    closed(0),
    opened(1, type="text", text=""),
    piece(1, "text_delta", text="I "),
    piece(1, "text_delta", text="compute."),
    closed(1),
    opened(2, type="tool_use", id="toolu_1", name="calculator", input={}),
    piece(2, "input_json_delta", partial_json='{"expression": '),
    piece(2, "input_json_delta", partial_json='"6*7"}'),
    closed(2),
    opened(3, type="tool_use", id="toolu_2", name="current_time", input={}),
    piece(3, "input_json_delta", partial_json='{"timezone": "UTC"}'),
    closed(3),
    reason("tool_use", input_tokens=9, output_tokens=40),
    STOP,
]


class CutStream(httpx2.SyncByteStream):
    """The bytes of some events. If `lost` is true, the connection is then lost; otherwise the body ends."""

    def __init__(self, events: list[Event], *, lost: bool) -> None:
        self._events, self._lost = events, lost

    def __iter__(self) -> Iterator[bytes]:
        yield from map(encode, self._events)
        if self._lost:
            raise httpx2.RemoteProtocolError("the peer closed the connection")


def deltas(events: list[Event], kind: str) -> str:
    """Return the joined deltas of a kind, such as `text`."""
    sent = [each["delta"] for each in events if each["type"] == "content_block_delta"]
    return "".join(each.get(kind, "") for each in sent if isinstance(each, dict))


@pytest.mark.parametrize("sent", range(len(ANSWER)))
@pytest.mark.parametrize("lost", [True, False], ids=["lost", "closed"])
@pytest.mark.parametrize("steps", [0, 1])
def test_an_answer_that_ends_after_each_event(
    api_env: ApiEnv, upstream: Upstream, steps: int, lost: bool, sent: int
) -> None:
    """`steps` answers with two tool calls are complete. The next answer ends after `sent` events."""
    for _ in range(steps):
        upstream.say(*ANSWER)
    cut = CutStream(ANSWER[:sent], lost=lost)
    headers = {"content-type": "text/event-stream", "request-id": "req_1"}
    upstream.answers.append(httpx2.Response(200, headers=headers, stream=cut))
    events = stream(api_env.chat_as(), "Hi")
    session_id = events[0].data["session_id"]
    before, text = ["I compute."] * steps, deltas(ANSWER[:sent], "text")
    calls = [event.data["tool"] for event in events if event.event == "tool_call"]
    results = [event.data["tool"] for event in events if event.event == "tool_result"]
    assert (calls, sorted(results)) == (["calculator", "current_time"] * steps, ["calculator", "current_time"] * steps)
    assert upstream.refusals == []
    if sent == 0:  # nothing was received, so the call is made again
        assert (events[-1].event, len(upstream.requests)) == ("final", steps + 2)
        assert events[-1].data["content"] == "\n\n".join([*before, "Hello."])
        return
    assert (events[-1].event, events[-1].data["code"]) == ("error", "MODEL_FAILED")
    assert len(upstream.requests) == steps + 1
    assert text_of(events) == "\n\n".join([*before, *([text] if text else [])])
    thinking = "".join(event.data["content"] for event in events if event.event == "thinking")
    assert thinking == "Let me see." * steps + deltas(ANSWER[:sent], "thinking")

    (entry,) = entries_of(api_env, session_id)
    made = {"calculator": 1, "current_time": 1} if steps else {}
    assert (entry.status, entry.tool_calls, entry.tokens.input_tokens) == ("failed", made, 9 * (steps + 1))
    written = text + deltas(ANSWER[:sent], "thinking") + deltas(ANSWER[:sent], "partial_json")
    reported = 40 if sent == len(ANSWER) - 1 else max(1, math.ceil(len(written) / 3))
    assert entry.tokens.output_tokens == 40 * steps + reported
    assert entry.cost_nanos == price(HAIKU, entry.tokens, entry.at)
    assert_charged([entry], api_env)

    assert_goes_on(api_env, session_id, "Hello.")
    assert upstream.refusals == []
    shown = [block.get("text") for message in upstream.requests[-1]["messages"] for block in message["content"]]
    answers = [each for each in shown if each and each not in {"Hi", "Again. [[echo]]"}]
    assert answers == [*before, *([text] if text else [])]


def test_outages_of_one_container_open_the_circuit_for_another(api_env: ApiEnv) -> None:
    """Two containers have separate runtimes with separate caches, and share the table."""
    one = api_env.runtime
    environment = {"ANTHROPIC_BASE_URL": api_env.server.url, "ANTHROPIC_API_KEY": "a-key-of-tests"}
    other = build_runtime(environment, table=api_env.tenant_env.physical, clock=api_env.tenant_env.clock)()
    other.__dict__["bucket"] = api_env.tenant_env.bucket
    for _ in range(OUTAGES_MAX):
        assert_problem(say(api_env.chat_as(), "Hi [[status=529]] [[retry_after=0.01]]"), 502, "MODEL_FAILED")
    assert len(api_env.server.requests()) == OUTAGES_MAX * ATTEMPTS
    for container in (other, one):
        api_env.holder.runtime = container
        response = say(api_env.chat_as(), "Hi [[echo]]")
        problem = assert_problem(response, 503, "CIRCUIT_OPEN")
        assert problem["retryable"] is True
        assert 1 <= int(response.headers["retry-after"]) <= OPEN_SECONDS
        assert api_env.tenant_env.entry_of(problem["run_id"]).cost_nanos == 0
    assert len(api_env.server.requests()) == OUTAGES_MAX * ATTEMPTS
    api_env.tenant_env.clock.advance(OPEN_SECONDS)
    for container in (other, one) * SUCCESSES_NEEDED:
        api_env.holder.runtime = container
        assert say(api_env.chat_as(), "Hi [[echo]]").json()["response"] == "Hi"
    assert held(api_env.tenant_env) == []
