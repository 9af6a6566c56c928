"""Outgoing calls: destination, redirects, headers, and failures."""

import json
from collections.abc import Mapping
from pathlib import Path
from ssl import SSLContext

import pytest
from atrium.egress.exchange import OutboundRequest, OutboundResponse
from atrium.egress.failures import OutboundFailed, OutboundRefused

from tests.unit.egress.sites import Names, Site, certificates, client_of, here, say

pytestmark = pytest.mark.loopback

SECRETS = {"Authorization": "Bearer x", "X-Api-Key": "k", "Cookie": "c=1", "Accept": "application/json"}


def call(
    names: Names,
    url: str,
    headers: Mapping[str, str] | None = None,
    *,
    method: str = "GET",
    body: bytes = b"",
    tls: SSLContext | None = None,
) -> OutboundResponse:
    return client_of(names, tls=tls).send(OutboundRequest(method, url, headers or {}, body, seconds_max=5))


def headers_of(request: bytes) -> dict[str, str]:
    lines = request.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    return dict(line.split(": ", 1) for line in lines)


def test_returns_the_whole_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with Site([say(404, b"nothing", x_one="1", X_ONE="2")]).open() as site:
        answer = call(here("site.example"), f"http://site.example:{site.port}/a?b=c#d", {"x": "y"})
    assert (answer.status, answer.body, answer.headers["x-one"]) == (404, b"nothing", "1, 2")
    assert answer.url == f"http://site.example:{site.port}/a?b=c"
    assert site.seen[0].startswith(b"GET /a?b=c HTTP/1.1\r\n")
    assert headers_of(site.seen[0]) == {
        "host": f"site.example:{site.port}",
        "user-agent": "Atrium",
        "accept": "*/*",
        "x": "y",
        "accept-encoding": "identity",
        "connection": "close",
    }


def test_a_body_is_sent() -> None:
    body = json.dumps({"text": "x" * 300_000}).encode()
    with Site([say(202)]).open() as site:
        answer = call(here("site.example"), f"http://site.example:{site.port}/", method="post", body=body)
    assert answer.status == 202
    assert site.seen[0].endswith(b"\r\n\r\n" + body)


@pytest.mark.parametrize(
    "addresses",
    [["10.0.0.1"], ["169.254.169.254"], ["127.0.0.2"], ["::1"], ["::ffff:127.0.0.1"], ["127.0.0.1", "10.0.0.1"],
     ["8.8.8.8", "192.168.0.1"]],
)  # fmt: skip
def test_refuses_a_name_that_resolves_to_a_private_address(addresses: list[str]) -> None:
    with pytest.raises(OutboundRefused) as refused:
        call(Names({"site.example": [addresses]}), "http://site.example/")
    assert refused.value.reason == "address"
    assert not any(address in str(refused.value) for address in addresses)


@pytest.mark.parametrize("host", ["127.0.0.2", "[::1]", "169.254.169.254", "[fd00:ec2::254]", "0.0.0.0"])
def test_refuses_a_private_numeric_address(host: str) -> None:
    names = Names({host.strip("[]"): [[host.strip("[]")]]})
    with pytest.raises(OutboundRefused) as refused:
        call(names, f"http://{host}/")
    assert refused.value.reason == "address"


@pytest.mark.parametrize("port", [22, 25, 8080, 6379])
def test_refuses_ports_other_than_http_and_https(port: int) -> None:
    with pytest.raises(OutboundRefused) as refused:
        call(Names({"site.example": [["8.8.8.8"]]}), f"http://site.example:{port}/")
    assert refused.value.reason == "port"


def test_connects_to_the_checked_address_despite_dns_rebinding() -> None:
    names = Names({"site.example": [["127.0.0.1"], ["10.0.0.1"]]})
    with Site([say(200, b"mine")]).open() as site:
        assert call(names, f"http://site.example:{site.port}/").body == b"mine"
    assert names.asked == ["site.example"]


def test_refuses_a_redirect_after_dns_rebinding() -> None:
    names = Names({"site.example": [["127.0.0.1"], ["10.0.0.1"]]})
    with Site([say(302, location="/again"), say(200)]).open() as site, pytest.raises(OutboundRefused) as refused:
        call(names, f"http://site.example:{site.port}/")
    assert refused.value.reason == "address"
    assert len(site.seen) == 1


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("http://169.254.169.254/latest/meta-data", "address"),
        ("http://inside.example/", "address"),
        ("file:///etc/passwd", "url"),
        ("gopher://site.example/", "scheme"),
        ("http://user:pw@site.example/", "url"),
    ],
)
def test_checks_redirects_like_first_calls(location: str, reason: str) -> None:
    names = here("site.example")
    names.script |= {"inside.example": [["10.1.2.3"]], "169.254.169.254": [["169.254.169.254"]]}
    with Site([say(302, location=location)]).open() as site, pytest.raises(OutboundRefused) as refused:
        call(names, f"http://site.example:{site.port}/")
    assert refused.value.reason == reason


def test_follows_at_most_three_redirects() -> None:
    hops = [say(307, location=f"/{number}") for number in range(3)]
    with Site([*hops, say(200, b"there")]).open() as site:
        assert call(here("site.example"), f"http://site.example:{site.port}/").body == b"there"
    with Site([*hops, say(307, location="/4"), say(200)]).open() as site, pytest.raises(OutboundRefused) as refused:
        call(here("site.example"), f"http://site.example:{site.port}/")
    assert refused.value.reason == "redirect"
    assert len(site.seen) == 4


def test_returns_a_redirect_if_none_may_be_followed() -> None:
    with Site([say(302, location="http://10.0.0.1/")]).open() as site:
        request = OutboundRequest("GET", f"http://site.example:{site.port}/", redirects_max=0)
        assert client_of(here("site.example")).send(request).status == 302


def test_credentials_stay_with_their_host() -> None:
    with Site([say(200)]).open() as other, Site([say(302, location="/b"), say(302, location="")]).open() as site:
        site.answers[1] = say(302, location=f"http://other.example:{other.port}/")
        names = here("site.example", "other.example")
        call(names, f"http://site.example:{site.port}/", SECRETS)
    for request in site.seen:
        assert {"authorization", "x-api-key", "cookie", "accept"} <= headers_of(request).keys()
    assert headers_of(other.seen[0]).keys() == {"host", "user-agent", "accept", "accept-encoding", "connection"}


@pytest.mark.parametrize(
    ("status", "method", "then"),
    [(301, "POST", "GET"), (302, "POST", "GET"), (303, "PUT", "GET"), (303, "HEAD", "HEAD")],
)
def test_a_redirect_that_drops_the_body(status: int, method: str, then: str) -> None:
    with Site([say(status, location="/b"), say(200)]).open() as site:
        body = b"" if method == "HEAD" else b"secret"
        url = f"http://site.example:{site.port}/"
        call(here("site.example"), url, {"content-type": "text/plain"}, method=method, body=body)
    assert site.seen[1].startswith(f"{then} /b HTTP/1.1\r\n".encode())
    assert site.seen[1].endswith(b"\r\n\r\n")
    assert "content-type" not in headers_of(site.seen[1])


def test_sends_a_body_after_a_redirect_only_to_the_same_host() -> None:
    names = here("site.example", "other.example")
    with Site([say(307, location="/b"), say(200)]).open() as site:
        call(names, f"http://site.example:{site.port}/", method="POST", body=b"secret")
    assert site.seen[1].endswith(b"secret")
    with Site([say(308, location="http://other.example/")]).open() as site, pytest.raises(OutboundRefused) as refused:
        call(names, f"http://site.example:{site.port}/", method="POST", body=b"secret")
    assert refused.value.reason == "redirect"
    assert "other.example" not in names.asked


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "inside"},
        {"Content-Length": "3"},
        {"Transfer-Encoding": "chunked"},
        {"Proxy-Authorization": "x"},
        {"Connection": "upgrade"},
        {"x": "a\r\nHost: inside"},
        {"x": "a\nb"},
        {"x": "a\x00"},
        {"x": "ü\u4f60"},
        {"x y": "z"},
        {"": "z"},
    ],
)
def test_rejects_reserved_headers(headers: dict[str, str]) -> None:
    names = here("site.example")
    with pytest.raises(OutboundRefused) as refused:
        client_of(names).send(OutboundRequest("GET", "http://site.example:1/", headers))
    assert refused.value.reason == "header"
    assert names.asked == []


@pytest.mark.parametrize("method", ["CONNECT", "connect", "GET /x", "", "G\r\nT"])
def test_rejects_unknown_methods(method: str) -> None:
    with pytest.raises(OutboundRefused):
        call(here("site.example"), "http://site.example:1/", method=method)


def test_tls_verifies_the_name_of_the_url(tmp_path: Path) -> None:
    server, trusting = certificates(tmp_path, "site.example")
    with Site([say(200, b"sealed")], tls=server).open() as site:
        answer = call(here("site.example"), f"https://site.example:{site.port}/", tls=trusting)
    assert answer.body == b"sealed"
    assert site.names == ["site.example"]
    assert headers_of(site.seen[0])["host"] == f"site.example:{site.port}"


@pytest.mark.parametrize("case", ["another name", "an untrusted issuer"])
def test_rejects_an_invalid_certificate(tmp_path: Path, case: str) -> None:
    server, trusting = certificates(tmp_path, "site.example")
    name, tls = ("other.example", trusting) if case == "another name" else ("site.example", None)
    with Site([say(200)], tls=server).open() as site, pytest.raises(OutboundFailed) as failed:
        call(here(name), f"https://{name}:{site.port}/", SECRETS, tls=tls)
    assert failed.value.reason == "tls"
    assert site.seen == []


def test_a_redirect_never_leaves_tls(tmp_path: Path) -> None:
    server, trusting = certificates(tmp_path, "site.example")
    site = Site([say(302, location="http://site.example/")], tls=server)
    with site.open(), pytest.raises(OutboundRefused) as refused:
        call(here("site.example"), f"https://site.example:{site.port}/", tls=trusting)
    assert refused.value.reason == "redirect"
