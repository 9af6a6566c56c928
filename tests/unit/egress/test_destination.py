"""URLs and their destinations, and URLs that are rejected before any DNS lookup."""

import pytest
from atrium.egress.destination import Destination, Rules, read_redirect, read_url
from atrium.egress.failures import OutboundRefused
from hypothesis import given
from hypothesis import strategies as st

RULES = Rules()


@pytest.mark.parametrize(
    ("url", "authority", "target"),
    [
        ("https://example.com", "example.com", "/"),
        ("HTTPS://EXAMPLE.com./a b".replace(" ", "%20"), "example.com", "/a%20b"),
        ("https://example.com:443/x?y=z#secret", "example.com", "/x?y=z"),
        ("http://example.com:81/", "example.com:81", "/"),
        ("https://müller.example/ü?q=ä", "xn--mller-kva.example", "/%C3%BC?q=%C3%A4"),
        ("https://[2606:4700::1111]:8443/", "[2606:4700::1111]:8443", "/"),
        ("https://example.com?x=1", "example.com", "/?x=1"),
        ("https://_dmarc.example.com/", "_dmarc.example.com", "/"),
        ("https://１２７.0.0.1/", "127.0.0.1", "/"),  # checked as a numeric address later
    ],
)
def test_parses_destinations(url: str, authority: str, target: str) -> None:
    found = read_url(url, RULES)
    assert (found.authority, found.target) == (authority, target)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://example.com/", "scheme"),
        ("file:///etc/passwd", "url"),
        ("gopher://example.com/", "scheme"),
        ("//example.com/", "scheme"),
        ("example.com", "url"),
        ("https:///x", "url"),
        ("https://user@example.com/", "url"),
        ("https://user:secret@example.com/", "url"),
        ("https://example.com@10.0.0.1/", "url"),
        ("https://exa mple.com/", "url"),
        ("https://example.com\\@10.0.0.1/", "url"),
        ("https://example.com/\r\nHost: x", "url"),
        ("https://example.com:99999/", "url"),
        ("https://example.com:-1/", "url"),
        ("https://example.com:x/", "url"),
        ("https://[::1/", "url"),
        ("https://[fe80::1%25eth0]/", "url"),
        ("https://-x.example/", "url"),
        ("https://a..b/", "url"),
        ("https://" + "a" * 64 + ".example/", "url"),
        ("https://" + "a." * 130 + "example/", "url"),
        ("https://example.com/" + "a" * 2_000, "url"),
        ("https://\ud800.example/", "url"),
        ("https://example.com/\ud800", "url"),
        ("", "url"),
    ],
)
def test_refuses_urls(url: str, reason: str) -> None:
    with pytest.raises(OutboundRefused) as refused:
        read_url(url, RULES)
    assert refused.value.reason == reason


def test_accepts_only_allowed_schemes() -> None:
    with pytest.raises(OutboundRefused) as refused:
        read_url("http://example.com/", Rules(ports={"https": frozenset({443})}))
    assert refused.value.reason == "scheme"


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/b?c", "https://example.com/b?c"),
        ("b", "https://example.com/a/b"),
        ("//other.example/x", "https://other.example/x"),
        ("https://other.example:8443", "https://other.example:8443/"),
        ("?q", "https://example.com/a/x?q"),
    ],
)
def test_resolves_redirects(location: str, url: str) -> None:
    assert read_redirect(read_url("https://example.com/a/x", RULES), location, RULES).url == url


@pytest.mark.parametrize("location", ["http://example.com/", "ftp://x/", "https://u:p@example.com/", "https://x y/"])
def test_refuses_redirects(location: str) -> None:
    with pytest.raises(OutboundRefused):
        read_redirect(read_url("https://example.com/", RULES), location, RULES)


@given(st.text(max_size=40), st.sampled_from(["https://", "http://", "https://example.com/", ""]))
def test_parses_or_refuses_any_text(text: str, before: str) -> None:
    try:
        found = read_url(before + text, RULES)
    except OutboundRefused:
        return
    assert read_url(found.url, RULES) == found
    assert found.url.isascii()
    assert isinstance(found, Destination)
