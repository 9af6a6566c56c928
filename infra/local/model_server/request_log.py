"""Records the newest 1 000 model requests with their outcomes, and totals since the last reset.

The server's event loop writes the log and other threads read it. Each access therefore acquires the lock, and readers
receive copies. Times are seconds since 1970.
"""

import hashlib
import json
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import JsonValue

from infra.local.model_server.protocol import Usage

KEPT_MAX = 1_000

type Outcome = Literal["completed", "client_closed", "error"]


@dataclass
class Record:
    """A request to `POST /v1/messages`.

    `outcome` is None while the request is in flight. `usage` is the last usage that was reported to the client.
    """

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


@dataclass
class Stats:
    """The current and maximum number of requests in flight, totals by outcome, and totals of reported tokens."""

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


class RequestLog:
    """The log of requests. The number `n` of a request increases with each request and is not reset."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: deque[Record] = deque(maxlen=KEPT_MAX)
        self._attempts: Counter[bytes] = Counter()
        self._stats = Stats()
        self._last = 0

    def open(self, request_id: str, started_at: float, headers: dict[str, str], body: JsonValue) -> Record:
        """Add a new request and return its record."""
        fields = body if isinstance(body, dict) else {}
        model, messages = fields.get("model"), fields.get("messages")
        with self._lock:
            self._last += 1
            self._stats.requests += 1
            self._stats.concurrent += 1
            self._stats.concurrent_peak = max(self._stats.concurrent_peak, self._stats.concurrent)
            record = Record(
                n=self._last,
                request_id=request_id,
                started_at=started_at,
                concurrent=self._stats.concurrent,
                headers=headers,
                body=body,
                model=model if isinstance(model, str) else None,
                stream=fields.get("stream") is True,
                message_count=len(messages) if isinstance(messages, list) else 0,
            )
            self._records.append(record)
            return record

    def count_attempt(self, record: Record, messages: JsonValue) -> int:
        """Return how many times these messages were sent since the last reset, including this request."""
        key = hashlib.sha256(json.dumps(messages, sort_keys=True).encode()).digest()
        with self._lock:
            self._attempts[key] += 1
            record.attempt = self._attempts[key]
            return record.attempt

    def start(self, record: Record, status: int) -> None:
        """Record the status of the response and the time of its first byte."""
        with self._lock:
            record.first_byte_at, record.status = time.time(), status

    def report(self, record: Record, usage: Usage) -> None:
        """Record the usage that is sent to the client."""
        with self._lock:
            record.usage = usage

    def close(self, record: Record, outcome: Outcome, error_type: str | None = None) -> None:
        """Record the end of a request and add its usage to the totals. Only the first call has an effect."""
        with self._lock:
            if record.outcome is not None:
                return
            record.outcome, record.error_type, record.ended_at = outcome, error_type, time.time()
            stats, usage = self._stats, record.usage or Usage()
            stats.concurrent -= 1
            stats.completed += outcome == "completed"
            stats.client_closed += outcome == "client_closed"
            stats.errors += outcome == "error"
            stats.input_tokens += usage.input_tokens
            stats.cache_creation_input_tokens += usage.cache_creation_input_tokens
            stats.cache_read_input_tokens += usage.cache_read_input_tokens
            stats.output_tokens += usage.output_tokens

    def requests(self, after: int = 0) -> list[Record]:
        """Return the stored records with a number above `after`, oldest first."""
        with self._lock:
            return [replace(record) for record in self._records if record.n > after]

    def stats(self) -> Stats:
        """Return a copy of the current statistics."""
        with self._lock:
            return replace(self._stats)

    def reset(self) -> None:
        """Delete records, attempts and totals. Requests in flight are still counted as in flight."""
        with self._lock:
            self._records.clear()
            self._attempts.clear()
            in_flight = self._stats.concurrent
            self._stats = Stats(concurrent=in_flight, concurrent_peak=in_flight)
