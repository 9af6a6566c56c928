"""The journal of model requests: the newest 1 000 with their fate, and the figures since the last reset.

Written by the server's loop and read by other threads, so every access takes the lock.
"""

import hashlib
import json
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import Unpack

from pydantic import JsonValue

from infra.local.model_server.answer import Usage
from infra.local.model_server.records import Change, Outcome, Record, Stats

KEPT_MAX = 1_000


@dataclass
class Journal:
    """The record of requests; `n` rises for ever, also over a reset."""

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _records: OrderedDict[int, Record] = field(default_factory=OrderedDict)
    _attempts: dict[bytes, int] = field(default_factory=dict)
    _stats: Stats = field(default_factory=Stats)
    _last: int = 0

    def open(self, request_id: str, started_at: float, headers: dict[str, str], body: JsonValue) -> int:
        """Record a request that has arrived and return its number."""
        fields = body if isinstance(body, dict) else {}
        model, messages = fields.get("model"), fields.get("messages")
        with self._lock:
            self._last += 1
            self._stats = self._stats.begin()
            self._records[self._last] = Record(
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
            if len(self._records) > KEPT_MAX:
                self._records.popitem(last=False)
            return self._last

    def count_attempt(self, messages: JsonValue) -> int:
        """How many times these messages were sent, this time included, since the last reset."""
        key = hashlib.sha256(json.dumps(messages, sort_keys=True).encode()).digest()
        with self._lock:
            self._attempts[key] = self._attempts.get(key, 0) + 1
            return self._attempts[key]

    def note(self, n: int, **change: Unpack[Change]) -> None:
        """Add to a record what has become known; nothing happens if it is no longer kept."""
        with self._lock:
            if n in self._records:
                self._records[n] = replace(self._records[n], **change)

    def close(self, n: int, outcome: Outcome, usage: Usage | None) -> None:
        """Record the end of a request, and add the usage last reported for it to the totals."""
        with self._lock:
            if n in self._records:
                self._records[n] = replace(self._records[n], outcome=outcome, ended_at=time.time())
            self._stats = self._stats.end(outcome, usage)

    def requests(self, after: int = 0) -> list[Record]:
        """The kept records with a number above `after`, oldest first."""
        with self._lock:
            return [record for record in self._records.values() if record.n > after]

    def stats(self) -> Stats:
        """The figures of now."""
        with self._lock:
            return self._stats

    def reset(self) -> None:
        """Forget records, attempts and figures; what is in flight stays counted as in flight."""
        with self._lock:
            self._records.clear()
            self._attempts.clear()
            in_flight = self._stats.concurrent
            self._stats = Stats(concurrent=in_flight, concurrent_peak=in_flight)
