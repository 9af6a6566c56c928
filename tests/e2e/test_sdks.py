"""Unmodified SDKs of other vendors call the product: only the base URL, the key and the model change."""

from typing import Any

import pytest

from tests.conformance.clients.conftest import RunClient, node_folder, run_client  # noqa: F401 - fixtures
from tests.e2e.conftest import Tenant

CHAT = ("py-openai", "py-litellm", "py-langchain-openai", "js-openai", "js-ai-sdk-openai-compatible")
MESSAGES = ("py-anthropic", "py-langchain-anthropic", "js-anthropic", "js-ai-sdk-anthropic")
CALLS = [
    *((client, "gpt-6-luna") for client in CHAT),
    *((client, "claude-haiku-5-5") for client in MESSAGES),
    # the format of one vendor with a model of another
    ("py-openai", "claude-haiku-5-5"), ("py-anthropic", "gpt-6-luna"),
]  # fmt: skip


@pytest.fixture
def run_sdk(request: pytest.FixtureRequest) -> RunClient:
    if not request.config.getoption("--stage-prefix"):
        pytest.skip("`make conformance` installs the SDKs")
    run: RunClient = request.getfixturevalue("run_client")
    return run


@pytest.mark.parametrize(("client", "model"), CALLS)
def test_every_scenario_of_an_sdk(client: str, model: str, pro: Tenant, run_sdk: RunClient) -> None:
    target = {"base_url": str(pro.http.base_url).rstrip("/"), "api_key": pro.api_key, "model": model}
    found: dict[str, Any] = run_sdk(client, target)
    stream = found.pop("stream")
    assert "1 image" in found.pop("image", "")
    assert found == {
        "text": "Hello.",
        "tool": {"name": "calculator", "args": {"expression": "12*7"}, "text": "12*7 = 84"},
        "output": {"city": "example"},
        "error": {"status": 404},
    }
    assert stream.pop("parts", 0) >= 1, stream
    assert stream == {"text": "Hello.", "tokens": 2}
