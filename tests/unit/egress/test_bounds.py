"""Outgoing calls fail with the correct error if a response is too long, too slow or missing."""

import socket
import threading
import time
from collections.abc import Sequence

import pytest
from atrium.egress.exchange import OutboundRequest
from atrium.egress.failures import OutboundFailed

from tests.unit.egress.sites import Answer, Names, Site, client_of, here, say

pytestmark = pytest.mark.loopback

HEAD = b"HTTP/1.1 200 OK\r\n"


def fail(*answers: Answer, seconds: float = 5, bytes_max: int = 1_000) -> OutboundFailed:
    """Assert that a call fails if the server sends these answers. Return the error."""
    with Site(list(answers)).open() as site:
        url = f"http://site.example:{site.port}/"
        request = OutboundRequest("GET", url, seconds_max=seconds, bytes_max=bytes_max)
        with pytest.raises(OutboundFailed) as failed:
            client_of(here("site.example")).send(request)
    return failed.value


def endless(line: socket.socket, _: bytes) -> None:
    """Send an endless body until the client disconnects."""
    line.sendall(HEAD + b"\r\n")
    while True:
        line.sendall(b"x" * 65_536)


def drip(head: bytes) -> Answer:
    """Return an answer that sends `head` and then an endless body, one byte at a time."""

    def answer(line: socket.socket, _: bytes) -> None:
        line.sendall(head)
        while True:
            line.sendall(b"x")
            time.sleep(0.02)

    return answer


def hang(line: socket.socket, _: bytes) -> None:
    while line.recv(65_536):
        pass


def send(raw: bytes) -> Answer:
    return lambda line, _: line.sendall(raw)


def test_accepts_a_body_at_the_size_limit() -> None:
    with Site([say(200, b"x" * 1_000)]).open() as site:
        request = OutboundRequest("GET", f"http://site.example:{site.port}/", bytes_max=1_000)
        assert len(client_of(here("site.example")).send(request).body) == 1_000


@pytest.mark.parametrize(
    "answer",
    [say(200, b"x" * 1_001), endless, send(HEAD + b"transfer-encoding: chunked\r\n\r\n3e9\r\n" + b"x" * 1_001)],
)
def test_rejects_long_answers(answer: Answer) -> None:
    assert fail(answer).reason == "too_large"


@pytest.mark.parametrize("answer", [hang, drip(HEAD + b"\r\n"), drip(HEAD + b"x: "), drip(b"")])
def test_rejects_slow_answers(answer: Answer) -> None:
    assert fail(answer, seconds=0.3, bytes_max=10**9).reason == "timeout"


def test_rejects_a_host_that_reads_too_slowly() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        port = listener.getsockname()[1]
        request = OutboundRequest("POST", f"http://site.example:{port}/", {}, b"x" * 20_000_000, seconds_max=0.3)
        with pytest.raises(OutboundFailed) as failed:
            client_of(here("site.example")).send(request)
    assert failed.value.reason == "timeout"


def test_all_hops_share_the_time() -> None:
    hops = []

    def later(line: socket.socket, request: bytes) -> None:
        hops.append(request)
        time.sleep(0.5)
        say(302, location="/x")(line, b"")

    assert fail(later, later, later, later, seconds=1.2).reason == "timeout"
    assert len(hops) < 4


def test_times_out_a_hanging_resolver() -> None:
    released = threading.Event()

    class Hanging(Names):
        def __call__(self, host: str, port: int) -> Sequence[str]:
            released.wait(60)
            return ["127.0.0.1"]

    with pytest.raises(OutboundFailed) as failed:
        client_of(Hanging({})).send(OutboundRequest("GET", "http://site.example/", seconds_max=0.1))
    released.set()
    assert failed.value.reason == "timeout"


@pytest.mark.parametrize("names", [Names({}), Names({"site.example": [[]]})])
def test_reports_an_unknown_name(names: Names) -> None:
    with pytest.raises(OutboundFailed) as failed:
        client_of(names).send(OutboundRequest("GET", "http://site.example/"))
    assert failed.value.reason == "resolve"


def test_reports_a_refused_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(OutboundFailed) as failed:
        client_of(here("site.example")).send(OutboundRequest("GET", f"http://site.example:{port}/"))
    assert failed.value.reason == "connect"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "protocol"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "protocol"),
        (HEAD + b"content-length: 5\r\n\r\nab", "protocol"),
        (HEAD + b"content-length: -5\r\n\r\n", "protocol"),
        (HEAD + b"x: " + b"y" * 300_000 + b"\r\n\r\n", "protocol"),
        (HEAD + b"content-encoding: gzip\r\n\r\n\x1f\x8b", "encoding"),
    ],
)
def test_rejects_invalid_http(raw: bytes, reason: str) -> None:
    assert fail(send(raw)).reason == reason
