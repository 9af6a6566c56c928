"""Fixtures of the model server's tests: a server in a thread for each module, and clients that do not retry.

The tests of a module share the clients, because a new client reads the machine's certificates (20 ms).
"""

import threading
from collections.abc import Iterator

import anthropic
import httpx
import pytest

from infra.local.model_server import ModelServer, running
from tests.unit.model_server.builders import KEY, VERSION


@pytest.fixture(scope="module")
def running_server() -> Iterator[ModelServer]:
    before = set(threading.enumerate())
    with running(hang_seconds=0.3) as server:
        yield server
    assert set(threading.enumerate()) <= before


@pytest.fixture(scope="module")
def open_client(running_server: ModelServer) -> Iterator[anthropic.Anthropic]:
    http_client = anthropic.DefaultHttpxClient(trust_env=False)
    with anthropic.Anthropic(api_key=KEY, base_url=running_server.url, max_retries=0, http_client=http_client) as made:
        yield made


@pytest.fixture(scope="module")
def open_http(running_server: ModelServer) -> Iterator[httpx.Client]:
    headers = {"x-api-key": KEY, "anthropic-version": VERSION}
    with httpx.Client(base_url=running_server.url, headers=headers, trust_env=False, timeout=60) as made:
        yield made


@pytest.fixture
def server(running_server: ModelServer) -> Iterator[ModelServer]:
    """The server of the module, with an empty request log."""
    running_server.reset()
    yield running_server
    running_server.wait_until_idle()


@pytest.fixture
def client(server: ModelServer, open_client: anthropic.Anthropic) -> anthropic.Anthropic:
    return open_client


@pytest.fixture
def http(server: ModelServer, open_http: httpx.Client) -> httpx.Client:
    return open_http
