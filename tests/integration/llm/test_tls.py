"""Closing a model call over TLS, as in production, also ends a blocked read of the socket."""

import datetime as dt
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from atrium.llm.anthropic.provider import AnthropicProvider
from atrium.llm.connection import make_http_client
from atrium.llm.model import ModelEvent
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.integration.llm.conftest import provider_at
from tests.integration.llm.requests import ask

pytestmark = pytest.mark.loopback

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def make_certificate(folder: Path) -> Path:
    """Write a certificate for `localhost` and its private key to one file. Return the path."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "server.pem"
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return path


class HangingServer:
    """A server that accepts one TLS connection, sends `first` as the start of an answer, and then stops sending."""

    def __init__(self, certificate: Path, first: bytes) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self._first = first
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.asked, self.left = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._serve, name="model-server")
        self._thread.start()

    @property
    def url(self) -> str:
        return f"https://localhost:{self._listener.getsockname()[1]}"

    def _serve(self) -> None:
        with suppress(OSError):
            plain, _ = self._listener.accept()
            with self._context.wrap_socket(plain, server_side=True) as connection:
                connection.recv(65_536)
                connection.sendall(self._first)
                self.asked.set()
                while connection.recv(65_536):
                    pass
                self.left.set()

    def stop(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


@pytest.fixture(params=[b"", HEAD], ids=["before the answer", "within the answer"])
def hanging(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HangingServer]:
    certificate = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    # The shared client was made with other certificates, and this one must not stay.
    monkeypatch.setattr("atrium.llm.anthropic.provider.shared_http_client", make_http_client)
    server = HangingServer(certificate, request.param)
    yield server
    server.stop()


@pytest.fixture
def provider(hanging: HangingServer) -> AnthropicProvider:
    return provider_at(hanging.url)


def test_another_thread_closes_the_call(provider: AnthropicProvider, hanging: HangingServer) -> None:
    stream = provider.open(ask("Hello"), deadline_seconds=30)
    events: list[ModelEvent] = []
    reader = threading.Thread(target=lambda: events.extend(stream))
    reader.start()
    assert hanging.asked.wait(60)
    time.sleep(0.1)
    began = time.monotonic()
    stream.close()
    reader.join(4)

    assert not reader.is_alive()
    assert time.monotonic() - began < 4, "close does not wait for the answer"
    assert hanging.left.wait(60)
    assert events == []
