"""The Lambda Runtime API for one function, on a free port of 127.0.0.1.

Inside `with RuntimeApi() as api:`, start a runtime with AWS_LAMBDA_RUNTIME_API=api.address, then call
`api.invoke(event, seconds)`.
"""

from types import TracebackType
from typing import Self

from infra.runtime.exchange import Exchange, Pending
from infra.runtime.results import FunctionError, Invocation
from infra.runtime.routes import Identity, routes_for
from infra.runtime.server import LoopbackServer


class RuntimeApi:
    """Serves the Runtime API and the Extensions API while the context is open."""

    def __init__(self, *, function_name: str = "function", handler: str = "") -> None:
        self.identity = Identity(function_name, handler)
        self._exchange = Exchange()
        self._server = LoopbackServer(routes_for(self._exchange, self.identity))

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        self._server.stop()

    @property
    def address(self) -> str:
        """`host:port`, the value of AWS_LAMBDA_RUNTIME_API."""
        return f"127.0.0.1:{self._server.port}"

    def invoke(self, event: bytes, timeout_seconds: float, *, client_context: str | None = None) -> Invocation:
        """Pass an event (JSON bytes) to the runtime and wait for the result.

        The result also reports the function's error, a time-out, or the end of its process; these do not raise. The
        time-out starts when the runtime receives the event, or at the call if the runtime does not poll. Raises
        RuntimeError while another invocation runs. After a time-out, start a new runtime: a late response is rejected.
        """
        return self._exchange.offer(Pending(event, timeout_seconds, client_context))

    def fail(self, error: FunctionError) -> None:
        """Fail this and all later invocations with `error`. Called when the runtime's process has ended."""
        self._exchange.fail(error)

    def close(self) -> None:
        """End the runtime's wait for the next event. Called when the context ends."""
        self._exchange.close()
