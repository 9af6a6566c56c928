"""The invoke proxy's responses to the emulator."""

import asyncio
import json
from pathlib import Path

import httpx
import pytest

from infra.local.lambdas.invoke_proxy import InvokeProxy
from tests.unit.local.builders import running, stack_function, write_source

pytestmark = pytest.mark.loopback

HANDLER = """
def handler(event, context):
    if event.get("do") == "raise":
        raise ValueError("no")
    return event.get("answer")
"""


def post(root: Path, event: object, name: str = "worker") -> tuple[int, object]:
    write_source(root, {"worker.py": HANDLER})

    async def work() -> tuple[int, object]:
        async with asyncio.timeout(30), running(root, stack_function("worker", "worker.handler")) as service:
            transport = httpx.ASGITransport(InvokeProxy(service))
            async with httpx.AsyncClient(transport=transport, base_url="http://proxy") as client:
                answer = await client.post("/", json=event, headers={"X-Amzn-Lambda-Function-Name": name})
                return answer.status_code, answer.json()

    return asyncio.run(work())


def batch(source: str, failed: list[str]) -> dict[str, object]:
    failures = {"batchItemFailures": [{"itemIdentifier": identifier} for identifier in failed]}
    return {"Records": [{"eventSource": source}], "answer": failures}


def test_result(tmp_path: Path) -> None:
    assert post(tmp_path, {"answer": {"done": True}}) == (200, {"done": True})


def test_failure(tmp_path: Path) -> None:
    status, error = post(tmp_path, {"do": "raise"})
    assert (status, error) == (502, {"errorType": "ValueError", "errorMessage": "no"})


def test_unknown_function(tmp_path: Path) -> None:
    status, _ = post(tmp_path, {}, name="other")
    assert status == 404


@pytest.mark.parametrize(
    ("source", "failed", "status"),
    [("aws:dynamodb", ["1"], 502), ("aws:dynamodb", [], 200), ("aws:sqs", ["1"], 200)],
)
def test_failed_records_of_a_stream_are_a_failed_batch(
    tmp_path: Path, source: str, failed: list[str], status: int
) -> None:
    event = batch(source, failed)
    answered, content = post(tmp_path, event)
    assert answered == status
    if status == 200:
        assert content == event["answer"]
    else:
        assert json.dumps(content).count("BatchItemFailures") == 1
