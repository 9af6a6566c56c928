"""Scripted servers on 127.0.0.1, a scripted resolver, and certificates for test names."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from atrium.egress.client import EgressClient
from atrium.egress.destination import Rules
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LOCAL = Rules(local_addresses=frozenset({"127.0.0.1"}))

type Answer = Callable[[socket.socket, bytes], None]


def say(status: int, body: bytes = b"", **headers: str) -> Answer:
    """Return an answer that sends this HTTP response. In the names of `headers`, write `_` for `-`."""
    lines = [f"HTTP/1.1 {status} Said", f"content-length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return lambda line, _: line.sendall("\r\n".join([*lines, "", ""]).encode() + body)


@dataclass
class Site:
    """A server that sends one response per connection, in order, and records the requests."""

    answers: list[Answer]
    tls: ssl.SSLContext | None = None
    seen: list[bytes] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)
    port: int = 0

    @contextmanager
    def open(self) -> Iterator["Site"]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
            if self.tls is not None:
                self.tls.sni_callback = lambda _, name, __: self.names.append(name)
            thread = threading.Thread(target=self._serve, args=(listener,), daemon=True)
            thread.start()
            try:
                yield self
            finally:
                listener.shutdown(socket.SHUT_RDWR)
                thread.join(60)

    def _serve(self, listener: socket.socket) -> None:
        for answer in self.answers:
            try:
                line, _ = listener.accept()
            except OSError:
                return  # the listener is closed
            with line:
                line.settimeout(10)
                try:
                    self._speak(line, answer)
                except OSError:
                    continue  # the client disconnected

    def _speak(self, plain: socket.socket, answer: Answer) -> None:
        line = self.tls.wrap_socket(plain, server_side=True) if self.tls else plain
        with line:
            request = _read_request(line)
            self.seen.append(request)
            answer(line, request)


def _read_request(line: socket.socket) -> bytes:
    got = b""
    while b"\r\n\r\n" not in got:
        piece = line.recv(65_536)
        if not piece:
            return got
        got += piece
    head, _, body = got.partition(b"\r\n\r\n")
    lengths = [int(each.partition(b":")[2]) for each in head.split(b"\r\n") if each.startswith(b"content-length")]
    while lengths and len(body) < lengths[0]:
        body += line.recv(65_536)
    return head + b"\r\n\r\n" + body


@dataclass
class Names:
    """A scripted resolver. Each lookup of a name returns the next answer, and the last answer is repeated."""

    script: dict[str, list[Sequence[str]]]
    asked: list[str] = field(default_factory=list)

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        answers = self.script.get(host)
        if answers is None:
            raise socket.gaierror("no such name")
        return answers.pop(0) if len(answers) > 1 else answers[0]


def client_of(names: Names, *, tls: ssl.SSLContext | None = None, rules: Rules = LOCAL) -> EgressClient:
    return EgressClient(rules, names, tls or ssl.create_default_context())


def here(*names: str) -> Names:
    """Return a resolver that resolves these names to 127.0.0.1."""
    return Names({name: [["127.0.0.1"]] for name in names})


def certificates(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the TLS contexts of a server with a certificate for the name, and of a client that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / f"{name}.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + private)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    trusting = ssl.create_default_context(cafile=str(file))
    return server, trusting
