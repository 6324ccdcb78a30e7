"""What may be connected to: every special-purpose range of IANA's registries is refused, whole."""

from __future__ import annotations

import ipaddress

import pytest

from imagesearch.sources.addresses import is_public

# The registries as of November 2025, their smaller entries within larger ones left out.
# https://www.iana.org/assignments/iana-ipv4-special-registry/
# https://www.iana.org/assignments/iana-ipv6-special-registry/
SPECIAL = """
    0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24
    192.0.2.0/24 192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.168.0.0/16 192.175.48.0/24
    198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4
    ::1/128 ::/128 ::ffff:0:0/96 64:ff9b::/96 64:ff9b:1::/48 100::/64 100:0:0:1::/64 2001::/23
    2001:db8::/32 2002::/16 2620:4f:8000::/48 3fff::/20 5f00::/16 fc00::/7 fe80::/10 fec0::/10
    ff00::/8
"""


@pytest.mark.parametrize("text", SPECIAL.split())
def test_no_address_of_a_special_purpose_is_public(text: str) -> None:
    network = ipaddress.ip_network(text)
    middle = network[network.num_addresses // 2]
    assert [is_public(str(one)) for one in (network[0], middle, network[-1])] == [False] * 3


@pytest.mark.parametrize(
    "address",
    [
        "127.8.9.1", "169.254.169.254", "255.255.255.255", "fe80::1%eth0",
        "192.0.0.9", "192.0.0.192", "192.88.99.1", "192.88.99.2", "3fff::1", "3fff:fff::1",
        "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::7f00:1", "64:ff9b::7f00:1", "64:ff9b:1::a00:1",
        "2002:7f00:1::", "2002:808:808::1", "2001:0:1::", "2001:1::1", "2001:20::1", "2001:30::1",
        "100:0:0:1::1", "5f00::1", "4000::1", "1::1",
    ],
)  # fmt: skip
def test_an_address_inside_a_network_or_that_wraps_another_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8", "104.18.40.96", "1.0.0.0", "9.255.255.255", "11.0.0.0", "100.63.255.255",
        "100.128.0.0", "126.255.255.255", "128.0.0.0", "169.253.255.255", "172.15.255.255",
        "172.32.0.0", "191.255.255.255", "192.0.1.0", "192.88.98.255", "192.88.100.0",
        "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255",
        "2606:4700::6812:2860", "2001:200::1", "2001:4860:4860::8888", "2003::1", "2400::1",
        "2a00:1450:4001::1", "3fff:1000::1",
    ],
)  # fmt: skip
def test_an_address_of_the_internet_is_public_and_so_are_the_neighbours_of_special_ones(
    address: str,
) -> None:
    assert is_public(address)
