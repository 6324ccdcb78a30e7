"""Which IP addresses are of the public internet, and of no network that this program may be in.

The ranges are written out: what Python's `ipaddress` calls global differs with its version, and
follows whether a range can be reached, not whether a host of images may be there.
"""

from __future__ import annotations

import ipaddress

_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")  # all that is given out: RFC 4291, section 2.4

# Every entry of IANA's registries, the few that can be reached from anywhere too (anycast of AS112,
# AMT, PCP and TURN): nobody keeps images there, and a network may have hosts of its own by those.
# https://www.iana.org/assignments/iana-ipv4-special-registry/
# https://www.iana.org/assignments/multicast-addresses/
_SPECIAL_IPV4 = [
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private use
        "100.64.0.0/10",  # shared by a carrier's customers
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local, and the clouds' metadata servers
        "172.16.0.0/12",  # private use
        "192.0.0.0/24",  # IETF protocol assignments; Oracle's cloud has its metadata at .192
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # relays of 6to4 and 6a44, deprecated
        "192.168.0.0/16",  # private use
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarking
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and limited broadcast
    )
]
# What lies within 2000::/3; outside of it are loopback, the unspecified address, mapped and
# compatible IPv4, NAT64 (64:ff9b::/96, 64:ff9b:1::/48), discard-only and dummy (100::/64,
# 100:0:0:1::/64), SRv6 (5f00::/16), unique local, link-local, site-local and multicast.
# https://www.iana.org/assignments/iana-ipv6-special-registry/
_SPECIAL_IPV6 = [
    ipaddress.IPv6Network(text)
    for text in (
        "2001::/23",  # IETF protocol assignments: Teredo, which wraps IPv4, ORCHID and others
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which wraps IPv4
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
]


def is_public(address: str) -> bool:
    """
    True for an address of the public internet, which no server inside a network has.

    Not so for any IPv6 address that wraps an IPv4 one: it may wrap a private one.
    """
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv4Address):
        return not any(ip in network for network in _SPECIAL_IPV4)
    return ip in _GLOBAL_UNICAST and not any(ip in network for network in _SPECIAL_IPV6)
