"""Downloads of pictures from hosts that never offered an interface: few at a time, with rests."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from imagesearch.domain.errors import Overloaded, RejectedImage, Unavailable
from imagesearch.ports import Clock
from imagesearch.sources.download import Downloader
from imagesearch.sources.exchange import Limits, NotPublic
from imagesearch.sources.pace import Pace

AT_ONCE = 2  # from one host
ATTEMPTS = 3
MAX_FAILURES = 5  # pictures in a row, after which a host is not asked any more
PAUSE_SECONDS = 0.5


@dataclass
class _Host:
    pace: Pace
    failures: int = 0


class PoliteDownloads:
    """
    Pictures of *hosts*, under the rules of `Downloader`, for many threads at once.

    Of one host two are downloaded at a time. One that answers 429, or 503 with a time, is not
    asked before that is over, nor any more when five pictures in a row could not be had. What asks
    by `X-Robots-Tag` to be left is left.

    Args:
        hosts: those that may be asked, redirects included.
        user_agent: what they are told of who asks.
        limits: of one picture.
        takes: says of a picture's bytes whether they begin as one that is read.
    """

    def __init__(
        self,
        hosts: Collection[str],
        clock: Clock,
        user_agent: str,
        *,
        limits: Limits,
        takes: Callable[[bytes], bool],
    ) -> None:
        self._clock = clock
        self._downloader = Downloader(
            hosts,
            clock=clock,
            limits=limits,
            takes=takes,
            connections=AT_ONCE,
            user_agent=user_agent,
            heeds_robots_tag=True,
        )
        self._hosts: dict[str, _Host] = {}
        self._lock = threading.Lock()

    def get(self, url: str) -> bytes:
        """
        Return the bytes of the picture at *url*.

        Raises:
            RejectedImage: see `Downloader.get`.
            Overloaded, Unavailable: it cannot be had now.
        """
        self._downloader.check(url)
        host = self._host(host_of(url))
        if host.failures >= MAX_FAILURES:
            raise Unavailable(f"it was not asked for: {MAX_FAILURES} others of its host failed")
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with host.pace.turn():
                    data = self._downloader.get_once(url)
            except RejectedImage:
                host.failures = 0  # the host answers
                raise
            except NotPublic as error:  # as its name servers have it, or the list itself
                raise RejectedImage(str(error)) from error
            except (Overloaded, Unavailable) as error:
                if isinstance(error, Overloaded) and error.retry_after_seconds:
                    host.pace.rest(error.retry_after_seconds)
                elif attempt < ATTEMPTS:
                    self._clock.sleep(PAUSE_SECONDS * attempt)
                if attempt == ATTEMPTS:
                    host.failures += 1
                    raise
            else:
                host.failures = 0
                return data
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Close the connections that are kept."""
        self._downloader.close()

    def _host(self, name: str) -> _Host:
        with self._lock:
            if name not in self._hosts:
                self._hosts[name] = _Host(Pace(name, AT_ONCE, lambda: 0.0, self._clock))
            return self._hosts[name]


def host_of(url: str) -> str:
    """Return the host that *url* names, in lower case; "" where it names none."""
    try:
        return (parse_url(url).host or "").lower()
    except LocationParseError:
        return ""
