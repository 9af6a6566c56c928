"""Failed model calls: the error, the number of attempts, and the known usage."""

import time

import pytest
from atrium.kernel.errors import ModelFailed, ModelTimeout
from atrium.llm.anthropic.provider import AnthropicProvider, direct_channel
from atrium.llm.model import ModelEvent, ModelMessage, Text, Usage
from atrium.llm.retries import RetryPolicy

from infra.local.model_server import ModelServer
from tests.integration.llm.conftest import provider_at
from tests.integration.llm.requests import ask, completed, text_of

pytestmark = pytest.mark.loopback


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503, 529])
def test_retries_transient_errors(provider: AnthropicProvider, server: ModelServer, status: int) -> None:
    end = completed(provider.open(ask(f"Hello [[status={status}]][[times=2]]"), deadline_seconds=10))

    assert end.stop_reason == "end_turn"
    assert [record.status for record in server.requests()] == [status, status, 200]


def test_retries_three_times(provider: AnthropicProvider, server: ModelServer) -> None:
    with pytest.raises(ModelFailed) as caught:
        list(provider.open(ask("Hello [[status=529]]"), deadline_seconds=10))

    assert len(server.requests()) == 4
    assert "overloaded_error, status 529, request req_" in caught.value.internal
    assert caught.value.detail == ModelFailed.title
    assert caught.value.retryable


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 422])
def test_does_not_retry_permanent_errors(provider: AnthropicProvider, server: ModelServer, status: int) -> None:
    stream = provider.open(ask(f"Hello [[status={status}]]"), deadline_seconds=10)
    with pytest.raises(ModelFailed) as caught:
        list(stream)

    assert caught.value.retryable is False
    assert len(server.requests()) == 1
    assert stream.usage == Usage()


def test_retry_after_is_obeyed(provider: AnthropicProvider, server: ModelServer) -> None:
    completed(provider.open(ask("Hello [[status=429]][[times=1]][[retry_after=0.3]]"), deadline_seconds=10))

    first, second = server.requests()
    assert first.ended_at is not None
    assert second.started_at - first.ended_at >= 0.3


def test_a_retry_after_beyond_the_deadline_is_told_at_once(provider: AnthropicProvider, server: ModelServer) -> None:
    began = time.monotonic()
    with pytest.raises(ModelFailed) as caught:
        list(provider.open(ask("Hello [[status=429]][[retry_after=30.2]]"), deadline_seconds=5))

    assert time.monotonic() - began < 4
    assert caught.value.retry_after_seconds == 31
    assert len(server.requests()) == 1


def test_an_overload_in_the_middle_fails_and_its_usage_is_known(
    provider: AnthropicProvider, server: ModelServer
) -> None:
    stream = provider.open(ask("Hello [[pieces=8]][[tokens=90]][[overload_midstream=3]]"), deadline_seconds=10)
    seen: list[ModelEvent] = []
    with pytest.raises(ModelFailed) as caught:
        seen.extend(stream)

    assert len(server.requests()) == 1
    reported = server.requests()[0].usage
    assert reported is not None
    assert stream.usage.input_tokens == reported.input_tokens > 0
    assert 0 < stream.usage.output_tokens < 90
    assert "overloaded_error" in caught.value.internal


def test_a_dropped_connection_fails_and_keeps_what_came(provider: AnthropicProvider, server: ModelServer) -> None:
    stream = provider.open(ask("Hello [[pieces=8]][[tokens=90]][[disconnect=3]]"), deadline_seconds=10)
    seen: list[ModelEvent] = []
    with pytest.raises(ModelFailed):
        seen.extend(stream)

    text = text_of(seen)
    assert text
    assert stream.usage.output_tokens == -(-len(text.encode()) // 3)
    assert len(server.requests()) == 1


@pytest.mark.parametrize(
    "directives", ["[[hang]]", "[[delay=8]]", "[[pieces=4]][[hang=2]]", "[[pieces=90]][[slow=0.1]]"]
)
def test_the_deadline_ends_a_call_wherever_it_is(
    provider: AnthropicProvider, server: ModelServer, directives: str
) -> None:
    stream = provider.open(ask(f"Hello {directives} [[tokens=100]]"), deadline_seconds=0.5)
    began = time.monotonic()
    with pytest.raises(ModelTimeout):
        list(stream)

    assert 0.4 < time.monotonic() - began < 5
    server.wait_until_idle()
    assert server.stats().client_closed == 1


def test_the_deadline_counts_from_the_opening(provider: AnthropicProvider) -> None:
    stream = provider.open(ask("Hello [[hang]]"), deadline_seconds=2)
    time.sleep(1.9)
    began = time.monotonic()
    with pytest.raises(ModelTimeout):
        list(stream)
    assert time.monotonic() - began < 1.9


def test_retries_end_at_the_deadline(server: ModelServer) -> None:
    patient = RetryPolicy(retries=1_000, first_pause_seconds=0.05, pause_seconds_max=0.05)
    provider = AnthropicProvider(direct_channel(server.url, lambda: "key"), policy=patient, draw=lambda: 1.0)
    began = time.monotonic()
    with pytest.raises((ModelFailed, ModelTimeout)):
        list(provider.open(ask("Hello [[status=500]]"), deadline_seconds=0.5))

    assert time.monotonic() - began < 10
    assert 1 < len(server.requests()) < 12


def test_reports_a_refused_connection() -> None:
    with pytest.raises(ModelFailed) as caught:
        list(provider_at("http://127.0.0.1:9").open(ask("Hello"), deadline_seconds=10))
    assert "connection_error" in caught.value.internal


def test_a_prompt_that_is_too_long_is_an_overflow(provider: AnthropicProvider, server: ModelServer) -> None:
    long = ModelMessage("user", (Text("word " * 820_000),))
    end = completed(provider.open(ask(long), deadline_seconds=30))

    assert (end.content, end.stop_reason, end.usage) == ((), "context_overflow", Usage())
    assert len(server.requests()) == 1


def test_a_413_is_an_overflow(provider: AnthropicProvider) -> None:
    end = completed(provider.open(ask("Hello [[status=413]]"), deadline_seconds=10))

    assert end.stop_reason == "context_overflow"


def test_ignores_the_text_of_a_400(provider: AnthropicProvider) -> None:
    with pytest.raises(ModelFailed):
        list(provider.open(ask("Hello [[overflow]]"), deadline_seconds=10))


def test_counting_fails_as_a_call_does() -> None:
    with pytest.raises(ModelFailed):
        provider_at("http://127.0.0.1:9").count_tokens(ask("Hello"))
