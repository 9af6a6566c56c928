"""The Lambda Runtime API for one function, on a free port of 127.0.0.1.

Inside `with RuntimeApi() as api:`, start a runtime with the environment variable AWS_LAMBDA_RUNTIME_API set to
`api.address`, and then call `api.invoke(event, seconds)`.
"""

from types import TracebackType
from typing import Self

from infra.runtime.exchange import Exchange, Pending
from infra.runtime.results import FunctionError, Invocation
from infra.runtime.routes import Identity, routes_for
from infra.runtime.server import LoopbackServer


class RuntimeApi:
    """A context manager that serves the Runtime API and the Extensions API until the context ends."""

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
        """Return `host:port`, which is the value of AWS_LAMBDA_RUNTIME_API."""
        return f"127.0.0.1:{self._server.port}"

    def invoke(self, event: bytes, timeout_seconds: float, *, client_context: str | None = None) -> Invocation:
        """Pass an event (JSON bytes) to the runtime and wait for the result.

        An error of the function, a timeout or the end of the process does not raise an exception: the result reports
        it. The timeout starts when the runtime receives the event, or at the call if the runtime does not poll. Raises
        RuntimeError while another invocation is in progress. After a timeout, start a new runtime, because the late
        response of the old runtime is rejected.
        """
        return self._exchange.offer(Pending(event, timeout_seconds, client_context))

    def fail(self, error: FunctionError) -> None:
        """Fail the current invocation and all later invocations with `error`.

        This method is called when the runtime's process has ended.
        """
        self._exchange.fail(error)

    def close(self) -> None:
        """End the runtime's request for the next event. Called when the context ends."""
        self._exchange.close()
