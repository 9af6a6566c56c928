"""Functions run as in Lambda, in separate processes. A process is reused until it exits or the source changes."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from infra.local.lambdas.pool import Throttled
from infra.local.lambdas.service import LambdaService, UnknownFunction
from infra.local.stack.functions import StackFunction
from tests.unit.local.builders import ENDPOINT_URL, read_log, running, stack_function, until, write_source

pytestmark = pytest.mark.loopback

ECHO = """
import os, time

def handler(event, context):
    match event.get("do"):
        case "raise": raise ValueError("no")
        case "exit": os._exit(7)
        case "sleep":
            print("about to sleep")
            time.sleep(60)
        case "read": return dict(os.environ)
        case "context": return {"name": context.function_name, "left": context.get_remaining_time_in_millis()}
    print("seen")
    return {"pid": os.getpid(), "version": 1}
"""


def run(root: Path, work: Callable[[LambdaService], Awaitable[None]], *functions: StackFunction) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30), running(root, *functions) as service:
            await work(service)

    asyncio.run(bounded())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_source(tmp_path, {"echo.py": ECHO, "broken.py": "import nothing_of_that_name\n"})
    return tmp_path


async def call(service: LambdaService, name: str = "echo", **event: object) -> dict[str, object]:
    invocation = await service.invoke(name, json.dumps(event).encode())
    assert invocation.error is None, invocation.error
    answer: dict[str, object] = json.loads(invocation.payload)
    return answer


async def fail(service: LambdaService, name: str = "echo", **event: object) -> tuple[str, str]:
    invocation = await service.invoke(name, json.dumps(event).encode())
    assert invocation.error is not None
    return invocation.error.type, invocation.error.message


def test_process_is_reused_also_after_an_exception(root: Path) -> None:
    async def work(service: LambdaService) -> None:
        first = await call(service)
        assert await fail(service, do="raise") == ("ValueError", "no")
        assert await call(service) == first

    run(root, work, stack_function("echo", "echo.handler"))
    assert "echo         seen" in read_log(root)
    assert "ERROR echo         ValueError: no" in read_log(root)


def test_dead_process_fails_its_request_alone(root: Path) -> None:
    async def work(service: LambdaService) -> None:
        first = await call(service)
        kind, _ = await fail(service, do="exit")
        assert kind == "Runtime.ExitError"
        assert (await call(service))["pid"] != first["pid"]

    run(root, work, stack_function("echo", "echo.handler"))
    assert "exited unexpectedly with status 7" in read_log(root)


def test_function_that_takes_too_long(root: Path) -> None:
    async def work(service: LambdaService) -> None:
        first = await call(service)
        kind, message = await fail(service, do="sleep")
        assert kind == "Sandbox.Timedout"
        assert "Task timed out after 1.00 seconds" in message
        assert (await call(service))["pid"] != first["pid"]

    run(root, work, stack_function("echo", "echo.handler", timeout_seconds=1))
    assert "Task timed out after 1.00 seconds" in read_log(root)


def test_function_that_cannot_be_imported(root: Path) -> None:
    async def work(service: LambdaService) -> None:
        kind, message = await fail(service, "broken")
        assert kind == "Runtime.ImportModuleError"
        assert "nothing_of_that_name" in message

    run(root, work, stack_function("broken", "broken.handler"))
    assert "failed to start: Runtime.ImportModuleError" in read_log(root)


def test_changed_source_is_run_by_the_next_request(root: Path) -> None:
    async def work(service: LambdaService) -> None:
        first = await call(service)
        write_source(root, {"echo.py": ECHO.replace('"version": 1', '"version": 22')})
        assert service.retire(["echo"]) == ["echo"]
        second = await call(service)
        assert (first["version"], second["version"]) == (1, 22)

    run(root, work, stack_function("echo", "echo.handler"))


def test_requests_at_the_same_time_have_processes_of_their_own(root: Path) -> None:
    async def work(service: LambdaService) -> None:
        slow = [asyncio.create_task(fail(service, do="sleep")) for _ in range(2)]
        await until(lambda: read_log(root).count("about to sleep") == 2)
        await call(service)
        assert {kind for kind, _ in await asyncio.gather(*slow)} == {"Sandbox.Timedout"}

    run(root, work, stack_function("echo", "echo.handler", timeout_seconds=2))


def test_environment_is_lambdas_and_the_functions_alone(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("GITHUB_TOKEN", "of the developer")

    async def work(service: LambdaService) -> None:
        seen = await call(service, do="read")
        assert not {"AWS_PROFILE", "GITHUB_TOKEN"} & set(seen)
        assert seen["TABLE_NAME"] == "table"
        assert seen["AWS_ENDPOINT_URL"] == ENDPOINT_URL
        assert seen["AWS_LAMBDA_FUNCTION_NAME"] == "echo"
        assert seen["LAMBDA_TASK_ROOT"] == str(root)
        context = await call(service, do="context")
        left = context["left"]
        assert context["name"] == "echo"
        assert isinstance(left, int)
        assert 4000 < left <= 5000

    run(root, work, stack_function("echo", "echo.handler", TABLE_NAME="table"))


def test_end_of_the_stack_does_not_wait_for_functions(root: Path) -> None:
    began = time.monotonic()

    async def work(service: LambdaService) -> None:
        slow = asyncio.create_task(fail(service, do="sleep"))
        await until(lambda: "about to sleep" in read_log(root))
        slow.add_done_callback(lambda done: done.exception())

    run(root, work, stack_function("echo", "echo.handler", timeout_seconds=60))
    assert time.monotonic() - began < 10


def test_unknown_function(root: Path) -> None:
    async def work(service: LambdaService) -> None:
        with pytest.raises(UnknownFunction):
            await service.invoke("other", b"{}")
        with pytest.raises(UnknownFunction):
            service.lease("echo")

    run(root, work, stack_function("echo", "echo.handler"))


def test_reserved_concurrency(root: Path) -> None:
    async def work(service: LambdaService) -> None:
        slow = asyncio.create_task(fail(service, do="sleep"))
        await until(lambda: "about to sleep" in read_log(root))
        with pytest.raises(Throttled):
            await service.invoke("echo", b"{}")
        await slow

    run(root, work, stack_function("echo", "echo.handler", reserved=1, timeout_seconds=1))
