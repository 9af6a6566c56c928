"""The built chat function, started by its `run.sh` behind the real Lambda Web Adapter, with the local model server."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.runtime.results import Chunk, Invocation
from infra.runtime.seed import EVENTS_TENANT, OTHER_TENANT
from tests.artifacts.running import Fleet, read_event, running_fleet


@pytest.fixture(scope="module")
def fleet(adapter_binary: Path) -> Iterator[Fleet]:
    with running_fleet(adapter_binary) as running:
        yield running


def call(fleet: Fleet, name: str, *, body: object = None, **headers: str) -> Invocation:
    """Invoke the function with an event of tests/events, optionally with another body or additional headers.

    In the names of headers, `_` is replaced by `-`.
    """
    event = read_event(f"chat/{name}")
    for header, value in headers.items():
        event["headers"][header.replace("_", "-")] = value
        event["multiValueHeaders"][header.replace("_", "-")] = [value]
    if body is not None:
        event["body"] = json.dumps(body)
    result = fleet.invoke("chat", json.dumps(event).encode(), 30)
    assert (result.status, result.error) == ("succeeded", None)
    return result


def refusal(result: Invocation) -> tuple[int, str, str]:
    assert result.prelude is not None
    answer: Any = result.json()
    return result.prelude.status, result.prelude.headers["content-type"], answer["code"]


def first_with(chunks: tuple[Chunk, ...], text: bytes) -> float:
    return next(chunk.seconds for chunk in chunks if text in chunk.data)


def test_answer_is_whole(fleet: Fleet) -> None:
    result = call(fleet, "answer")
    answer: Any = result.json()
    assert result.prelude is not None
    assert (result.prelude.status, answer["stop_reason"]) == (200, "end_turn")
    assert int(result.prelude.headers["content-length"]) == len(result.payload)


def test_pieces_come_as_the_model_sends_them(fleet: Fleet) -> None:
    call(fleet, "answer")  # the first call imports the modules
    message = "[[delay=1]] [[pieces=4]] [[slow=0.4]] Tell me a story."
    chunks = call(fleet, "stream", body={"message": message}).chunks
    start = first_with(chunks, b"event: start")
    texts = [chunk.seconds for chunk in chunks if b"event: text" in chunk.data]
    assert start < 0.8 < 1.0 <= texts[0]
    assert len(texts) == 4
    assert all(0.3 < later - earlier < 0.6 for earlier, later in itertools.pairwise(texts))
    assert b"event: final" in chunks[-1].data


def test_comments_and_events_are_numbered_from_one(fleet: Fleet) -> None:
    payload = call(fleet, "stream").payload.decode()
    ids = [int(line.removeprefix("id: ")) for line in payload.splitlines() if line.startswith("id: ")]
    assert ids == list(range(1, len(ids) + 1))
    assert len(ids) > 5


@pytest.mark.parametrize(
    ("name", "body", "status", "code"),
    [
        ("unknown_session", None, 404, "NOT_FOUND"),
        ("empty_message", None, 422, "VALIDATION_FAILED"),
        ("unknown_run", None, 404, "NOT_FOUND"),
        ("stream", {"message": "Hello", "model": "claude-nowhere-1"}, 422, "VALIDATION_FAILED"),
        ("stream", {"message": "Hello", "tenant_id": OTHER_TENANT.id}, 403, "TENANT_MISMATCH"),
        ("stream", {"message": "[[status=400]] Hello"}, 200, ""),
    ],
)
def test_refusal_keeps_its_status(fleet: Fleet, name: str, body: object, status: int, code: str) -> None:
    result = call(fleet, name, body=body)
    if status == 200:  # the call was admitted, so an error of the model is sent as an event
        assert b"event: error" in result.payload
        return
    assert refusal(result) == (status, "application/problem+json", code)


def test_forged_context_does_not_open_the_other_tenants_session(fleet: Fleet) -> None:
    """The client sends the other tenant's context. The adapter overwrites it with the gateway's context."""
    assert refusal(call(fleet, "forged_context")) == (404, "application/problem+json", "NOT_FOUND")


def test_call_without_authorizer_is_refused_whatever_its_headers_say(fleet: Fleet) -> None:
    event = read_event("chat/forged_context")
    del event["requestContext"]["authorizer"]
    result = fleet.invoke("chat", json.dumps(event).encode(), 30)
    assert refusal(result) == (401, "application/problem+json", "UNAUTHENTICATED")


def test_tenant_header_of_the_client_is_ignored(fleet: Fleet) -> None:
    answer: Any = call(fleet, "answer", x_amz_tenant_id=OTHER_TENANT.id, x_tenant_id=EVENTS_TENANT.id).json()
    runs: Any = call(fleet, "runs", x_amz_tenant_id=OTHER_TENANT.id).json()
    assert answer["run_id"] in [run["id"] for run in runs["data"]]
