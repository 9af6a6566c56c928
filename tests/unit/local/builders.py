"""Builders of functions and APIs for tests of the local stack. No emulator is needed."""

import asyncio
import contextlib
import stat
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from infra.local.gateway.api import Api, CustomResponse, FunctionIntegration, Route
from infra.local.gateway.events import Call
from infra.local.gateway.requests import GatewayRequest
from infra.local.gateway.routes import match_route
from infra.local.lambdas.service import LambdaService
from infra.local.logs.stack_log import StackLog
from infra.local.processes import Children
from infra.local.stack.functions import StackFunction
from infra.runtime.functions import Function

# No server listens on this port, and no tested function calls it.
ENDPOINT_URL = "http://127.0.0.1:9"


def read_clock() -> datetime:
    """Return a fixed time."""
    return datetime(2026, 11, 21, 9, 30, 15, 123456, tzinfo=UTC)


def stack_function(
    name: str, handler: str, *, timeout_seconds: int = 5, reserved: int | None = None, **variables: str
) -> StackFunction:
    """Return a deployed function with these environment variables."""
    function = Function(
        logical_id=name,
        name=name,
        handler=handler,
        code="",
        layers=(),
        environment=variables,
        timeout_seconds=timeout_seconds,
        memory_megabytes=128,
    )
    return StackFunction(function, f"arn:aws:lambda:::function:{name}", reserved, "JSON", "INFO")


def write_source(root: Path, sources: Mapping[str, str]) -> None:
    """Write these files inside a folder, and make shell scripts executable."""
    for name, text in sources.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        if path.suffix == ".sh":
            path.chmod(path.stat().st_mode | stat.S_IXUSR)


def read_log(root: Path) -> str:
    """Return the log of the service that `running` starts in this folder."""
    return (root / "dev.log").read_text()


@contextlib.asynccontextmanager
async def running(root: Path, *functions: StackFunction) -> AsyncIterator[LambdaService]:
    """Yield a service with these functions. Afterwards, stop the service and all child processes."""
    with contextlib.closing(StackLog(root / "dev.log", None)) as log:
        children = Children(log)
        named = {item.function.name: item for item in functions}
        service = LambdaService(named, children, log, addresses={"AWS_ENDPOINT_URL": ENDPOINT_URL}, root=root)
        try:
            yield service
        finally:
            await service.close()
            await children.stop_all()


def buffered_route(method: str, resource: str, function: str = "echo", authorizer: str | None = None) -> Route:
    """Return a route to a function that returns complete responses."""
    return Route(method, resource, authorizer, FunctionIntegration(function, streams=False, timeout_seconds=5))


def streaming_route(method: str, resource: str, function: str, *, timeout_seconds: float = 5) -> Route:
    """Return a route to a function that streams its responses."""
    return Route(method, resource, None, FunctionIntegration(function, streams=True, timeout_seconds=timeout_seconds))


def make_api(*routes: Route, responses: Mapping[str, CustomResponse] | None = None, **changes: tuple[str, ...]) -> Api:
    """Return an API with these routes and the stage `dev`. `changes` may contain `binary_types`."""
    api = Api(api_id="a1b2c3", stage="dev", routes=routes, responses=responses or {}, binary_types=())
    return replace(api, binary_types=changes.get("binary_types", ()))


def make_request(method: str = "GET", path: str = "/v1/things", **changes: object) -> GatewayRequest:
    """Return a request from a client at 203.0.113.7. `changes` replace fields of the request."""
    request = GatewayRequest(
        method=method,
        path=path,
        query=(),
        headers=(("host", "api.example"),),
        body=b"",
        source_ip="203.0.113.7",
        request_id="6f1cbb1c-3f7e-4f3b-8a56-1f2f3a4b5c6d",
        received_at=1_795_253_937.25,
    )
    return replace(request, **changes)  # type: ignore[arg-type]  # fields by name


def make_call(api: Api, request: GatewayRequest, stage_prefix: str = "") -> Call:
    """Return the call for a request, with the route that matches the request."""
    match = match_route(api.routes, request.method, request.path)
    assert match is not None
    return Call(api, request, match, stage_prefix)


async def until(condition: Callable[[], object], seconds: float = 5) -> None:
    """Wait until the condition is true. Raise `TimeoutError` after this number of seconds."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)
