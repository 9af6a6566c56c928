"""A provider with fallback models and a circuit breaker: which model is called, and what the caller receives."""

from dataclasses import replace
from typing import Any

import pytest
from atrium.kernel.errors import AtriumError, CircuitOpen, ModelFailed, ModelTimeout
from atrium.llm.catalogue import MODELS, ModelInfo
from atrium.llm.circuit import OPEN_SECONDS, OUTAGES_MAX, SUCCESSES_NEEDED, TRIALS_MAX
from atrium.llm.content import IMAGE_OMITTED
from atrium.llm.failures import ProviderFailure
from atrium.llm.model import Completed, ModelMessage, ModelRequest, Text, Thinking, ToolSchema
from atrium.llm.resilience import REMEMBERED_SECONDS, CircuitBreaker, ModelLatencies, ResilientProvider
from atrium.storage.table import PhysicalTable, PlatformTable

from tests.builders.images import image
from tests.builders.runtimes import TurnedClock
from tests.builders.scripted import CUT, USED, ScriptedModel

HAIKU, SONNET, OPUS = "claude-haiku-5-5", "claude-sonnet-5-5", "claude-opus-5-5"
REQUEST = ModelRequest(OPUS, "", (ModelMessage("user", (Text("Hi"),)),), 100_000, fallbacks=(SONNET, HAIKU))


def outage() -> AtriumError:
    return ProviderFailure("overloaded_error", 529).to_error()


class Models:
    """A scripted model for each model id, behind one resilient provider."""

    def __init__(self, physical_table: PhysicalTable) -> None:
        self.clock, self.table = TurnedClock(), PlatformTable(physical_table)
        self.scripted = {model: ScriptedModel() for model in (HAIKU, SONNET, OPUS)}
        self.provider = self.container()

    def container(self) -> ResilientProvider:
        return ResilientProvider(self.find, CircuitBreaker(self.table, self.clock))

    def find(self, model: ModelInfo) -> ScriptedModel:
        return self.scripted[model.id]

    def asked(self) -> list[str]:
        return [model for model in (OPUS, SONNET, HAIKU) for _ in self.scripted[model].requests]


@pytest.fixture
def models(physical_table: PhysicalTable) -> Models:
    return Models(physical_table)


def test_the_first_model_answers_if_it_can(models: Models) -> None:
    stream = models.provider.open(REQUEST, deadline_seconds=9)
    assert isinstance(list(stream)[-1], Completed)
    assert (stream.model, stream.usage, models.asked()) == (OPUS, USED, [OPUS])


@pytest.mark.parametrize("failure", [outage(), ModelTimeout(), CircuitOpen(), ProviderFailure("x", 429).to_error()])
def test_the_next_model_answers_where_the_first_fails_before_its_answer(models: Models, failure: AtriumError) -> None:
    models.scripted[OPUS].say(failure)
    models.scripted[SONNET].say(outage())
    stream = models.provider.open(REQUEST, deadline_seconds=9)
    assert list(stream)[-1] == Completed((Text("Hello."),), "end_turn", USED)
    assert (stream.model, models.asked()) == (HAIKU, [OPUS, SONNET, HAIKU])


def test_measures_the_time_to_the_first_event_of_the_models_that_answered(models: Models) -> None:
    models.scripted[OPUS].say(outage())
    averages, at_first = models.provider.latencies.averages, dict[str, float]()
    models.scripted[SONNET].say("Once ", lambda: at_first.update(averages), "upon")
    list(models.provider.open(REQUEST, deadline_seconds=9))
    assert set(averages) == {SONNET}
    assert averages == at_first


def test_a_latency_is_a_moving_average() -> None:
    latencies = ModelLatencies()
    for seconds in (1.0, 2.0, 2.0):
        latencies.record(OPUS, seconds)
    assert latencies.averages == {OPUS: pytest.approx(1.36)}


def test_the_wait_of_a_circuit_is_known_without_a_trial(models: Models) -> None:
    breaker = models.provider.breaker
    assert breaker.wait_seconds(OPUS) == 0
    for _ in range(OUTAGES_MAX):
        breaker.record_outage(OPUS)
    assert breaker.wait_seconds(OPUS) == OPEN_SECONDS
    models.clock.advance(OPEN_SECONDS)
    assert [breaker.wait_seconds(OPUS) for _ in range(TRIALS_MAX + 1)] == [0] * (TRIALS_MAX + 1)


def test_a_failure_after_the_first_event_is_final(models: Models) -> None:
    models.scripted[OPUS].say("Once ", outage())
    with pytest.raises(ModelFailed):
        list(models.provider.open(REQUEST, deadline_seconds=9))
    assert models.asked() == [OPUS]


def test_a_refused_request_is_final(models: Models) -> None:
    models.scripted[OPUS].say(ProviderFailure("invalid_request_error", 400).to_error())
    with pytest.raises(ModelFailed):
        list(models.provider.open(REQUEST, deadline_seconds=9))
    assert models.asked() == [OPUS]


def test_no_model_is_asked_after_the_deadline(models: Models) -> None:
    models.scripted[OPUS].say(outage())
    with pytest.raises(ModelFailed):
        list(models.provider.open(REQUEST, deadline_seconds=0))
    assert models.asked() == [OPUS]


def test_no_model_is_asked_after_the_stream_was_closed(models: Models) -> None:
    stream = models.provider.open(REQUEST, deadline_seconds=9)
    models.scripted[OPUS].say(stream.close, outage())
    with pytest.raises(ModelFailed):
        list(stream)
    assert models.asked() == [OPUS]


def test_a_fallback_gets_no_thinking_of_another_model_and_its_own_longest_answer(models: Models) -> None:
    models.scripted[OPUS].say(outage())
    messages = (
        *REQUEST.messages,
        ModelMessage("assistant", (Thinking("hm", "signature of opus"), Text("Hello"))),
        ModelMessage("user", (Text("Again"),)),
    )
    request = ModelRequest(OPUS, "", messages, 1_000_000, fallbacks=(HAIKU,))
    list(models.provider.open(request, deadline_seconds=9))
    (sent,) = models.scripted[HAIKU].requests
    assert sent.messages[1] == ModelMessage("assistant", (Text("Hello"),))
    assert sent.max_tokens < request.max_tokens
    assert models.scripted[OPUS].requests == [request]


def test_a_fallback_that_does_not_accept_the_options_is_skipped(models: Models) -> None:
    models.scripted[OPUS].say(outage())
    request = replace(REQUEST, thinking="off", effort="low", fallbacks=("claude-nothing", OPUS, SONNET))
    list(models.provider.open(request, deadline_seconds=9))
    assert models.asked() == [OPUS, SONNET]


def test_the_failure_is_that_of_the_last_model_that_accepts_the_options(models: Models) -> None:
    models.scripted[HAIKU].say(outage())
    tool = ToolSchema("look", "Looks.", {"type": "object"})
    request = replace(REQUEST, model=HAIKU, tools=(tool,), tool_choice="required", fallbacks=(SONNET, OPUS))
    with pytest.raises(ModelFailed):
        list(models.provider.open(request, deadline_seconds=9))
    assert models.asked() == [HAIKU]


def test_a_model_that_accepts_no_images_gets_text_instead(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS, HAIKU, replace(MODELS[HAIKU], accepts_images=False))
    models.scripted[OPUS].say(outage())
    messages = (ModelMessage("user", (image(), Text("What is it?"))),)
    list(models.provider.open(ModelRequest(OPUS, "", messages, 100, fallbacks=(HAIKU,)), deadline_seconds=9))
    list(models.provider.open(ModelRequest(HAIKU, "", messages, 100), deadline_seconds=9))
    assert [each.messages[0].content[0] for each in models.scripted[HAIKU].requests] == [Text(IMAGE_OMITTED)] * 2
    assert models.scripted[OPUS].requests[0].messages == messages


def test_outages_of_one_container_send_another_ones_calls_to_the_fallback(models: Models) -> None:
    other = models.container()
    for _ in range(OUTAGES_MAX):
        models.scripted[OPUS].say(outage())
        list(models.provider.open(REQUEST, deadline_seconds=9))
    models.clock.advance(REMEMBERED_SECONDS)
    stream = other.open(REQUEST, deadline_seconds=9)
    list(stream)
    assert stream.model == SONNET
    assert len(models.scripted[OPUS].requests) == OUTAGES_MAX


@pytest.mark.parametrize(
    "failure",
    [
        ProviderFailure("rate_limit_error", 429).to_error(),
        ProviderFailure("invalid_request_error", 400).to_error(),
        ProviderFailure("broken_answer", 200).to_error(),
        ModelTimeout(),
    ],
)
def test_failures_that_a_caller_can_cause_never_open_the_circuit(models: Models, failure: Any) -> None:
    alone = ModelRequest(OPUS, "", REQUEST.messages, 100)
    for _ in range(2 * OUTAGES_MAX):
        models.scripted[OPUS].say(failure)
        with pytest.raises((ModelFailed, ModelTimeout)):
            list(models.provider.open(alone, deadline_seconds=9))
    list(models.provider.open(alone, deadline_seconds=9))


def test_circuit_open_is_the_error_without_a_fallback(models: Models) -> None:
    alone = ModelRequest(OPUS, "", REQUEST.messages, 100)
    for _ in range(OUTAGES_MAX):
        models.scripted[OPUS].say(outage())
        with pytest.raises(ModelFailed):
            list(models.provider.open(alone, deadline_seconds=9))
    with pytest.raises(CircuitOpen) as refused:
        list(models.provider.open(alone, deadline_seconds=9))
    assert refused.value.retry_after_seconds == 30
    assert len(models.scripted[OPUS].requests) == OUTAGES_MAX


def test_a_failure_after_reported_usage_is_final(models: Models) -> None:
    """A provider may report usage before the first event, for example for the arguments of a tool call."""
    models.scripted[OPUS].say(lambda: None, outage())
    stream = models.provider.open(REQUEST, deadline_seconds=9)
    with pytest.raises(ModelFailed):
        list(stream)
    assert (models.asked(), stream.usage) == ([OPUS], CUT)


@pytest.mark.parametrize("end", ["refused", "closed", "closed before the call"])
def test_a_trial_without_a_result_leaves_its_place_to_another(models: Models, end: str) -> None:
    """Otherwise a tenant whose requests are rejected could keep the circuit open for all other tenants."""
    alone = ModelRequest(OPUS, "", REQUEST.messages, 100)
    for _ in range(OUTAGES_MAX):
        models.scripted[OPUS].say(outage())
        with pytest.raises(ModelFailed):
            list(models.provider.open(alone, deadline_seconds=9))
    models.clock.advance(OPEN_SECONDS)
    for _ in range(2 * TRIALS_MAX):
        stream = models.provider.open(alone, deadline_seconds=9)
        if end == "refused":
            models.scripted[OPUS].say(ProviderFailure("invalid_request_error", 400).to_error())
            with pytest.raises(ModelFailed):
                list(stream)
        elif end == "closed before the call":
            stream.close()
            assert not list(stream)
        else:
            models.scripted[OPUS].say(stream.close, "late")
            list(stream)
    for _ in range(SUCCESSES_NEEDED):
        assert list(models.provider.open(alone, deadline_seconds=9))
    assert not models.provider.breaker.admit(OPUS)
