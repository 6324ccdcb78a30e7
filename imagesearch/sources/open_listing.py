"""What the listings of open sources have in common: bounded requests and downloads.

A source counts its requests, and says in the User-Agent who asks: `pace.py`, `contact.py`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from imagesearch.domain.errors import Overloaded, SourceRefused, Unavailable
from imagesearch.domain.images import ListedImage
from imagesearch.sources.declaration import Declaration, Tools
from imagesearch.sources.exchange import Limits, Reply
from imagesearch.sources.http_client import HttpClient, anywhere
from imagesearch.sources.pace import Pace
from imagesearch.sources.pixabay_hits import parse_object

LIMITS = Limits(total_seconds=20.0, max_bytes=5_000_000)
DEFAULT_RETRY_SECONDS = 5.0  # what Wikimedia asks for where an answer does not say
DOWNLOADS = 2  # at a time, over all hosts: what Wikimedia allows
_ATTEMPTS = 3


class OpenListing:
    """
    Asks the API of *declaration*'s source, one request at a time, and downloads its images.

    Args:
        user_agent: of each request.
        origin: an origin on loopback that stands in for the hosts of images, for tests.
    """

    def __init__(
        self,
        declaration: Declaration,
        tools: Tools,
        *,
        api_url: str,
        user_agent: str,
        origin: str | None = None,
    ) -> None:
        self._credit, self._api_url = declaration.credit, api_url
        self.downloader = tools.downloader(origin, user_agent)
        self._asking = Pace(declaration.credit, 1, tools.take_quota, tools.clock)
        self._loading = Pace(declaration.credit, DOWNLOADS, tools.take_download, tools.clock)
        self._http = HttpClient(limits=LIMITS, connections=1, guard=anywhere, user_agent=user_agent)

    def close(self) -> None:
        """Close the connections, and let nobody wait for a turn any more."""
        self._asking.close()
        self._loading.close()
        self._http.close()
        self.downloader.close()

    def download(self, image: ListedImage) -> bytes:
        """Return the bytes of *image*: see the port; a 429 is waited out by all downloads."""
        for _ in range(_ATTEMPTS):
            try:
                with self._loading.turn():
                    return self.downloader.get_once(image.download_url)
            except Overloaded as error:
                self._loading.rest(error.retry_after_seconds or DEFAULT_RETRY_SECONDS)
        raise Unavailable(f"{self._credit} lets no more images be downloaded now")

    def ask(self, parameters: Mapping[str, Any], slow_rest_seconds: float) -> dict[str, Any]:
        """
        Return the JSON object that is answered.

        Args:
            slow_rest_seconds: no request follows for so long after an answer of more than 1 s.

        Raises:
            SourceRefused: 400, 401 or 403.
            Overloaded: 429, or the quota is used up.
            Unavailable: anything else that is no answer.
        """
        with self._asking.turn():
            begin = time.monotonic()
            reply = self._http.get(
                f"{self._api_url}?{urlencode(parameters, errors='replace')}",
                total_seconds=LIMITS.total_seconds,
            )
            if time.monotonic() - begin > 1.0:
                self._asking.rest(slow_rest_seconds)
        if isinstance(reply, Unavailable):
            raise Unavailable(f"{self._credit} is not available: {reply}")
        self._check(reply)
        if reply.body is None:
            raise Unavailable(f"{self._credit} answered with more than {LIMITS.max_bytes} bytes")
        if (answer := parse_object(reply.body)) is None:
            raise Unavailable(f"{self._credit} answered 200, but not with a listing")
        return answer

    def rest(self, seconds: float) -> None:
        """Ask nothing for *seconds*."""
        self._asking.rest(seconds)

    def _check(self, reply: Reply) -> None:
        if reply.status == 429:
            seconds = reply.retry_after_seconds or DEFAULT_RETRY_SECONDS
            self._asking.rest(seconds)
            message = f"the rate limit of {self._credit} is reached"
            raise Overloaded(message, retry_after_seconds=seconds)
        if reply.status in (400, 401, 403):
            hint = "; it may refuse this address, or SOURCE_CONTACT" if reply.status == 403 else ""
            raise SourceRefused(f"{self._credit} answered {reply.status}{hint}")
        if reply.status != 200:
            raise Unavailable(f"{self._credit} answered {reply.status}")
