"""The guarded downloader: images over https from an allow-list of hosts, and nothing else.

The limits and the check of each address are in `http_client.py`; whether bytes are a sound image
is found out where they are decoded.
"""

from __future__ import annotations

import ipaddress
import re
import time
from collections.abc import Callable
from collections.abc import Collection as AnyOf
from urllib.parse import urljoin

from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

from imagesearch.domain.errors import Overloaded, RejectedImage, Unavailable
from imagesearch.domain.signatures import is_image
from imagesearch.ports import Clock
from imagesearch.sources.addresses import is_public
from imagesearch.sources.exchange import Limits, Reply
from imagesearch.sources.http_client import USER_AGENT, HttpClient

MAX_REDIRECTS = 3
BACKOFF_SECONDS = (0.5, 1.0)  # the pauses before the second and the third attempt
_NAMED_IN_ERRORS = 10  # hosts: a list of URLs may have thousands
# Which ask not to be taken for search or training. `none` is noindex and more. A robot that a word
# is for may be named before it; whichever it is, the picture stays where it is.
_ROBOTS = re.compile(r"\b(noai|noimageai|noindex|noimageindex|none)\b", re.IGNORECASE)
EXPIRED = b"This URL is invalid or has expired"  # what Pixabay answers 24 hours after the listing

# RFC 1123, section 2.1: what resolvers take, and with it every host that can be connected to.
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*", re.IGNORECASE)

_LIMITS = Limits()


class Downloader:
    """
    Downloads images over https from an allow-list of hosts, for many threads at once.

    Args:
        hosts: names that may be asked, on port 443; `*.pixabay.com` is every name below it.
        limits: of one image; their `total_seconds` are for all its redirects and attempts.
        allowed_origin: the one origin that may also be plain http, on any port and on loopback:
            the demo's own server, `http://127.0.0.1:43211`.
        connections: at a time to one host; further threads wait for their turn.
        clock: what the pauses between attempts are slept by.
        user_agent: what the hosts are told of who asks.
        heeds_robots_tag: whether an image is rejected whose host asks by `X-Robots-Tag` that
            robots leave it; sources whose terms allow it say nothing by that.
        takes: says of an image's bytes whether they begin as one that is taken; by default JPEG,
            PNG and WebP are.
    """

    def __init__(
        self,
        hosts: AnyOf[str],
        *,
        clock: Clock,
        limits: Limits = _LIMITS,
        allowed_origin: str | None = None,
        connections: int = 16,
        user_agent: str = USER_AGENT,
        heeds_robots_tag: bool = False,
        takes: Callable[[bytes], bool] = is_image,
    ) -> None:
        self._names = frozenset(host for host in hosts if not host.startswith("*."))
        self._below = tuple(host[1:] for host in hosts if host.startswith("*."))
        self._allowed = _in_short(hosts)
        self._heeds_robots_tag = heeds_robots_tag
        self._origin = None if allowed_origin is None else _origin(parse_url(allowed_origin))
        self._takes = takes
        self._limits = limits
        self._clock = clock
        self._http = HttpClient(
            limits=limits, connections=connections, guard=self._may_connect, user_agent=user_agent
        )

    def check(self, url: str) -> None:
        """Return when *url* may be downloaded from, else raise RejectedImage with the reason."""
        try:
            # The parser that the connection is made with too: two parsers might disagree.
            parsed = parse_url(url)
        except LocationParseError:
            raise RejectedImage("its download URL cannot be read") from None
        if self._origin is not None and _origin(parsed) == self._origin and parsed.auth is None:
            return
        if parsed.scheme != "https":
            raise RejectedImage(f"its download URL must be https, got {parsed.scheme!r}")
        if parsed.auth is not None or parsed.port not in (None, 443):
            raise RejectedImage("its download URL must have no user and no port")
        if not self._is_allowed(parsed.host or ""):
            raise RejectedImage(f"its host must be one of {self._allowed}, got {parsed.host!r}")
        if not _HOST_NAME.fullmatch(parsed.host or ""):
            bound = "labels of 1 to 63 letters, digits and inner hyphens, 253 characters in all"
            raise RejectedImage(f"its host must be {bound}, got {parsed.host!r}")

    def close(self) -> None:
        """Close the connections that are kept for later downloads."""
        self._http.close()

    def get(self, url: str) -> bytes:
        """
        Return the bytes of the image at *url*, of a format that is taken.

        Raises:
            RejectedImage: wrong host, gone, expired, too large, or no such image.
            Unavailable: time-out, connection, 408, 429 or 5xx, still so after two more attempts.
        """
        deadline = time.monotonic() + self._limits.total_seconds
        for pause_seconds in BACKOFF_SECONDS:
            try:
                return self._image(url, deadline)
            except Unavailable:
                if time.monotonic() + pause_seconds >= deadline:
                    raise
            self._clock.sleep(pause_seconds)
        return self._image(url, deadline)

    def get_once(self, url: str) -> bytes:
        """
        Return the same after one attempt, for a host that counts them.

        Raises:
            RejectedImage: wrong host, gone, too large, or no such image.
            Overloaded: 429, or 503 that says when; `retry_after_seconds` is what the host says,
                or 5.
            Unavailable: time-out, connection, 408 or another 5xx.
        """
        return self._of(self._follow(url, time.monotonic() + self._limits.total_seconds), True)

    def _image(self, url: str, deadline: float) -> bytes:
        return self._of(self._follow(url, deadline))

    def _of(self, reply: Reply, is_overload_told: bool = False) -> bytes:
        says_when = reply.status == 503 and reply.retry_after_seconds is not None
        if is_overload_told and (reply.status == 429 or says_when):
            seconds = reply.retry_after_seconds or 5.0
            answered = f"the image host answered {reply.status}"
            raise Overloaded(answered, retry_after_seconds=seconds)
        if reply.status in (408, 429) or reply.status >= 500:
            raise Unavailable(f"the image host answered {reply.status}")
        if reply.body is None:
            raise RejectedImage(f"it is larger than {self._limits.max_bytes} bytes")
        robots = _ROBOTS.search(reply.headers.get("X-Robots-Tag", ""))
        if self._heeds_robots_tag and robots:
            raise RejectedImage(f"its host asks robots to leave it: X-Robots-Tag: {robots[0]}")
        if reply.status == 200 and self._takes(reply.body):
            return reply.body
        raise RejectedImage(_why_no_image(reply.status, reply.body))

    def _follow(self, url: str, deadline: float) -> Reply:
        for _ in range(MAX_REDIRECTS + 1):
            self.check(url)
            reply = self._http.get(url, total_seconds=deadline - time.monotonic())
            if isinstance(reply, Unavailable):
                raise reply
            if reply.location is None:
                return reply
            url = _joined(url, reply.location)
        raise RejectedImage(f"more than {MAX_REDIRECTS} redirects")

    def _is_allowed(self, host: str) -> bool:
        return host in self._names or host.endswith(self._below)

    def _may_connect(self, host: str, port: int, address: str) -> bool:
        if self._origin is not None and (host, port) == self._origin[1:]:
            return is_public(address) or ipaddress.ip_address(address).is_loopback
        return is_public(address)


def _in_short(hosts: AnyOf[str]) -> str:
    few = sorted(hosts)[:_NAMED_IN_ERRORS] if len(hosts) > _NAMED_IN_ERRORS else hosts
    more = f" and {len(hosts) - len(few)} more" if len(hosts) > len(few) else ""
    return " ".join(few) + more


def _origin(url: Url) -> tuple[str | None, str, int | None]:
    port = url.port or {"http": 80, "https": 443}.get(url.scheme or "")
    return url.scheme, (url.host or "").strip("[]"), port


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError:
        raise RejectedImage("it is redirected to a URL that cannot be read") from None


def _why_no_image(status: int, body: bytes) -> str:
    if EXPIRED in body:
        return "its download link is invalid or has expired"
    if status != 200:
        return f"the image host answered {status}"
    return f"it is no image of a format that is taken: it begins with {body[:16]!r}"
