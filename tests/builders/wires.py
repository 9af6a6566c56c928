"""Interceptors for the calls of a boto3 client. They record calls, lose replies, or simulate a killed process.

The interceptors do not depend on the backend, which applies all calls.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError, EndpointConnectionError

type Send = Callable[[], Any]
type Intercept = Callable[[str, dict[str, Any], Send], Any]

WRITES = frozenset({
    "BatchWriteItem", "DeleteItem", "PutItem", "TransactWriteItems", "UpdateItem", "PutObject", "DeleteObject",
})  # fmt: skip


@contextmanager
def intercepted(client: Any, intercept: Intercept) -> Iterator[None]:
    """Call `intercept(operation, arguments, send)` instead of each call of the client, within the block.

    `send()` makes the original call and returns its response.
    """
    before = client._make_api_call

    def call(operation: str, arguments: dict[str, Any]) -> Any:
        return intercept(operation, arguments, lambda: before(operation, arguments))

    client._make_api_call = call
    try:
        yield
    finally:
        client._make_api_call = before


@contextmanager
def serialised(*clients: Any) -> Iterator[None]:
    """Serialize the calls of the clients within the block.

    moto has no lock, so conditional writes of several threads are exact only if the calls are serialized.
    """
    lock = threading.RLock()

    def one_by_one(_operation: str, _arguments: dict[str, Any], send: Send) -> Any:
        with lock:
            return send()

    with ExitStack() as stack:
        for client in clients:
            stack.enter_context(intercepted(client, one_by_one))
        yield


@dataclass
class Recorder:
    """An interceptor that records the operations and their arguments."""

    operations: list[str] = field(default_factory=list)
    arguments: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, operation: str, arguments: dict[str, Any], send: Send) -> Any:
        self.operations.append(operation)
        self.arguments.append(arguments)
        return send()


def lose_replies(operation: str, _arguments: dict[str, Any], send: Send) -> Any:
    """Send each write twice, as the SDK does after a lost reply. Return the second reply."""
    if operation in WRITES:
        try:
            send()
        except ClientError:
            return send()
    return send()


class Killed(BaseException):
    """Raised to simulate that the process was killed."""


@dataclass
class Kill:
    """An interceptor that simulates a process that is killed at call number `at` (from 0).

    If `applied` is true, this call is applied first. All later calls fail.
    """

    at: int
    applied: bool
    count: int = 0
    died: bool = False

    def __call__(self, _operation: str, _arguments: dict[str, Any], send: Send) -> Any:
        if self.died:
            raise Killed
        number, self.count = self.count, self.count + 1
        if number < self.at:
            return send()
        self.died = True
        if self.applied:
            send()
        raise Killed


@dataclass
class Outage:
    """An interceptor that fails each call for which `when(number, operation)` is true, like an unreachable service."""

    when: Callable[[int, str], bool]
    count: int = 0
    failed: int = 0

    def __call__(self, operation: str, _arguments: dict[str, Any], send: Send) -> Any:
        number, self.count = self.count, self.count + 1
        if not self.when(number, operation):
            return send()
        self.failed += 1
        raise EndpointConnectionError(endpoint_url="https://the.service")
