"""Concurrent callers in several processes, for races over HTTP."""

import json
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import httpx

PROCESSES = 8
THREADS = 8


@dataclass(frozen=True)
class Crowd:
    """The parameters of the callers. `calls` is the number of calls of one process. Instances can be pickled."""

    base_url: str
    key: str
    message: str
    calls: int
    start_at: float = 0.0


@dataclass(frozen=True)
class Told:
    """The result of one call: the status and, if the call was rejected, the code and the limit."""

    status: int
    code: str = ""
    limit: str = ""


def call_all(crowd: Crowd, calls: int) -> Counter[Told]:
    """Make `calls` requests in total from all processes and threads at once. Return the number of each result."""
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        list(pool.map(time.sleep, [1.0] * PROCESSES))  # wait until all processes have started
        start_at = time.time() + 0.5
        shares = [calls // PROCESSES + (number < calls % PROCESSES) for number in range(PROCESSES)]
        parts = [Crowd(crowd.base_url, crowd.key, crowd.message, share, start_at) for share in shares]
        return sum(pool.map(_call, parts), Counter())


def _call(crowd: Crowd) -> Counter[Told]:
    with httpx.Client(base_url=crowd.base_url, headers={"x-api-key": crowd.key}, timeout=120) as client:

        def ask(_: int) -> Told:
            answer = client.post("/v1/chat", json={"message": crowd.message})
            body = json.loads(answer.text)
            return Told(answer.status_code, body.get("code", ""), body.get("limit", ""))

        time.sleep(max(0.0, crowd.start_at - time.time()))
        with ThreadPoolExecutor(THREADS) as threads:
            return Counter(threads.map(ask, range(crowd.calls)))
