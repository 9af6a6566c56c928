"""The server starts and stops in a thread immediately, also during requests, and leaves no thread or port open."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from infra.local.model_server import ModelServer, running
from tests.unit.model_server.builders import KEY, VERSION, body

pytestmark = pytest.mark.loopback


def post(server: ModelServer, text: str) -> httpx.Response:
    headers = {"x-api-key": KEY, "anthropic-version": VERSION}
    return httpx.post(f"{server.url}/v1/messages", json=body(text, stream=True), headers=headers, trust_env=False)


def test_it_stops_at_once_with_requests_in_flight() -> None:
    before = set(threading.enumerate())
    with ThreadPoolExecutor(2) as pool:
        with running() as server:
            waiting = pool.submit(post, server, "[[hang]]")
            broken = pool.submit(post, server, "[[slow=60]] Hello.")
            while server.stats().concurrent < 2 or not any(record.usage for record in server.requests()):
                time.sleep(0.005)
            stopping = time.monotonic()
        assert time.monotonic() - stopping < 30
        assert waiting.result().status_code == 500
        with pytest.raises(httpx.RemoteProtocolError):
            broken.result()
    assert [record.outcome for record in server.requests()] == ["error", "error"]
    assert "model-server" not in {thread.name for thread in set(threading.enumerate()) - before}


def test_two_servers_run_side_by_side() -> None:
    with running() as one, running() as other:
        assert one.url != other.url
        post(one, "Hello.")
        assert (len(one.requests()), len(other.requests())) == (1, 0)


def test_waiting_for_idleness_times_out() -> None:
    with ThreadPoolExecutor(1) as pool, running() as server:
        hanging = pool.submit(post, server, "[[delay=0.4]]")
        while not server.stats().concurrent:
            time.sleep(0.005)
        with pytest.raises(TimeoutError):
            server.wait_until_idle(0.05)
        assert hanging.result().status_code == 200


def test_reports_a_failed_start() -> None:
    with (
        running() as server,
        pytest.raises(OSError, match="Address already in use"),
        running(int(server.url.rpartition(":")[2])),
    ):
        pass
