"""The SDKs work with the model server. A failure of an SDK with the product is therefore a fault of the product."""

from collections.abc import Iterator
from typing import Any

import pytest

from infra.local.model_server import ModelServer, running
from tests.conformance.clients.conftest import RunClient

CHAT = ("py-openai", "py-litellm", "py-langchain-openai", "js-openai", "js-ai-sdk-openai-compatible")
MESSAGES = ("py-anthropic", "py-langchain-anthropic", "js-anthropic", "js-ai-sdk-anthropic")
# GPT calls tools only without reasoning.
OPTIONS: dict[str, dict[str, Any]] = {
    "js-ai-sdk-openai-compatible": {"reasoningEffort": "none"},
    **{client: {"reasoning_effort": "none"} for client in CHAT[:-1]},
}


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    with running() as started:
        yield started


@pytest.mark.parametrize("client", [*CHAT, *MESSAGES])
def test_every_scenario_of_an_sdk(client: str, server: ModelServer, run_client: RunClient) -> None:
    model = "gpt-6-luna" if client in CHAT else "claude-haiku-5-5"
    endpoint = {"base_url": server.url, "api_key": "any", "model": model, "options": OPTIONS.get(client, {})}
    found = run_client(client, endpoint)
    stream = found.pop("stream")
    assert "1 image" in found.pop("image")
    assert found == {
        "text": "Hello.",
        "tool": {"name": "calculator", "args": {"expression": "12*7"}, "text": "12*7 = 84"},
        "output": {"city": "example"},
        "error": {"status": 404},
    }
    assert stream.pop("parts", 0) >= 1, stream
    assert stream == {"text": "Hello.", "tokens": 2}
