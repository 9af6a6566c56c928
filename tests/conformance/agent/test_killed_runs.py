"""A worker process is killed with SIGKILL at every call of a turn with two effectful tools, and another continues.

The tools call a server that counts the effects. No effect happens twice, the history is valid, the ledger has one entry
for the run, and the session accepts its next message.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from threading import Thread

import httpx2
import pytest
from atrium.storage.table import PhysicalTable

from tests.builders.shop import EXPIRED, Shop, check
from tests.builders.tenant_env import open_tenant_env
from tests.conformance.agent.dying import run_turn

KILLED = -9
CALLS_MAX = 60


@contextmanager
def counting(shop: Shop) -> Iterator[str]:
    """Yield the URL of a server that adds each request to the shop's effects."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            key = self.rfile.read(int(self.headers["content-length"])).decode()
            shop.note(self.path.removeprefix("/"), key)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Write no log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("applied", [False, True], ids=["before", "after"])
def test_no_effect_happens_twice_whatever_call_kills_the_worker(dynamodb_table: PhysicalTable, applied: bool) -> None:
    processes = get_context("forkserver")
    processes.set_forkserver_preload(["tests.conformance.agent.dying"])
    ends = Counter[str]()
    with open_tenant_env(dynamodb_table, on_moto=False) as env:
        shop = Shop(env)
        with counting(shop) as server:
            shop.act = lambda name, key: httpx2.post(f"{server}/{name}", content=key)
            for number in range(CALLS_MAX):
                shop.effects.clear()
                session_id, url = env.open_session(), dynamodb_table.client.meta.endpoint_url
                arguments = (url, dynamodb_table.name, server, session_id, env.clock(), number, applied)
                worker = processes.Process(target=run_turn, args=arguments)
                worker.start()
                worker.join()
                env.clock.advance(EXPIRED)
                assert env.sweep().failed == 0
                run = check(shop, session_id)
                ends[run.status if run else "none"] += 1
                if worker.exitcode != KILLED:
                    break
    assert worker.exitcode == 0, "the last worker was not killed"
    assert ends["succeeded"] > ends["failed"] > 0
