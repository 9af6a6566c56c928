"""The Runtime API over a persistent HTTP connection, as a Lambda runtime uses it."""

import base64
import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from infra.runtime.api import RuntimeApi
from infra.runtime.results import PRELUDE_END, FunctionError, Invocation

pytestmark = pytest.mark.loopback

NEXT = "/2018-06-01/runtime/invocation/next"
STREAMING = {"Lambda-Runtime-Function-Response-Mode": "streaming", "Transfer-Encoding": "chunked"}
type Invoke = Callable[..., Future[Invocation]]


@pytest.fixture
def api() -> Iterator[RuntimeApi]:
    before = set(threading.enumerate())
    with RuntimeApi(function_name="chat", handler="run.sh") as started:
        yield started
    assert set(threading.enumerate()) <= before


@pytest.fixture
def runtime(api: RuntimeApi) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection(api.address, timeout=60)
    yield connection
    connection.close()


@pytest.fixture
def invoke(api: RuntimeApi) -> Iterator[Invoke]:
    with ThreadPoolExecutor(1) as pool:
        yield lambda event=b"{}", seconds=5.0, **options: pool.submit(api.invoke, event, seconds, **options)


def call(runtime: http.client.HTTPConnection, path: str, body: bytes, **headers: str) -> tuple[int, dict[str, str]]:
    runtime.request("POST", path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = runtime.getresponse()
    return answer.status, json.loads(answer.read())


def take(runtime: http.client.HTTPConnection) -> tuple[str, bytes, http.client.HTTPResponse]:
    """Poll for the next event. Return the base path for its results, the event and the HTTP response."""
    runtime.request("GET", NEXT)
    handed = runtime.getresponse()
    event = handed.read()
    return f"/2018-06-01/runtime/invocation/{handed.headers['Lambda-Runtime-Aws-Request-Id']}", event, handed


def stream(runtime: http.client.HTTPConnection, path: str, pieces: list[bytes], *, pause: float = 0.0) -> None:
    """Start a chunked request. Send each piece as one chunk, and wait `pause` seconds after each chunk."""
    runtime.putrequest("POST", path)
    for name, value in STREAMING.items():
        runtime.putheader(name, value)
    runtime.endheaders()
    for piece in pieces:
        runtime.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        time.sleep(pause)


def prelude(**fields: object) -> bytes:
    return json.dumps(fields).encode() + PRELUDE_END


def test_event_has_the_headers_of_its_context(runtime: http.client.HTTPConnection, invoke: Invoke) -> None:
    ended = invoke(b'{"a":1}', 5.0, client_context='{"custom":{}}')
    base, event, handed = take(runtime)
    assert event == b'{"a":1}'
    assert 4 < int(handed.headers["Lambda-Runtime-Deadline-Ms"]) / 1000 - time.time() <= 5
    assert handed.headers["Lambda-Runtime-Invoked-Function-Arn"].endswith(":function:chat")
    assert handed.headers["Lambda-Runtime-Client-Context"] == '{"custom":{}}'
    assert handed.headers["Lambda-Runtime-Trace-Id"].startswith("Root=1-")
    assert call(runtime, f"{base}/response", b'{"b":2}') == (202, {"status": "OK"})
    result = ended.result(60)
    assert (result.status, result.json(), result.error) == ("succeeded", {"b": 2}, None)
    assert base.endswith(result.request_id)


def test_a_runtime_serves_one_event_after_the_other(runtime: http.client.HTTPConnection, invoke: Invoke) -> None:
    for number in range(3):
        ended = invoke(str(number).encode())
        base, event, handed = take(runtime)
        assert "Lambda-Runtime-Client-Context" not in handed.headers
        call(runtime, f"{base}/response", event)
        assert ended.result(60).json() == number


def test_second_invocation_at_once_is_refused(
    api: RuntimeApi, runtime: http.client.HTTPConnection, invoke: Invoke
) -> None:
    ended = invoke()
    base, _, _ = take(runtime)
    with pytest.raises(RuntimeError, match="one invocation at a time"):
        api.invoke(b"{}", 1)
    call(runtime, f"{base}/response", b"null")
    assert ended.result(60).status == "succeeded"


def test_error_of_the_handler_comes_back(runtime: http.client.HTTPConnection, invoke: Invoke) -> None:
    ended = invoke()
    base, _, _ = take(runtime)
    report = {"errorType": "ValueError", "errorMessage": "no", "stackTrace": ["line 1"]}
    call(runtime, f"{base}/error", json.dumps(report).encode(), Lambda_Runtime_Function_Error_Type="Unhandled")
    result = ended.result(60)
    assert (result.status, result.error) == ("failed", FunctionError("ValueError", "no", ("line 1",)))


def test_failed_start_fails_every_invocation(
    api: RuntimeApi, runtime: http.client.HTTPConnection, invoke: Invoke
) -> None:
    ended = invoke()
    report = b'{"errorType": "Runtime.ImportModuleError", "errorMessage": "no module"}'
    assert call(runtime, "/2018-06-01/runtime/init/error", report)[0] == 202
    api.fail(FunctionError("Runtime.ExitError", "exited with status 1"))
    for result in (ended.result(60), api.invoke(b"{}", 5)):
        assert result.error == FunctionError("Runtime.ImportModuleError", "no module")


def test_time_out_counts_from_the_hand_over_and_refuses_the_late_answer(
    runtime: http.client.HTTPConnection, invoke: Invoke
) -> None:
    ended = invoke(b"{}", 0.3)
    time.sleep(0.2)
    base, _, _ = take(runtime)
    result = ended.result(60)
    assert result.status == "timed_out"
    assert result.error is not None
    assert result.error.type == "Sandbox.Timedout"
    assert "Task timed out after 0.30 seconds" in result.error.message
    assert 0.3 <= result.seconds < 0.5
    assert call(runtime, f"{base}/response", b"{}") == (
        400,
        {"errorType": "InvalidRequestID", "errorMessage": f"{base}/response"},
    )


def test_runtime_that_never_asks_has_timed_out(api: RuntimeApi) -> None:
    assert api.invoke(b"{}", 0.1).status == "timed_out"


def test_answer_over_six_megabytes_is_refused(runtime: http.client.HTTPConnection, invoke: Invoke) -> None:
    ended = invoke()
    base, _, _ = take(runtime)
    status, refusal = call(runtime, f"{base}/response", bytes(6 * 1024 * 1024 + 1))
    assert (status, refusal["errorType"]) == (413, "RequestEntityTooLarge")
    error = ended.result(60).error
    assert error is not None
    assert error.type == "Function.ResponseSizeTooLarge"


def test_streamed_pieces_keep_their_times_and_status(runtime: http.client.HTTPConnection, invoke: Invoke) -> None:
    ended = invoke()
    base, _, _ = take(runtime)
    head = prelude(statusCode=201, headers={"Content-Type": "text/event-stream"}, cookies=["a=1"])
    stream(runtime, f"{base}/response", [head, b"one", b"two"], pause=0.2)
    runtime.send(b"0\r\n\r\n")
    assert runtime.getresponse().status == 202
    result = ended.result(60)
    assert result.prelude is not None
    assert (result.prelude.status, result.prelude.cookies) == (201, ("a=1",))
    assert result.prelude.headers == {"content-type": "text/event-stream"}
    assert [chunk.data for chunk in result.chunks] == [b"one", b"two"]
    first, second = (chunk.seconds for chunk in result.chunks)
    assert 0.2 <= first < 0.35
    assert 0.15 <= second - first < 0.35
    assert result.payload == b"onetwo"


@pytest.mark.parametrize("cut", [1, 20, -12, -8, -3])
def test_finds_the_prelude_across_pieces(runtime: http.client.HTTPConnection, invoke: Invoke, cut: int) -> None:
    ended = invoke()
    base, _, _ = take(runtime)
    whole = prelude(statusCode=200, headers={}) + b"body"
    stream(runtime, f"{base}/response", [whole[:cut], whole[cut:]])
    runtime.send(b"0\r\n\r\n")
    runtime.getresponse().read()
    assert (ended.result(60).status, ended.result(60).payload) == ("succeeded", b"body")


@pytest.mark.parametrize("sent", [b'{"statusCode":200}', b"[]" + PRELUDE_END, b'{"headers":{}}' + PRELUDE_END])
def test_stream_without_a_prelude_fails(runtime: http.client.HTTPConnection, invoke: Invoke, sent: bytes) -> None:
    ended = invoke()
    base, _, _ = take(runtime)
    stream(runtime, f"{base}/response", [sent])
    runtime.send(b"0\r\n\r\n")
    runtime.getresponse().read()
    error = ended.result(60).error
    assert error is not None
    assert error.type == "Runtime.InvalidPrelude"


def test_stream_that_breaks_off_fails_with_what_came(runtime: http.client.HTTPConnection, invoke: Invoke) -> None:
    ended = invoke()
    base, _, _ = take(runtime)
    stream(runtime, f"{base}/response", [prelude(statusCode=200, headers={}), b"half"])
    runtime.close()
    result = ended.result(60)
    assert result.error is not None
    assert (result.error.type, result.payload) == ("Runtime.TruncatedResponse", b"half")


def test_error_in_the_trailers_of_a_stream_fails_it(runtime: http.client.HTTPConnection, invoke: Invoke) -> None:
    ended = invoke()
    base, _, _ = take(runtime)
    stream(runtime, f"{base}/response", [prelude(statusCode=200, headers={}), b"half"])
    report = base64.b64encode(b'{"errorType":"Broken","errorMessage":"in the middle"}')
    kind = b"Lambda-Runtime-Function-Error-Type: Runtime.StreamError\r\n"
    runtime.send(b"0\r\n" + kind + b"Lambda-Runtime-Function-Error-Body: " + report + b"\r\n\r\n")
    assert runtime.getresponse().status == 202
    result = ended.result(60)
    assert (result.error, result.payload) == (FunctionError("Broken", "in the middle"), b"half")


def test_extension_is_registered_and_waits_until_the_end(api: RuntimeApi) -> None:
    extension = http.client.HTTPConnection(api.address, timeout=60)
    extension.request("POST", "/2020-01-01/extension/register", b'{"events":[]}', {"Lambda-Extension-Name": "adapter"})
    answer = extension.getresponse()
    assert answer.headers["Lambda-Extension-Identifier"]
    assert json.loads(answer.read()) == {"functionName": "chat", "functionVersion": "$LATEST", "handler": "run.sh"}
    extension.request("GET", "/2020-01-01/extension/event/next")
    threading.Timer(0.2, api.close).start()
    started = time.monotonic()
    assert json.loads(extension.getresponse().read())["eventType"] == "SHUTDOWN"
    assert time.monotonic() - started >= 0.15
    extension.close()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/2018-06-01/runtime/other", 404),
        ("POST", "/other", 404),
        ("POST", "/2020-01-01/extension/register", 400),
        ("POST", "/2018-06-01/runtime/invocation/unknown/response", 400),
        ("POST", "/2018-06-01/runtime/invocation/unknown/error", 400),
    ],
)
def test_unknown_routes_are_refused(runtime: http.client.HTTPConnection, method: str, path: str, status: int) -> None:
    runtime.request(method, path, b"" if method == "POST" else None)
    assert runtime.getresponse().status == status
