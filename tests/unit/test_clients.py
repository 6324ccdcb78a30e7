"""Who asks: what limits count by, and queues take turns between."""

from __future__ import annotations

import pytest

from imagesearch.adapters.caches.in_process import InProcessLimiter
from imagesearch.domain.errors import Overloaded
from imagesearch.usecases.clients import client_of, mark_of, spend


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("203.0.113.7:4711", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("::ffff:cb00:7107", "203.0.113.7"),
        ("[::ffff:203.0.113.7]:4711", "203.0.113.7"),
        ("2002:cb00:7107::1", "203.0.113.7"),
        ("2002:cb00:7107:ffff::2", "203.0.113.7"),
        ("2001:db8:1:2::", "2001:db8:1::/48"),
        ("2001:db8:1:2::1", "2001:db8:1::/48"),
        ("2001:DB8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1::/48"),
        ("2001:0db8:0001:0002:0000:0000:0000:0001", "2001:db8:1::/48"),
        ("[2001:db8:1:2::1]:443", "2001:db8:1::/48"),
        ("[2001:db8:1:2::1]", "2001:db8:1::/48"),
        ("2001:db8:1:3::1", "2001:db8:1::/48"),
        ("2001:db8:2:3::1", "2001:db8:2::/48"),
        ("fe80::1%eth0", "fe80::/48"),
        ("::1", "::/48"),
        ("unknown", "unknown"),
        ("_hidden", "_hidden"),
        ("x" * 5000, "x" * 64),
        ("1.2.3.4.5", "1.2.3.4.5"),
        ("", "unknown"),
    ],
)
def test_a_client_is_an_ipv4_address_or_the_48_of_an_ipv6_address(
    address: str, client: str
) -> None:
    assert client_of("", address, 0) == client
    if address:
        assert client_of(f"9.9.9.9, {address}", "10.0.0.1", 1) == client


def test_the_header_counts_as_far_as_there_are_proxies_of_ours() -> None:
    header = "1.1.1.1, 2.2.2.2,3.3.3.3 "
    assert [client_of(header, "4.4.4.4", n) for n in range(5)] == [
        "4.4.4.4",
        "3.3.3.3",
        "2.2.2.2",
        "1.1.1.1",
        "1.1.1.1",
    ]
    assert client_of("", "4.4.4.4", 1) == "4.4.4.4"
    assert client_of(" , ", None, 1) == "unknown"


def test_a_mark_tells_clients_apart_and_is_no_hash_that_can_be_tried_out() -> None:
    marks = {mark_of(f"203.0.113.{n}") for n in range(256)}
    assert len(marks) == 256
    assert mark_of("203.0.113.7") in marks
    assert not [mark for mark in marks if "203" in mark and "113" in mark]


def test_what_is_spent_of_one_kind_is_left_of_another_and_to_others() -> None:
    limiter = InProcessLimiter()
    for _ in range(2):
        spend(limiter, "rate", "a", 2, "too often")
    with pytest.raises(Overloaded, match="too often") as caught:
        spend(limiter, "rate", "a", 2, "too often")
    assert 29 < (caught.value.retry_after_seconds or 0) <= 30
    spend(limiter, "new", "a", 2, "too often")
    spend(limiter, "rate", "b", 2, "too often")
