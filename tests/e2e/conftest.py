"""Fixtures of the end-to-end tests. `make dev` starts the whole product once, on loopback.

`--stack=running` uses the stack that is already running and reads its `.local/dev.json`. `--stage-prefix=/dev` starts
the stack with a stage prefix, as on API Gateway's default endpoint.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from atrium.llm.catalogue import DEFAULT_MODEL
from atrium.storage import platform_keys
from atrium.storage.table import PhysicalTable, PlatformTable
from atrium.storage.writes import ANY, Delete

from infra.runtime.resources import Endpoint

ROOT = Path(__file__).parents[2]
STARTED_SECONDS = 240


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--stack", default="", help="use the local stack that runs already")
    parser.addoption("--stage-prefix", default="", help="start the local stack below a stage: /dev")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.allow_hosts(["127.0.0.1"]))
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    """Return the sort key of a test.

    Tests that start their own stack run first. Tests that need a new shared stack run next, and then all other tests.
    """
    if "stack" not in getattr(item, "fixturenames", ()):
        return 0
    return 1 if item.get_closest_marker("new_stack") else 2


@dataclass(frozen=True)
class Tenant:
    """A seeded tenant and an HTTP client with its API key."""

    id: str
    plan: str
    api_key: str
    agent_id: str
    http: httpx.Client

    def chat(self, message: str, **fields: Any) -> dict[str, Any]:
        answer = self.http.post("/v1/chat", json={"message": message, **fields})
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body


@dataclass(frozen=True)
class Stack:
    """The running local stack. `description` is the content of its `.local/dev.json`."""

    base_url: str
    description: dict[str, Any]
    tenants: dict[str, Tenant]

    @property
    def model(self) -> httpx.Client:
        """An HTTP client of the model server's inspection API."""
        return httpx.Client(base_url=self.description["model_url"], timeout=300)


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """Start the stack, or connect to the running stack."""
    if request.config.getoption("--stack"):
        yield from _connect()
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("ANTHROPIC_", "OPENAI_", "ZHIPU_"))
    }
    environment |= {
        "PORT": str(port),
        "DETACH": "1",
        "STAGE_PREFIX": request.config.getoption("--stage-prefix"),
        "PYTHON": sys.executable,
    }
    started = subprocess.run(
        ["make", "dev"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=STARTED_SECONDS, check=False
    )
    assert started.returncode == 0, started.stdout + started.stderr
    try:
        yield from _connect()
    finally:
        subprocess.run(["make", "stop"], cwd=ROOT, env=environment, timeout=300, check=True, capture_output=True)


def _connect() -> Iterator[Stack]:
    description = json.loads((ROOT / ".local/dev.json").read_text())
    tenants: dict[str, Tenant] = {}
    for each in description["tenants"]:
        client = httpx.Client(
            base_url=description["base_url"], headers={"authorization": f"Bearer {each['api_key']}"}, timeout=300
        )
        tenants[each["plan"]] = Tenant(each["id"], each["plan"], each["api_key"], each["agent_id"], client)
    yield Stack(description["base_url"], description, tenants)
    for tenant in tenants.values():
        tenant.http.close()


@pytest.fixture(scope="session")
def close_circuit(stack: Stack) -> Iterator[Callable[[], object]]:
    """Return a function that closes the circuit of the model that the tests use."""
    client = Endpoint(stack.description["endpoint_url"]).client("dynamodb")
    table = PlatformTable(PhysicalTable(client, stack.description["table"]))
    yield lambda: table.write(Delete(platform_keys.circuit(DEFAULT_MODEL), ANY))
    client.close()


@pytest.fixture(autouse=True)
def closed_circuit(request: pytest.FixtureRequest) -> None:
    """Close the circuit before each test. Five outages open the circuit, and all tests together cause more outages."""
    if "stack" in request.fixturenames:
        request.getfixturevalue("close_circuit")()


@pytest.fixture
def pro(stack: Stack) -> Tenant:
    return stack.tenants["pro"]


@pytest.fixture
def free(stack: Stack) -> Tenant:
    return stack.tenants["free"]
