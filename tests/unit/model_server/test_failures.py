"""Scripted failures, as the SDK reports them."""

import time

import anthropic
import httpx
import pytest

from infra.local.model_server import ModelServer
from tests.unit.model_server.builders import MODEL, ask, body, read_frames, text_of, user

pytestmark = pytest.mark.loopback


def receive(http: httpx.Client, text: str, received: list[bytes]) -> None:
    with http.stream("POST", "/v1/messages", json=body(text, stream=True)) as response:
        for chunk in response.iter_raw():
            received.append(chunk)


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (401, anthropic.AuthenticationError, "authentication_error"),
        (402, anthropic.PaymentRequiredError, "billing_error"),
        (403, anthropic.PermissionDeniedError, "permission_error"),
        (418, anthropic.APIStatusError, "invalid_request_error"),
        (429, anthropic.RateLimitError, "rate_limit_error"),
        (500, anthropic.InternalServerError, "api_error"),
        (503, anthropic.ServiceUnavailableError, "api_error"),
        (504, anthropic.GatewayTimeoutError, "timeout_error"),
        (529, anthropic.OverloadedError, "overloaded_error"),
    ],
)
def test_a_status_on_demand(
    client: anthropic.Anthropic, status: int, error: type[anthropic.APIStatusError], kind: str
) -> None:
    with pytest.raises(error) as caught:
        ask(client, f"[[status={status}]] Hello.")
    assert (caught.value.status_code, caught.value.type) == (status, kind)
    assert caught.value.request_id
    assert "retry-after" not in caught.value.response.headers
    assert "x-should-retry" not in caught.value.response.headers


def test_times_bounds_the_failures_of_one_request(client: anthropic.Anthropic, server: ModelServer) -> None:
    text = "[[status=429]] [[times=2]] [[retry_after=1.5]] [[echo]] done"
    for _ in range(2):
        with pytest.raises(anthropic.RateLimitError) as caught:
            ask(client, text)
        assert caught.value.response.headers["retry-after"] == "1.5"
    assert text_of(ask(client, text)) == "done"
    with pytest.raises(anthropic.RateLimitError):
        ask(client, text + " again")
    assert [record.attempt for record in server.requests()] == [1, 2, 3, 1]
    server.reset()
    with pytest.raises(anthropic.RateLimitError):
        ask(client, text)


def test_the_sdk_succeeds_with_its_own_retries(client: anthropic.Anthropic, server: ModelServer) -> None:
    retrying = client.with_options(max_retries=2)
    assert text_of(ask(retrying, "[[status=529]] [[times=1]] [[retry_after=0.01]] [[echo]] done")) == "done"
    assert [record.status for record in server.requests()] == [529, 200]
    assert [record.headers["x-stainless-retry-count"] for record in server.requests()] == ["0", "1"]


def test_overload_in_mid_stream_is_an_event(http: httpx.Client) -> None:
    response = http.post("/v1/messages", json=body("[[overload_midstream]] [[pieces=5]] Hello.", stream=True))
    frames = read_frames(response.content)
    assert [frame.name for frame in frames] == [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
        "content_block_delta",
        "error",
    ]
    assert frames[-1].data == {
        "type": "error",
        "error": {"type": "overloaded_error", "message": "Overloaded"},
        "request_id": response.headers["request-id"],
    }


def test_the_sdk_sees_the_overload_by_type_not_by_status(client: anthropic.Anthropic) -> None:
    text = user("[[overload_midstream=3]] Hello.")
    with client.messages.stream(model=MODEL, max_tokens=100, messages=[text]) as stream:
        pieces = [next(stream.text_stream) for _ in range(3)]
        with pytest.raises(anthropic.APIStatusError) as caught:
            next(stream.text_stream)
    assert len(pieces) == 3
    assert (caught.value.status_code, caught.value.type) == (200, "overloaded_error")


def test_without_a_stream_overload_is_a_status(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.OverloadedError):
        ask(client, "[[overload_midstream]] Hello.")


def test_breaks_a_short_answer_too(http: httpx.Client) -> None:
    response = http.post("/v1/messages", json=body("[[overload_midstream=9]] [[pieces=1]] Hello.", stream=True))
    assert [frame.name for frame in read_frames(response.content)][-2:] == ["content_block_stop", "error"]


def test_a_dropped_stream_ends_without_its_end(http: httpx.Client, server: ModelServer) -> None:
    received: list[bytes] = []
    with pytest.raises(httpx.RemoteProtocolError):
        receive(http, "[[disconnect=1]] Hello.", received)
    assert read_frames(b"".join(received))[-1].name == "content_block_delta"
    server.wait_until_idle()
    assert [record.outcome for record in server.requests()] == ["error"]


def test_a_dropped_json_answer_is_a_connection_error(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.APIConnectionError):
        ask(client, "[[disconnect]] Hello.")


@pytest.mark.parametrize("stream", [False, True])
def test_a_hanging_request_ends_after_its_limit(http: httpx.Client, stream: bool) -> None:
    started = time.monotonic()
    response = http.post("/v1/messages", json=body("[[hang]] Hello.", stream=stream))
    assert (response.status_code, response.json()["error"]["type"]) == (504, "timeout_error")
    assert time.monotonic() - started > 0.29


def test_a_stream_may_hang_in_the_middle(http: httpx.Client) -> None:
    received: list[bytes] = []
    with pytest.raises(httpx.RemoteProtocolError):
        receive(http, "[[hang=1]] Hello.", received)
    assert read_frames(b"".join(received))[-1].name == "content_block_delta"


def test_a_prompt_may_be_too_long_on_demand(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.BadRequestError, match="prompt is too long"):
        ask(client, "[[overflow]] Hello.")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[delay=soon]]", "directive delay: Input should be a valid number"),
        ("[[delay=nan]]", "directive delay: Input should be"),
        ("[[status=200]]", "directive status: Input should be greater than or equal to 400"),
        ("[[pieces]]", "directive pieces: needs a value"),
        ("[[dely=2]]", "directive dely: unknown"),
        ("[[delay=2", "directive delay: not closed by"),
        ("[[tool=]]", "directive tool: needs a name"),
        ("[[tool=calculator {]]", "the input of calculator is not a JSON object"),
        ('[[tool=calculator {"a":1} x]]', "calculator must be followed by a JSON object"),
        ("[[stop=never]]", "directive stop: Input should be"),
    ],
)
def test_reports_an_invalid_directive(client: anthropic.Anthropic, text: str, message: str) -> None:
    with pytest.raises(anthropic.BadRequestError) as caught:
        ask(client, text)
    assert message in str(caught.value.api_message)
