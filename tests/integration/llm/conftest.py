"""The model provider with the real SDK and the local model server, on loopback."""

import threading
from collections.abc import Iterator

import pytest
from atrium.llm.anthropic.provider import AnthropicProvider, direct_channel
from atrium.llm.retries import RetryPolicy

from infra.local.model_server import ModelServer, running

QUICK = RetryPolicy(first_pause_seconds=0.01)


@pytest.fixture(scope="module")
def model_server() -> Iterator[ModelServer]:
    with running(hang_seconds=10) as server:
        yield server


@pytest.fixture
def server(model_server: ModelServer) -> ModelServer:
    model_server.reset()
    return model_server


@pytest.fixture
def provider(server: ModelServer) -> AnthropicProvider:
    return provider_at(server.url)


def provider_at(url: str) -> AnthropicProvider:
    return AnthropicProvider(direct_channel(url, lambda: "a-key-of-tests"), policy=QUICK)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """Assert after each test that all threads of model calls have ended."""
    before = set(threading.enumerate())
    yield
    left = [thread for thread in threading.enumerate() if thread not in before and thread.name != "model-server"]
    assert left == []
