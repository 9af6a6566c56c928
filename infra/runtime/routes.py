"""Serves the routes of the Runtime API and the Extensions API that a runtime and the web adapter use.

/2018-06-01/runtime/  GET invocation/next · POST invocation/{id}/response · POST invocation/{id}/error · POST init/error
/2020-01-01/extension/  POST register · GET event/next (sends no events, and returns when the runtime is stopped)
"""

import base64
import binascii
import json
import re
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from infra.runtime.exchange import Exchange, Pending
from infra.runtime.results import FunctionError, read_error
from infra.runtime.server import LoopbackHandler

FUNCTION_ARN = "arn:aws:lambda:eu-central-1:123456789012:function:"
ANSWER = re.compile(r"^/2018-06-01/runtime/invocation/([^/]+)/(response|error)$")
ERROR_TYPE = "Lambda-Runtime-Function-Error-Type"
ERROR_BODY = "Lambda-Runtime-Function-Error-Body"
RESPONSE_MODE = "Lambda-Runtime-Function-Response-Mode"
REFUSALS = {400: "InvalidRequestID", 404: "NotFound", 413: "RequestEntityTooLarge"}
BUFFERED_MAX_BYTES = 6 * 1024 * 1024


@dataclass(frozen=True)
class Identity:
    """The name and handler of the function."""

    function_name: str
    handler: str

    @property
    def arn(self) -> str:
        """Return the function's ARN, which is in the context of each invocation."""
        return FUNCTION_ARN + self.function_name


class RuntimeHandler(LoopbackHandler):
    """Handles a connection of a runtime or an extension. `routes_for` sets `api` and `identity`."""

    api: Exchange
    identity: Identity

    def do_GET(self) -> None:  # noqa: N802 -- http.server calls it by this name
        """Serve `invocation/next`, which waits for an invocation, and `event/next`, which waits for the shutdown."""
        if self.path == "/2018-06-01/runtime/invocation/next":
            self._next_invocation()
        elif self.path == "/2020-01-01/extension/event/next":
            self.api.wait_until_closed()
            self.answer(200, b'{"eventType":"SHUTDOWN","shutdownReason":"spindown","deadlineMs":0}')
        else:
            self._refuse(404)

    def do_POST(self) -> None:  # noqa: N802 -- http.server calls it by this name
        """Receive responses, errors and registrations."""
        if matched := ANSWER.match(self.path):
            self._take_answer(*matched.groups())
        elif self.path == "/2018-06-01/runtime/init/error":
            self.api.fail(read_error(self.headers.get(ERROR_TYPE, ""), self.read_body()))
            self.answer(202, b'{"status":"OK"}')
        elif self.path == "/2020-01-01/extension/register":
            self._register()
        else:
            self.read_body()
            self._refuse(404)

    def _next_invocation(self) -> None:
        pending = self.api.take()
        if pending is None:
            self.close_connection = True
            return
        deadline = time.time() + pending.timeout_seconds
        headers = {
            "Content-Type": "application/json",
            "Lambda-Runtime-Aws-Request-Id": pending.request_id,
            "Lambda-Runtime-Deadline-Ms": str(int(deadline * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": self.identity.arn,
            "Lambda-Runtime-Trace-Id": f"Root=1-{int(time.time()):08x}-{uuid.uuid4().hex[:24]};Sampled=0",
        }
        if pending.client_context is not None:
            headers["Lambda-Runtime-Client-Context"] = pending.client_context
        self.answer(200, pending.event, headers)
        self.acknowledge_at_once()

    def _take_answer(self, request_id: str, kind: str) -> None:
        pending = self.api.find(request_id)
        if pending is None:
            self.close_connection = True  # the body is not read, because it may be endless
            self._refuse(400)
        elif kind == "error":
            error = read_error(self.headers.get(ERROR_TYPE, ""), b"".join(self._pieces()))
            self.api.finish(pending, error=error)
            self.answer(202, b'{"status":"OK"}')
        elif self.headers.get(RESPONSE_MODE, "").lower() == "streaming":
            self._take_stream(pending)
        else:
            self._take_whole(pending)

    def _take_whole(self, pending: Pending) -> None:
        body = b"".join(self._pieces())
        if len(body) > BUFFERED_MAX_BYTES:
            message = f"Response payload size exceeded maximum allowed payload size ({BUFFERED_MAX_BYTES} bytes)."
            self.api.finish(pending, error=FunctionError("Function.ResponseSizeTooLarge", message))
            self._refuse(413)
            return
        pending.add(body)
        self.api.finish(pending)
        self.answer(202, b'{"status":"OK"}')

    def _take_stream(self, pending: Pending) -> None:
        self._trailers: dict[str, str] = {}
        try:
            for piece in self._pieces():
                pending.add(piece)
        except (OSError, ValueError) as failure:
            error = FunctionError("Runtime.TruncatedResponse", f"the stream broke off: {failure}")
            self.api.finish(pending, streamed=True, error=error)
            self.close_connection = True
            return
        self.api.finish(pending, streamed=True, error=_trailer_error(self._trailers))
        self.answer(202, b'{"status":"OK"}')

    def _pieces(self) -> Iterator[bytes]:
        """Yield each HTTP chunk when it arrives, or the whole body if the request has a Content-Length."""
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            yield self.read_body()
            return
        while size := int(self._line().split(b";")[0], 16):
            piece = self.rfile.read(size)
            if len(piece) < size or self.rfile.read(2) != b"\r\n":
                raise ValueError("a chunk is shorter than its stated length")
            yield piece
        self._trailers = {}
        while line := self._line():
            name, _, value = line.decode("latin-1").partition(":")
            self._trailers[name.strip().lower()] = value.strip()

    def _line(self) -> bytes:
        self.acknowledge_at_once()
        line = self.rfile.readline(64 * 1024)
        if not line.endswith(b"\n"):
            raise ValueError("the connection ended inside the body")
        return line.rstrip(b"\r\n")

    def _register(self) -> None:
        self.read_body()
        name = self.headers.get("Lambda-Extension-Name", "")
        if not name:
            self._refuse(400)
            return
        about = {
            "functionName": self.identity.function_name,
            "functionVersion": "$LATEST",
            "handler": self.identity.handler,
        }
        self.answer(200, json.dumps(about).encode(), {"Lambda-Extension-Identifier": str(uuid.uuid4())})

    def _refuse(self, status: int) -> None:
        kind = REFUSALS[status]
        self.answer(status, json.dumps({"errorMessage": self.path, "errorType": kind}).encode())


def _trailer_error(trailers: dict[str, str]) -> FunctionError | None:
    """Return the error in the trailers, which a runtime sends if it fails after streaming has begun."""
    kind = trailers.get(ERROR_TYPE.lower())
    if kind is None:
        return None
    try:
        body = base64.b64decode(trailers.get(ERROR_BODY.lower(), ""), validate=True)
    except (binascii.Error, ValueError):
        body = b""
    return read_error(kind, body)


def routes_for(exchange: Exchange, about: Identity) -> type[RuntimeHandler]:
    """Return a handler class for the exchange of one function."""

    class BoundHandler(RuntimeHandler):
        api = exchange
        identity = about

    return BoundHandler
