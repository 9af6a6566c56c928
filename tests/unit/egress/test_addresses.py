"""The IP addresses to which outgoing calls may connect."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from atrium.egress.addresses import is_public
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254",
        "168.63.129.16", "169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.255", "192.0.0.192",
        "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1",
        "239.255.255.255", "240.0.0.1", "255.255.255.255",
        "::", "::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::8.8.8.8", "64:ff9b::8.8.8.8", "64:ff9b:1::10.0.0.1",
        "100::1", "2001::1", "2001:0:1234::1", "2001:db8::1", "2002:7f00:1::1", "2002:808:808::1", "3fff::1", "5f00::1",
        "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "2606:4700::1%1", "fec0::1", "ff02::1",
        "2606:4700::5efe:10.0.0.1", "2606:4700::200:5efe:808:808",
        "", "localhost", "1.1", "0x7f000001", "2130706433", "1.1.1.1/32", " 1.1.1.1", "01.1.1.1",
    ],
)  # fmt: skip
def test_refuses_addresses(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "172.32.0.1", "2606:4700::1111", "2a00:1450:4001::1"])
def test_allows_addresses(address: str) -> None:
    assert is_public(address)


@given(st.ip_addresses())
def test_refuses_all_special_addresses_of_the_standard_library(address: IPv4Address | IPv6Address) -> None:
    special = (
        address.is_private or address.is_loopback or address.is_link_local or address.is_multicast
        or address.is_reserved or address.is_unspecified or not address.is_global
    )  # fmt: skip
    assert not (special and is_public(str(address)))


@given(st.ip_addresses(v=4))
def test_refuses_embedded_ipv4_addresses(inner: IPv4Address) -> None:
    number = int(inner)
    for base, shift in (("::ffff:0:0", 0), ("::", 0), ("64:ff9b::", 0), ("2002::", 80)):
        assert not is_public(str(IPv6Address(int(IPv6Address(base)) | number << shift)))
