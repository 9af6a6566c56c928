"""Decides which IP addresses may be called. Only addresses of the public internet are allowed.

Private, shared (CGNAT), loopback, link-local (including the metadata services of clouds), multicast, reserved,
documentation and unspecified addresses are rejected. IPv6 addresses that embed an IPv4 address (mapped, compatible,
6to4, Teredo, NAT64, ISATAP) are also rejected, because their final destination is unknown.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

_UNICAST = IPv6Network("2000::/3")
_BLOCKED_4 = (
    IPv4Network("0.0.0.0/8"),
    IPv4Network("100.64.0.0/10"),  # carrier-grade NAT; contains the metadata service of one cloud
    IPv4Network("168.63.129.16/32"),  # the host service of a cloud, on a public address
    IPv4Network("192.0.0.0/24"),
    IPv4Network("192.88.99.0/24"),  # 6to4 relays
    IPv4Network("198.18.0.0/15"),
    IPv4Network("224.0.0.0/3"),
)
_BLOCKED_6 = (
    IPv6Network("2001::/23"),  # Teredo, ORCHID, benchmarking
    IPv6Network("2001:db8::/32"),
    IPv6Network("2002::/16"),  # 6to4
    IPv6Network("3fff::/20"),
)
_ISATAP = (0x00005EFE, 0x02005EFE)


def is_public(text: str) -> bool:
    """Return whether a numeric address may be called. Invalid addresses and addresses with a zone are not allowed."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    if isinstance(address, IPv4Address):
        return address.is_global and not any(address in network for network in _BLOCKED_4)
    return _is_public_6(address)


def _is_public_6(address: IPv6Address) -> bool:
    if address.scope_id is not None or address not in _UNICAST or not address.is_global:
        return False
    interface = int(address) >> 32 & 0xFFFFFFFF
    return interface not in _ISATAP and not any(address in network for network in _BLOCKED_6)
