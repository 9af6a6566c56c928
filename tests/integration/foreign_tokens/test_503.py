"""If an issuer is unavailable, access is denied with a retryable error."""

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler

import pytest

from functions.authorizer.app import AuthorizerFailed
from tests.builders.authorizing import bearer
from tests.builders.issuers import DISCOVERY, KEYS, say
from tests.integration.foreign_tokens.conftest import Trusting

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
    tries = len(store_calls) // 2  # each attempt is claimed, and its result stored
    assert tries == 5  # after 0, 30, 90, 210 and 450 seconds; the next would be after 750


def test_waits_while_another_container_asks_the_issuer(trusting: Trusting) -> None:
    """Two containers see an issuer's first token at once: it is asked once, and both admit the token."""
    trusting.trust()
    asked, may_answer = threading.Event(), threading.Event()

    def slowly(handler: BaseHTTPRequestHandler) -> None:
        asked.set()
        may_answer.wait(5)
        document = {"issuer": trusting.issuer.url, "jwks_uri": f"{trusting.issuer.url}{KEYS}"}
        say(200, document)(handler)

    trusting.issuer.scripts[DISCOVERY] = slowly
    token = trusting.token()
    first: list[object] = []
    thread = threading.Thread(target=lambda: first.append(trusting.authorizer_env.ask(bearer(token))))
    thread.start()
    assert asked.wait(5)
    other = type(trusting.authorizer_env)(trusting.deployment, EGRESS_LOCAL_ADDRESSES="127.0.0.1")
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        may_answer.set()
        thread.join(5)

    other.authorizer._foreign.finder.pause = pause
    assert other.context(bearer(token))
    assert len(pauses) == 1
    assert first
    assert trusting.issuer.asked == [DISCOVERY, KEYS]
