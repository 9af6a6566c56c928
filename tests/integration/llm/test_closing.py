"""Closing a model call from another thread ends it immediately, in any state. No thread or connection remains open."""

import gc
import threading
import time
import tracemalloc

import pytest
from atrium.llm.anthropic.provider import AnthropicProvider, direct_channel
from atrium.llm.model import Completed, ModelEvent, TextDelta
from atrium.llm.retries import RetryPolicy

from infra.local.model_server import ModelServer
from tests.integration.llm.requests import ask, completed

pytestmark = pytest.mark.loopback


@pytest.mark.parametrize(
    "directives", ["[[hang]]", "[[delay=8]]", "[[pieces=4]][[hang=2]]", "[[pieces=90]][[slow=0.05]]"]
)
def test_another_thread_closes_the_call_wherever_it_is(
    provider: AnthropicProvider, server: ModelServer, directives: str
) -> None:
    stream = provider.open(ask(f"Hello {directives} [[tokens=100]]"), deadline_seconds=30)
    events: list[ModelEvent] = []
    reader = threading.Thread(target=lambda: events.extend(stream))
    reader.start()
    while server.stats().concurrent == 0:
        time.sleep(0.01)
    time.sleep(0.2)
    began = time.monotonic()
    stream.close()
    reader.join(4)

    assert not reader.is_alive()
    assert time.monotonic() - began < 4, "close does not wait for the answer"
    assert not any(isinstance(event, Completed) for event in events)
    server.wait_until_idle()
    assert server.requests()[0].outcome == "client_closed"


def test_a_pause_between_retries_is_closed_too(server: ModelServer) -> None:
    policy = RetryPolicy(first_pause_seconds=20)
    provider = AnthropicProvider(direct_channel(server.url, lambda: "key"), policy=policy, draw=lambda: 1.0)
    stream = provider.open(ask("Hello [[status=500]]"), deadline_seconds=30)
    events: list[ModelEvent] = []
    reader = threading.Thread(target=lambda: events.extend(stream))
    reader.start()
    while server.stats().errors == 0:
        time.sleep(0.01)
    stream.close()
    reader.join(1)

    assert not reader.is_alive()
    assert events == []
    assert len(server.requests()) == 1


def test_usage_stays_known_after_closing(provider: AnthropicProvider, server: ModelServer) -> None:
    stream = provider.open(ask("Hello [[pieces=50]][[slow=0.02]][[tokens=100]]"), deadline_seconds=30)
    for event in stream:
        if isinstance(event, TextDelta):
            break
    stream.close()

    assert stream.usage.input_tokens > 0
    assert 0 < stream.usage.output_tokens < 100
    assert list(stream) == []
    server.wait_until_idle()
    assert server.requests()[0].outcome == "client_closed"


def test_a_stream_closed_before_its_first_event_sends_nothing(provider: AnthropicProvider, server: ModelServer) -> None:
    stream = provider.open(ask("Hello"), deadline_seconds=30)
    stream.close()
    stream.close()

    assert list(stream) == []
    assert server.requests() == []


def test_closing_after_the_end_changes_nothing(provider: AnthropicProvider) -> None:
    stream = provider.open(ask("Hello"), deadline_seconds=30)
    end = completed(stream)
    stream.close()
    assert stream.usage == end.usage


def test_a_slow_reader_applies_backpressure(provider: AnthropicProvider, server: ModelServer) -> None:
    request = ask("[[tokens=999]][[pieces=900]]")
    completed(provider.open(request, deadline_seconds=30))
    gc.collect()
    tracemalloc.start()
    try:
        for _ in range(5):
            with_peak = completed(provider.open(request, deadline_seconds=30))
            assert with_peak.usage.output_tokens == 999
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4_000_000


def test_many_calls_at_once_do_not_disturb_each_other(provider: AnthropicProvider, server: ModelServer) -> None:
    ends: dict[int, Completed] = {}

    def call(number: int) -> None:
        ends[number] = completed(provider.open(ask(f"[[echo]]number {number} [[slow=0.02]]"), deadline_seconds=30))

    threads = [threading.Thread(target=call, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, end in ends.items():
        assert f"number {number}" in str(end.content)
    assert len(ends) == 8
    assert server.stats().concurrent_peak >= 2
