"""The lists of hosts that a tenant's calls may reach."""

import pytest
from atrium.egress.destination import HostList, Rules, read_host_pattern, read_redirect, read_url
from atrium.egress.failures import OutboundRefused

LISTS = HostList(allow=("api.example.com", "*.example.org", "203.0.113.9"), deny=("ads.example.org",))


@pytest.mark.parametrize(
    ("host", "is_permitted"),
    [
        ("api.example.com", True),
        ("API.example.com.", True),
        ("other.example.com", False),
        ("x.api.example.com", False),
        ("api.example.com.evil.example", False),
        ("www.example.org", True),
        ("a.b.example.org", True),
        ("example.org", False),
        ("evil-example.org", False),
        ("ads.example.org", False),
        ("203.0.113.9", True),
    ],
)
def test_a_host_must_be_allowed_and_not_denied(host: str, is_permitted: bool) -> None:
    rules = Rules(hosts=LISTS)
    if is_permitted:
        assert read_url(f"https://{host}/", rules).host == host.lower().removesuffix(".")
    else:
        with pytest.raises(OutboundRefused) as refused:
            read_url(f"https://{host}/", rules)
        assert refused.value.reason == "host"


def test_without_an_allow_list_only_denied_hosts_are_refused() -> None:
    lists = HostList(deny=("*.example.com",))
    assert [lists.permits(host) for host in ("example.com", "a.example.com", "example.net")] == [True, False, True]


def test_the_target_of_a_redirect_must_be_allowed() -> None:
    rules = Rules(hosts=LISTS)
    here = read_url("https://api.example.com/", rules)
    assert read_redirect(here, "/next", rules).target == "/next"
    with pytest.raises(OutboundRefused):
        read_redirect(here, "https://other.example.net/", rules)


@pytest.mark.parametrize("pattern", ["", "*", "*.", "a b", "https://a.example", "a.example/x", "a.example:80", "a..b"])
def test_refuses_an_invalid_pattern(pattern: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the messages differ by the kind of the fault
        read_host_pattern(pattern)
