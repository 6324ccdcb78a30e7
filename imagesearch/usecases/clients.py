"""Who asks, as limits count them and as queues take turns between them.

What is counted, and where, is said by those who call `spend`; the counters are the cache's.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets

from imagesearch.domain.errors import Overloaded
from imagesearch.ports import RateLimiter

_MINUTE_SECONDS = 60.0
_LONGEST = 64  # characters of what is no address: a proxy of ours may write a word, but no novel
_MARK_KEY = secrets.token_bytes(32)  # of this process: nobody can try out all addresses


def client_of(forwarded: str, peer: str | None, trusted_proxies: int) -> str:
    """
    Return who asks: what a proxy of ours saw, not what a client may claim to have been.

    Args:
        forwarded: the header `X-Forwarded-For`, to which each proxy appends whom it saw.
        peer: the address that the connection comes from.
        trusted_proxies: how many proxies are ours; with 0 the header is ignored.
    """
    seen = forwarded.split(",")[-trusted_proxies:][0].strip() if trusted_proxies else ""
    return _network(seen or peer or "unknown")


def _network(text: str) -> str:
    """
    Return an IPv4 address, or the /48 of an IPv6 address, which is the most that one site has.

    An IPv4 address inside of an IPv6 one (mapped, or a 6to4 network's) is that IPv4 address.
    Who has a /48 has 65,536 /64s, each of which would have limits of its own.
    Sources: RFC 6177 (a site gets a /48 at most), RFC 4291 2.5.5.2, RFC 3056.
    """
    address = _address(text)
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None:
            return str(ipaddress.ip_network((int(address), 48), strict=False))
        address = inner
    return text[:_LONGEST] if address is None else str(address)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Read an address, which some proxies write with its port."""
    host = text[1:].partition("]")[0] if text.startswith("[") else text
    if host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def mark_of(client: str) -> str:
    """Return a mark by which *client* is the same within this process, and unknown to others."""
    return hmac.digest(_MARK_KEY, client.encode("utf-8", "replace"), "sha256").hex()[:16]


def spend(limiter: RateLimiter, kind: str, client: str, limit: int, refusal: str) -> None:
    """
    Take one of the *limit* tokens of a *kind* that *client* has each minute.

    Raises:
        Overloaded: they are spent, with *refusal* and when there is one again.
    """
    wait_seconds = limiter.take_token(
        f"{kind}:{client}", limit=limit, period_seconds=_MINUTE_SECONDS
    )
    if wait_seconds > 0:
        raise Overloaded(refusal, retry_after_seconds=wait_seconds)
