"""Replaces the Lambda Web Adapter if its binary is not built: receives REST proxy events and sends streamed responses.

The fake adapter implements only what REST events need: the readiness check, the request, the prelude, and the response
body in chunks. The request has the contexts of API Gateway and Lambda in headers, which override the client's headers.
`make conformance` runs the real adapter.
"""

import base64
import contextlib
import http.client
import json
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

from infra.runtime.api import RuntimeApi
from infra.runtime.results import PRELUDE_END, PRELUDE_TYPE, FunctionError

READY_SECONDS = 10.0
CONTEXT_FIELDS = (
    "accountId",
    "resourceId",
    "operationName",
    "stage",
    "domainName",
    "domainPrefix",
    "requestId",
    "protocol",
    "identity",
    "resourcePath",
    "path",
    "authorizer",
    "httpMethod",
    "requestTime",
    "requestTimeEpoch",
    "apiId",
)
_HOP_HEADERS = {"connection", "keep-alive", "transfer-encoding", "upgrade", "content-length"}


@contextlib.contextmanager
def running_fake_adapter(api: RuntimeApi, port: int, readiness_path: str) -> Iterator[None]:
    """Forward the invocations of `api` to the web server on `port` until the context ends."""
    stopping = threading.Event()
    worker = threading.Thread(target=_serve, args=(api, port, readiness_path, stopping), daemon=True)
    worker.start()
    try:
        yield
    finally:
        stopping.set()
        api.close()
        worker.join()


def _serve(api: RuntimeApi, port: int, readiness_path: str, stopping: threading.Event) -> None:
    if not _wait_until_ready(port, readiness_path, stopping):
        if not stopping.is_set():
            api.fail(FunctionError("Runtime.ExitError", f"{readiness_path} did not answer in {READY_SECONDS:.0f} s"))
        return
    while not stopping.is_set() and _serve_one(api.address, port):
        pass


def _wait_until_ready(port: int, path: str, stopping: threading.Event) -> bool:
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end and not stopping.wait(0.01):
        web = http.client.HTTPConnection("127.0.0.1", port, timeout=READY_SECONDS)
        with contextlib.closing(web), contextlib.suppress(OSError, http.client.HTTPException):
            web.request("GET", path)
            if web.getresponse().status < 500:
                return True
    return False


def _serve_one(address: str, port: int) -> bool:
    """Serve the next invocation. Return False if the Runtime API is closed."""
    runtime = http.client.HTTPConnection(address)
    web = http.client.HTTPConnection("127.0.0.1", port)
    with contextlib.closing(runtime), contextlib.closing(web):
        try:
            runtime.request("GET", "/2018-06-01/runtime/invocation/next")
            handed = runtime.getresponse()
            event = handed.read()
        except (OSError, http.client.HTTPException):
            return False
        about = {name.lower(): value for name, value in handed.getheaders()}
        with contextlib.suppress(
            OSError, http.client.HTTPException
        ):  # the stream was interrupted; the closed connection reports this to the Runtime API
            _answer(runtime, web, json.loads(event), about)
    return True


def _answer(
    runtime: http.client.HTTPConnection, web: http.client.HTTPConnection, event: dict[str, Any], about: dict[str, str]
) -> None:
    base = f"/2018-06-01/runtime/invocation/{about['lambda-runtime-aws-request-id']}"
    try:
        method, target, body, headers = web_request(event, about)
        web.request(method, target, body, headers)
        answer = web.getresponse()
    except (OSError, KeyError, http.client.HTTPException) as error:
        failure = json.dumps({"errorType": type(error).__name__, "errorMessage": str(error)})
        runtime.request("POST", f"{base}/error", failure, {"Lambda-Runtime-Function-Error-Type": "unhandled"})
    else:
        sent = {"Content-Type": PRELUDE_TYPE, "Lambda-Runtime-Function-Response-Mode": "streaming"}
        runtime.request("POST", f"{base}/response", _pieces(answer), sent, encode_chunked=True)
    runtime.getresponse().read()


def web_request(event: dict[str, Any], about: dict[str, str]) -> tuple[str, str, bytes, dict[str, str]]:
    """Return the method, target, body and headers of the HTTP request for a REST proxy event.

    Raises KeyError for any other event.
    """
    fields = event["requestContext"]
    context = {name: fields[name] for name in CONTEXT_FIELDS if name in fields}
    headers = {name.lower(): values[-1] for name, values in (event.get("multiValueHeaders") or {}).items()}
    headers |= {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    headers = {name: value for name, value in headers.items() if name not in _HOP_HEADERS}
    headers["x-amzn-request-context"] = json.dumps(context)
    headers["x-amzn-lambda-context"] = json.dumps(
        {
            "request_id": about["lambda-runtime-aws-request-id"],
            "deadline": int(about["lambda-runtime-deadline-ms"]),
            "invoked_function_arn": about["lambda-runtime-invoked-function-arn"],
            "xray_trace_id": about["lambda-runtime-trace-id"],
        }
    )
    text = event.get("body") or ""
    body = base64.b64decode(text) if event.get("isBase64Encoded") else text.encode()
    query = event.get("multiValueQueryStringParameters") or event.get("queryStringParameters") or {}
    target = quote(event["path"], safe="/%:@!$&'()*+,;=~")
    return event["httpMethod"], f"{target}?{urlencode(query, doseq=True)}" if query else target, body, headers


def _pieces(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    headers = [(name.lower(), value) for name, value in answer.getheaders()]
    prelude = {
        "statusCode": answer.status,
        "headers": {name: value for name, value in headers if name not in _HOP_HEADERS | {"set-cookie"}},
        "cookies": [value for name, value in headers if name == "set-cookie"],
    }
    yield json.dumps(prelude).encode() + PRELUDE_END
    while piece := answer.read1(64 * 1024):
        yield piece
