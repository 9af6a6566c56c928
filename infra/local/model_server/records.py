"""What is told of requests: one record each, and the figures of all since the last reset.

Times are seconds since 1970.
"""

from dataclasses import dataclass, replace
from typing import Literal, Self, TypedDict

from pydantic import JsonValue

from infra.local.model_server.answer import Usage

type Outcome = Literal["completed", "client_closed", "error"]


@dataclass(frozen=True)
class Record:
    """One `POST /v1/messages`; `outcome` is None while it is in flight, `usage` is what was last reported for it."""

    n: int
    request_id: str
    started_at: float
    concurrent: int
    headers: dict[str, str]
    body: JsonValue
    model: str | None
    stream: bool
    message_count: int
    attempt: int | None = None
    first_byte_at: float | None = None
    ended_at: float | None = None
    outcome: Outcome | None = None
    status: int | None = None
    error_type: str | None = None
    usage: Usage | None = None


class Change(TypedDict, total=False):
    """What becomes known of a request while it runs."""

    attempt: int
    first_byte_at: float
    status: int
    error_type: str
    usage: Usage


@dataclass(frozen=True)
class Stats:
    """Requests now in flight and at most at once, and totals by outcome and of the tokens reported."""

    concurrent: int = 0
    concurrent_peak: int = 0
    requests: int = 0
    completed: int = 0
    client_closed: int = 0
    errors: int = 0
    input_tokens: int = 0
    cache_creation_input_tokens: int = 0
    cache_read_input_tokens: int = 0
    output_tokens: int = 0

    def begin(self) -> Self:
        """The figures with one more request in flight."""
        concurrent = self.concurrent + 1
        peak = max(self.concurrent_peak, concurrent)
        return replace(self, concurrent=concurrent, concurrent_peak=peak, requests=self.requests + 1)

    def end(self, outcome: Outcome, usage: Usage | None) -> Self:
        """The figures with one request fewer in flight, and what it was told of usage."""
        told = usage or Usage(0, 0, 0, 0)
        return replace(
            self,
            concurrent=self.concurrent - 1,
            completed=self.completed + (outcome == "completed"),
            client_closed=self.client_closed + (outcome == "client_closed"),
            errors=self.errors + (outcome == "error"),
            input_tokens=self.input_tokens + told.input_tokens,
            cache_creation_input_tokens=self.cache_creation_input_tokens + told.cache_creation_input_tokens,
            cache_read_input_tokens=self.cache_read_input_tokens + told.cache_read_input_tokens,
            output_tokens=self.output_tokens + told.output_tokens,
        )
