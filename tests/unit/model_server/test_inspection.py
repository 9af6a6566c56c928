"""The inspection routes: requests, disconnected clients, concurrency and totals."""

import time
from contextlib import ExitStack

import anthropic
import httpx
import pytest

from infra.local.model_server import ModelServer
from tests.unit.model_server.builders import KEY, MODEL, ask, body, user

pytestmark = pytest.mark.loopback


def test_a_request_is_recorded(client: anthropic.Anthropic, server: ModelServer, http: httpx.Client) -> None:
    answer = ask(client, "Hello.")
    (record,) = http.get("/__requests").json()["requests"]
    assert record["model"] == MODEL
    assert (record["stream"], record["message_count"], record["concurrent"]) == (False, 1, 1)
    assert record["body"]["messages"] == [{"role": "user", "content": "Hello."}]
    assert (record["outcome"], record["status"], record["error_type"]) == ("completed", 200, None)
    assert record["started_at"] <= record["first_byte_at"] <= record["ended_at"] <= time.time()
    assert record["usage"]["output_tokens"] == answer.usage.output_tokens
    assert record["request_id"] == answer._request_id
    assert KEY not in str(record)
    assert record["headers"]["key-end"] == KEY[-4:]
    assert record["n"] == server.requests()[0].n


def test_only_newer_requests_are_listed(client: anthropic.Anthropic, server: ModelServer, http: httpx.Client) -> None:
    ask(client, "one")
    n = server.requests()[-1].n
    ask(client, "two")
    assert [record["n"] for record in http.get(f"/__requests?after={n}").json()["requests"]] == [n + 1]
    assert http.get("/__requests?after=-1").status_code == 400
    assert http.post("/__reset").json() == {}
    assert server.requests() == []
    ask(client, "three")
    assert server.requests()[0].n == n + 2


def test_refused_requests_are_recorded_too(http: httpx.Client, server: ModelServer) -> None:
    http.post("/v1/messages", content=b"{")
    http.post("/v1/messages", json=body(max_tokens=-1))
    assert [(record.outcome, record.status) for record in server.requests()] == [("error", 400)] * 2
    assert [record.body is None for record in server.requests()] == [True, False]


@pytest.mark.parametrize("text", ["[[delay=30]]", "[[hang]]", "[[delay=30]] [[status=500]]"])
def test_a_client_that_leaves_before_the_answer_is_noticed(
    client: anthropic.Anthropic, server: ModelServer, text: str
) -> None:
    with pytest.raises(anthropic.APITimeoutError):
        ask(client.with_options(timeout=0.25), text)
    left = time.time()
    server.wait_until_idle()
    (record,) = server.requests()
    assert record.outcome == "client_closed"
    assert record.ended_at is not None
    assert record.ended_at - left < 1
    assert record.first_byte_at is None


@pytest.mark.parametrize("text", ["[[slow=30]]", "[[hang=2]]", "[[tokens=100000]]"])
def test_a_client_that_leaves_in_mid_stream_is_noticed(
    client: anthropic.Anthropic, server: ModelServer, text: str
) -> None:
    with client.messages.stream(model=MODEL, max_tokens=120_000, messages=[user(f"{text} Hello.")]) as stream:
        assert next(stream.text_stream)
    server.wait_until_idle()
    (record,) = server.requests()
    assert record.outcome == "client_closed"
    assert record.usage is not None
    assert record.usage.output_tokens == 1
    assert server.stats().client_closed == 1


def test_concurrency_is_counted(client: anthropic.Anthropic, server: ModelServer) -> None:
    with ExitStack() as streams:
        for number in range(8):
            text = user(f"[[slow=60]] number {number}")
            stream = streams.enter_context(client.messages.stream(model=MODEL, max_tokens=100, messages=[text]))
            assert next(stream.text_stream)
        assert server.stats().concurrent == 8
    server.wait_until_idle()
    stats = server.stats()
    assert (stats.concurrent, stats.concurrent_peak, stats.client_closed) == (0, 8, 8)
    assert [record.concurrent for record in server.requests()] == [1, 2, 3, 4, 5, 6, 7, 8]


def test_totals_are_the_sum_of_what_was_reported(client: anthropic.Anthropic, server: ModelServer) -> None:
    usages = [ask(client, f"[[tokens={count}]]").usage for count in (10, 20)]
    with pytest.raises(anthropic.InternalServerError):
        ask(client, "[[status=500]]")
    stats = server.stats()
    assert stats.output_tokens == 30
    assert stats.input_tokens == sum(usage.input_tokens for usage in usages)
    assert (stats.requests, stats.completed, stats.errors) == (3, 2, 1)


def test_stats_over_http_are_the_same(client: anthropic.Anthropic, http: httpx.Client) -> None:
    ask(client, "[[tokens=10]]")
    stats = http.get("/__stats").json()
    assert (stats["concurrent"], stats["concurrent_peak"], stats["requests"], stats["output_tokens"]) == (0, 1, 1, 10)
