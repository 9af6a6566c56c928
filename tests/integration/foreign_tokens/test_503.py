"""If an issuer is unavailable, access is denied with a retryable error."""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from atrium.identity.providers import fetching
from atrium.identity.providers.key_finder import WAIT_SECONDS_MAX

from functions.authorizer.app import AuthorizerFailed
from tests.builders.authorizing import AuthorizerEnv, bearer
from tests.builders.issuers import DISCOVERY, KEYS, Script, open_issuer, say
from tests.integration.foreign_tokens.conftest import Trusting, open_authorizer

pytestmark = pytest.mark.loopback


def fail(trusting: Trusting) -> None:
    with pytest.raises(AuthorizerFailed, match=r"^UNAVAILABLE$"):
        trusting.authorizer_env.ask(bearer(trusting.token()))


def hang(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.settimeout(10)
    try:
        handler.rfile.read(1)
    except OSError:
        return


def drip(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(b" ")
            time.sleep(0.05)
    except OSError:
        return


def test_503_if_the_issuer_fails(trusting: Trusting) -> None:
    trusting.trust()
    for path in (DISCOVERY, KEYS):
        for status in (500, 503, 429):
            trusting.issuer.scripts = {path: say(status)}
            fail(trusting)
            trusting.deployment.clock.advance(300)


@pytest.mark.parametrize("script", [hang, drip])
def test_503_if_the_issuer_is_slow(trusting: Trusting, script: object) -> None:
    provider = trusting.trust()
    trusting.issuer.scripts[DISCOVERY] = script  # type: ignore[assignment]  # any callable is a script
    fail(trusting)
    assert trusting.service().get(provider.id).enabled


def test_backs_off_from_an_unavailable_issuer(trusting: Trusting) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    gone = f"http://127.0.0.1:{port}"
    trusting.trust(issuer=gone, audience="down")
    token = trusting.token(iss=gone, aud="down", exp=int(trusting.deployment.clock().timestamp()) + 3_600)
    store_calls: list[str] = []
    trusting.deployment.table.client.meta.events.register(
        "before-call.dynamodb.UpdateItem", lambda **_: store_calls.append("UpdateItem")
    )
    for _ in range(60):
        with pytest.raises(AuthorizerFailed):
            trusting.authorizer_env.ask(bearer(token))
        trusting.deployment.clock.advance(10)
    tries = len(store_calls) // 2  # each attempt makes two writes: the claim and the result
    assert tries == 5  # after 0, 30, 90, 210 and 450 seconds; the next attempt would be after 750


def test_waits_while_another_container_asks_the_issuer(trusting: Trusting) -> None:
    """Two containers receive the first token of an issuer at the same time.

    Together they send one request to the issuer, and both admit the token.
    """
    trusting.trust()
    asked, may_answer = threading.Event(), threading.Event()

    def slowly(handler: BaseHTTPRequestHandler) -> None:
        asked.set()
        may_answer.wait(60)
        document = {"issuer": trusting.issuer.url, "jwks_uri": f"{trusting.issuer.url}{KEYS}"}
        say(200, document)(handler)

    trusting.issuer.scripts[DISCOVERY] = slowly
    token = trusting.token()
    first: list[object] = []
    thread = threading.Thread(target=lambda: first.append(trusting.authorizer_env.ask(bearer(token))))
    thread.start()
    assert asked.wait(60)
    other = open_authorizer(trusting.deployment)
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        may_answer.set()
        thread.join(60)

    other.authorizer._foreign.finder.pause = pause
    assert other.context(bearer(token))
    assert len(pauses) == 1
    assert first
    assert trusting.issuer.asked == [DISCOVERY, KEYS]


def silent_server() -> socket.socket:
    """Return a socket that listens but never accepts a connection."""
    return socket.create_server(("127.0.0.1", 0), backlog=1)


def hang_after_headers(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("content-length", "100")
    handler.end_headers()
    hang(handler)


def redirect_slowly(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(0.6)
    say(302, b"", location=DISCOVERY)(handler)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The maximum seconds that each call may wait for a running fetch. A call with 0 does not wait.

    A fetch ends after one second.
    """
    monkeypatch.setattr(fetching, "FETCH_SECONDS_MAX", 1.0)
    noted: list[float] = []
    result = Future.result

    def note(future: Future[Any], timeout: float | None = None) -> Any:
        if not future.done() and timeout is not None:
            noted.append(timeout)
        return result(future, timeout)

    monkeypatch.setattr(Future, "result", note)
    return noted


@pytest.fixture
def authorizer_env(trusting: Trusting) -> Iterator[AuthorizerEnv]:
    """An authorizer with the same maximum waiting time as in production."""
    opened = open_authorizer(trusting.deployment, WAIT_SECONDS_MAX)
    yield opened
    opened.authorizer._foreign.finder._threads.shutdown()


@pytest.mark.parametrize("script", [hang, drip, hang_after_headers, redirect_slowly])
def test_a_request_waits_at_most_300_ms_and_the_next_ones_not_at_all(
    trusting: Trusting, authorizer_env: AuthorizerEnv, waits: list[float], script: Script
) -> None:
    trusting.trust()
    trusting.issuer.scripts[DISCOVERY] = script
    began = time.monotonic()
    for _ in range(5):
        with pytest.raises(AuthorizerFailed, match=r"^UNAVAILABLE$"):
            authorizer_env.ask(bearer(trusting.token()))
    took = time.monotonic() - began
    assert waits == [0.3, 0, 0, 0, 0]
    assert took < 20, "five calls together, of which the first may wait 300 ms"
    assert trusting.issuer.asked == [DISCOVERY]


def test_an_issuer_that_never_accepts(trusting: Trusting, authorizer_env: AuthorizerEnv, waits: list[float]) -> None:
    with silent_server() as listener:
        first = socket.create_connection(listener.getsockname())  # two connections fill the queue of the listener
        second = socket.create_connection(listener.getsockname())
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        trusting.trust(issuer=url, audience="silent")
        for _ in range(3):
            with pytest.raises(AuthorizerFailed, match=r"^UNAVAILABLE$"):
                authorizer_env.ask(bearer(trusting.token(iss=url, aud="silent")))
        first.close()
        second.close()
    assert waits == [0.3, 0, 0]


def test_keys_that_come_too_late_for_one_call_are_there_for_the_next(
    trusting: Trusting, authorizer_env: AuthorizerEnv
) -> None:
    trusting.trust()
    may_answer = threading.Event()

    def later(handler: BaseHTTPRequestHandler) -> None:
        may_answer.wait(60)
        say(200, {"issuer": trusting.issuer.url, "jwks_uri": f"{trusting.issuer.url}{KEYS}"})(handler)

    trusting.issuer.scripts[DISCOVERY] = later
    authorizer_env.authorizer._foreign.finder.wait_seconds = 0.01
    token = bearer(trusting.token())
    with pytest.raises(AuthorizerFailed):
        authorizer_env.ask(token)
    fetch = next(iter(authorizer_env.authorizer._foreign.finder._fetches.values()))
    may_answer.set()
    fetch.result(60)
    assert authorizer_env.context(token)
    assert trusting.issuer.asked == [DISCOVERY, KEYS]


def test_another_containers_slow_fetch_is_waited_for_once(
    trusting: Trusting, authorizer_env: AuthorizerEnv, waits: list[float]
) -> None:
    trusting.trust()
    trusting.issuer.scripts[DISCOVERY] = hang
    token = bearer(trusting.token())
    with pytest.raises(AuthorizerFailed):
        authorizer_env.ask(token)
    other, pauses, counts = open_authorizer(trusting.deployment, WAIT_SECONDS_MAX), list[float](), list[int]()

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        time.sleep(seconds)

    other.authorizer._foreign.finder.pause = pause
    for _ in range(3):
        with pytest.raises(AuthorizerFailed, match=r"^UNAVAILABLE$"):
            other.ask(token)
        counts.append(len(pauses))
    assert sum(pauses) <= WAIT_SECONDS_MAX
    assert counts == [len(pauses)] * 3, "later calls do not wait"
    assert waits == [0.3]


def test_known_keys_are_used_while_the_issuer_is_slow_and_other_tenants_do_not_wait(
    trusting: Trusting, authorizer_env: AuthorizerEnv, waits: list[float]
) -> None:
    trusting.trust()
    assert trusting.context()
    other = trusting.deployment.onboard("other")
    with open_issuer() as second:
        trusting.service(other).create({"name": "login", "issuer": second.url, "audience": "two"})
        trusting.issuer.scripts[DISCOVERY] = hang
        trusting.deployment.clock.advance(3_700)
        waits.clear()
        assert authorizer_env.context(bearer(trusting.token()))
        assert authorizer_env.context(bearer(trusting.token(exp=int(trusting.deployment.clock().timestamp()) + 60)))
        assert waits == [0.3, 0]
        authorizer_env.authorizer._foreign.finder.wait_seconds = 5
        foreign = second.token(trusting.deployment.clock(), aud="two", email="admin@other.example")
        assert authorizer_env.context(bearer(foreign))
        assert waits in ([0.3, 0], [0.3, 0, 5])
        assert second.asked == [DISCOVERY, KEYS]


def test_the_waits_of_a_request_and_of_a_fetch_are_bounded() -> None:
    assert (WAIT_SECONDS_MAX, fetching.FETCH_SECONDS_MAX) == (0.3, 2.5)
