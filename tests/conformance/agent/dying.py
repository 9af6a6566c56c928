"""A worker process that runs a turn on DynamoDB Local and kills itself, with SIGKILL, at one of its calls."""

import os
import signal
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx2
from atrium.kernel.ids import SessionId
from atrium.storage.table import PhysicalTable

from infra.runtime.resources import Endpoint
from tests.builders.shop import Shop
from tests.builders.tenant_env import TenantEnv, open_bucket
from tests.builders.wires import Send, serialised


@dataclass
class Suicide:
    """An interceptor that kills the process before or after call number `at` (from 0) to the table or the bucket."""

    at: int
    applied: bool
    count: int = 0

    def __call__(self, _operation: str, _arguments: dict[str, Any], send: Send) -> Any:
        number, self.count = self.count, self.count + 1
        answer = send() if number < self.at or self.applied else None
        if number >= self.at:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer


def run_turn(url: str, table: str, server: str, session_id: str, now: datetime, at: int, applied: bool) -> None:
    """Run one turn until call number `at`. The tools with effects call the counting server."""
    physical = PhysicalTable(Endpoint(url).client("dynamodb"), table)
    with open_bucket(on_moto=False) as bucket, serialised(physical.client, bucket.client):
        env = TenantEnv(physical, bucket)
        env.clock.now = now
        shop = Shop(env)
        shop.act = lambda name, key: httpx2.post(f"{server}/{name}", content=key)
        with env.intercepted(Suicide(at, applied)):
            shop.talk(SessionId(session_id), [])
    os._exit(0)
