"""The chat, session and admin applications on one `TenantEnv`. The real SDK calls the model server.

Chat is served on loopback, as `run.sh` serves it, because a test client does not deliver a response incrementally.
Requests to chat have the header in which the Lambda Web Adapter passes the caller's context.
"""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx2
import uvicorn
from atrium.audit.model import AuditEvent, EventType
from atrium.audit.query import make_query
from atrium.bootstrap import Runtime
from atrium.http import logs
from atrium.kernel.ids import TenantId
from atrium.kernel.pagination import PageRequest
from atrium.llm.model import Usage
from atrium.settings import MODEL_VENDORS
from atrium.storage import keys
from atrium.tenants.auditing import open_audit
from fastapi import FastAPI
from starlette.testclient import TestClient

import functions.admin.app
import functions.chat.app
import functions.sessions.app
import functions.tools.app
from infra.local.model_server import ModelServer
from infra.local.model_server.server import bind, url_of
from tests.builders.gateway import OTHER_TENANT_ID, Fields, call_as, request_context, tenant_fields
from tests.builders.runtimes import TurnedClock, build_runtime
from tests.builders.tenant_env import OTHER_OWNER, TENANT, TenantEnv, context_of

SCOPES = "chat sessions:read sessions:write"
OWN = tenant_fields(scopes=SCOPES)
ADMIN = tenant_fields(principal_id="key_01k6r5m2x8f3v9q4w7t1y0z5ae", scopes="admin")
OTHER_PRINCIPAL = tenant_fields(principal_type="user", principal_id=OTHER_OWNER, role="user", scopes=SCOPES)
OTHER_TENANT = tenant_fields(tenant_id=OTHER_TENANT_ID, scopes=SCOPES)
OUTSIDERS = {"another owner": OTHER_PRINCIPAL, "another tenant": OTHER_TENANT}


class TickingClock(TurnedClock):
    """A running clock that a test can also advance."""

    def __init__(self) -> None:
        super().__init__()
        self._since = time.monotonic()

    def __call__(self) -> datetime:
        return self.now + timedelta(seconds=time.monotonic() - self._since)


@dataclass
class Holder:
    """The source of the served application's runtime. Each test sets `runtime`."""

    runtime: Runtime | None = None

    def __call__(self) -> Runtime:
        assert self.runtime is not None
        return self.runtime


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """Serve an application in a thread, and yield its URL."""
    config = uvicorn.Config(
        app, loop="asyncio", http="h11", ws="none", lifespan="off", log_config=None, access_log=False,
        timeout_graceful_shutdown=1,
    )  # fmt: skip
    server, listener = uvicorn.Server(config), bind(0)
    thread = threading.Thread(target=server.run, args=([listener],), name="chat-server")
    thread.start()
    try:
        deadline = time.monotonic() + 60
        while not server.started:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        yield url_of(listener)
    finally:
        server.should_exit = True
        thread.join()


@dataclass(frozen=True)
class Sent:
    """A received server-sent event. `seconds` is the time since the stream's first read."""

    id: int
    event: str
    data: dict[str, Any]
    seconds: float


@dataclass
class ApiEnv:
    """The applications, and the services that they call."""

    tenant_env: TenantEnv
    server: ModelServer
    url: str
    holder: Holder
    clients: list[httpx2.Client] = field(default_factory=list)

    @property
    def runtime(self) -> Runtime:
        return self.holder()

    def chat_as(
        self, fields: Fields | None = OWN, *, stage_prefix: str = "", remaining_seconds: float = 900
    ) -> httpx2.Client:
        """Return a client of the chat function. `fields` is the authorizer's context, or None without an authorizer."""

        def add_context(request: httpx2.Request) -> None:
            context = request_context(request.url.path, fields, stage_prefix=stage_prefix)
            deadline = int((self.runtime.clock().timestamp() + remaining_seconds) * 1000)
            request.headers["x-amzn-request-context"] = json.dumps(context)
            request.headers["x-amzn-lambda-context"] = json.dumps({"deadline": deadline})

        client = httpx2.Client(base_url=self.url, event_hooks={"request": [add_context]}, timeout=300)
        self.clients.append(client)
        return client

    def sent_bodies(self) -> list[dict[str, Any]]:
        """Return the bodies of the requests that the model server received, oldest first."""
        return [record.body for record in self.server.requests() if isinstance(record.body, dict)]

    def reported_usage(self) -> list[Usage]:
        """Return the usage that the model server reported for each answer."""
        told = [record.usage for record in self.server.requests() if record.usage]
        return [
            Usage(each.input_tokens, each.output_tokens, each.cache_read_input_tokens, each.cache_creation_input_tokens)
            for each in told
        ]

    def version(self, tenant: TenantId = TENANT) -> int:
        """Return the tenant's current `config_version`."""
        return int((self.tenant_env.table(tenant).get(keys.tenant()) or {})["config_version"])

    def events(self, kind: EventType, tenant: TenantId = TENANT) -> list[AuditEvent]:
        """Return the tenant's audit events of type `kind`, newest first (at most 100)."""
        audit = open_audit(context_of(tenant=tenant), self.tenant_env.table(tenant), self.tenant_env.clock)
        return audit.list(make_query(now=self.tenant_env.clock(), type=kind), PageRequest(100)).items

    def sessions_as(self, fields: Fields | None = OWN, *, stage_prefix: str = "") -> TestClient:
        return call_as(functions.sessions.app.build(self.holder), fields, stage_prefix=stage_prefix)

    def admin_as(self, fields: Fields | None = ADMIN, *, stage_prefix: str = "") -> TestClient:
        return call_as(functions.admin.app.build(self.holder), fields, stage_prefix=stage_prefix)

    def tools_as(self, fields: Fields | None = ADMIN) -> TestClient:
        return call_as(functions.tools.app.build(self.holder), fields)


def model_environment(server: ModelServer) -> dict[str, str]:
    """Return the variables with which the functions use the model server for the models of all vendors."""
    keys_of_tests = {f"{vendor.upper()}_API_KEY": "a-key-of-tests" for vendor in MODEL_VENDORS}
    chat = {f"{vendor}_BASE_URL": f"{server.url}/v1" for vendor in ("OPENAI", "ZHIPU")}
    return {**keys_of_tests, **chat, "ANTHROPIC_BASE_URL": server.url}


@contextmanager
def open_api_env(tenant_env: TenantEnv, server: ModelServer, url: str, holder: Holder) -> Iterator[ApiEnv]:
    """Yield the applications of a `TenantEnv`. Afterwards, close their clients and wait until no turn is running."""
    tenant_env.clock = TickingClock()
    environment = model_environment(server)
    runtime = build_runtime(environment, table=tenant_env.physical, clock=tenant_env.clock)()
    runtime.__dict__["bucket"] = tenant_env.bucket
    holder.runtime = runtime
    server.reset()
    api_env = ApiEnv(tenant_env, server, url, holder)
    level = logs.logger().log_level
    logs.logger().setLevel("CRITICAL")  # other threads write log lines, which tests cannot capture
    try:
        yield api_env
    finally:
        logs.logger().setLevel(level)
        for client in api_env.clients:
            client.close()
        wait_until(lambda: not [thread for thread in threading.enumerate() if thread.name == "turn"])


def wait_until(holds: Any, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"the condition was not true within {seconds} s"
        time.sleep(0.01)


def read_events(response: httpx2.Response) -> Iterator[Sent | None]:
    """Yield the events of a stream as they arrive, and None for each comment. Assert that the format is valid."""
    began = time.monotonic()
    buffer = ""
    for text in response.iter_text():
        buffer += text
        while "\n\n" in buffer:
            block, buffer = buffer.split("\n\n", 1)
            yield _read_block(block, time.monotonic() - began)
    assert buffer == "", "the stream ends with a whole event"


def _read_block(block: str, seconds: float) -> Sent | None:
    if block.startswith(":"):
        return None
    number, event, data = block.split("\n")
    assert number.startswith("id: ")
    assert event.startswith("event: ")
    assert data.startswith("data: ")
    return Sent(int(number[4:]), event[7:], json.loads(data[6:]), seconds)


def stream(client: httpx2.Client, message: Any, headers: Mapping[str, str] | None = None, **body: Any) -> list[Sent]:
    """Send a message, and return all events of its stream."""
    with client.stream("POST", "/v1/chat/stream", json={"message": message, **body}, headers=headers) as response:
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"].startswith("text/event-stream")
        return [event for event in read_events(response) if event]


def start_stream(client: httpx2.Client, message: str) -> tuple[str, threading.Thread]:
    """Send a message in a thread, and wait for the start event. Return the run's id and the thread."""
    started: list[str] = []

    def send() -> None:
        with client.stream("POST", "/v1/chat/stream", json={"message": message}) as response:
            for event in read_events(response):
                if event and event.event == "start":
                    started.append(event.data["run_id"])

    thread = threading.Thread(target=send, name="client")
    thread.start()
    wait_until(lambda: started)
    return started[0], thread


def say(client: httpx2.Client, message: str, headers: Mapping[str, str] | None = None, **body: Any) -> httpx2.Response:
    return client.post("/v1/chat", json={"message": message, **body}, headers=headers)


def assert_problem(response: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """Assert that an error response follows the contract, and return its body."""
    body: dict[str, Any] = response.json()
    assert (response.status_code, body["code"], body["status"]) == (status, code, status), response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert body["type"].endswith(f"/docs/errors/{code}")
    assert body["request_id"] == response.headers["x-request-id"]
    assert {"title", "detail", "retryable"} <= set(body)
    return body
