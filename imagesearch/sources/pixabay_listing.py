"""Pixabay behind the port `ImageSource`: its listing, its errors, its rate limit.

Its settings, and what else the rest of the program knows of it, are in `pixabay.py`; what a hit of
the listing may hold is in `pixabay_hits.py`, from where images may be downloaded in `download.py`,
the limits of each request in `http_client.py`, how the key is kept in `api_key.py`.

Source of every parameter, bound and error text: https://pixabay.com/api/docs/.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from imagesearch.domain.errors import (
    InvalidRequest,
    Overloaded,
    RejectedImage,
    SourceRefused,
    Unavailable,
)
from imagesearch.domain.images import Entry, ListedImage, Listing, new_in_each
from imagesearch.domain.pools import SourceOptions
from imagesearch.ports import Clock
from imagesearch.sources.api_key import ApiKey
from imagesearch.sources.declaration import Declaration
from imagesearch.sources.download import Downloader
from imagesearch.sources.exchange import Limits, Reply
from imagesearch.sources.http_client import HttpClient, anywhere
from imagesearch.sources.pixabay import CATEGORIES, COLORS, LANGUAGES, ORIENTATIONS, QUOTA
from imagesearch.sources.pixabay_hits import HitReader, Page, parse_page, plain

API_URL = "https://pixabay.com/api/"
MAX_KEYWORD_CHARACTERS = 100
MAX_POOL_SIZE = 500  # Pixabay lets no query reach further
MIN_PER_PAGE, MAX_PER_PAGE = 3, 200
MAX_WAIT_SECONDS = 5.0  # a longer wait is left to the push door
ATTEMPTS = 3
LISTING_LIMITS = Limits(total_seconds=15.0, max_bytes=5_000_000)  # 200 hits are about 200 kB

_PAST_THE_END = '"page" is out of valid range'


class Pixabay:
    """
    The images of Pixabay, or of a server that answers like it; for many threads at once.

    It asks for `image_type=all`: what kind of picture is meant ("a drawing of a horse") is for the
    semantic query to say. It uses no proxy of the environment, see `http_client.py`.

    Args:
        declaration: whose name the image_ids begin with, and whom they credit.
        api_key: sent with each request and shown nowhere else.
        downloader: gets the images, and says which URLs it would get.
        take_quota: see `Tools`.
        clock: what short waits are slept by.
        api_url: where the listing is.
    """

    limits = LISTING_LIMITS  # of one request for a page of the listing

    def __init__(
        self,
        declaration: Declaration,
        *,
        api_key: str,
        downloader: Downloader,
        take_quota: Callable[[], float],
        clock: Clock,
        api_url: str = API_URL,
    ) -> None:
        self._key = ApiKey(api_key)
        self._downloader = downloader
        self._take_quota = take_quota
        self._clock = clock
        self._api_url = api_url
        self._hits = HitReader(declaration.name, declaration.credit, self._key, downloader.check)
        self._credit = declaration.credit
        self._http = HttpClient(limits=self.limits, connections=4, guard=anywhere)

    def close(self) -> None:
        """Close the connections to the listing and to the images."""
        self._http.close()
        self._downloader.close()

    def pages(self, keyword: str, options: SourceOptions) -> Iterator[Listing]:
        """
        Yield the most popular images for *keyword*, by pages of at most 200.

        They are `options.pool_size` in all at the most. An image that was rejected counts too, so
        that a pool never costs more requests than its size calls for.

        Raises:
            InvalidRequest: keyword or an option is outside of Pixabay's bounds.
            SourceRefused: Pixabay answered 400: a bad key or parameter.
            Overloaded: the rate limit is reached for longer than MAX_WAIT_SECONDS.
            Unavailable: Pixabay is down, slow or answers nonsense.
        """
        return new_in_each(self._entries(_parameters(keyword, options)), options.pool_size)

    def _entries(self, parameters: Mapping[str, Any]) -> Iterator[list[Entry]]:
        """Yield what the hits of each page are."""
        per_page = parameters["per_page"]
        for number in itertools.count(1):
            page = self._page({**parameters, "page": number})
            yield self._hits.read(page.hits[:per_page], (number - 1) * per_page + 1)
            reachable = min(page.total_hits, MAX_POOL_SIZE)
            if len(page.hits) < per_page or number * per_page >= reachable:
                return

    def download(self, image: ListedImage) -> bytes:
        """
        Return the bytes of *image*.

        Raises:
            RejectedImage: this image cannot be had.
            Unavailable: it could not be had now.
        """
        try:
            return self._downloader.get(image.download_url)
        except (RejectedImage, Unavailable) as error:
            # The host was told the key with the listing, and may lead to a name that holds it.
            failure = type(error)(self._key.hidden_in(str(error)))
        raise failure

    def _page(self, parameters: Mapping[str, str | int]) -> Page:
        reply = self._ask(parameters)
        if reply.status == 200:
            if reply.body is None:
                most = f"more than {self.limits.max_bytes} bytes"
                raise Unavailable(f"{self._credit} answered with {most}")
            if (page := parse_page(reply.body)) is not None:
                return page
            raise Unavailable(f"{self._credit} answered 200, but not with a listing")
        text = self._text(reply)
        if reply.status != 400 or text.startswith("<"):
            raise Unavailable(f"{self._credit} answered {reply.status}")
        if _PAST_THE_END in text and parameters["page"] != 1:
            return Page(0, [])
        raise SourceRefused(f"{self._credit} refused the request: {text}")

    def _ask(self, parameters: Mapping[str, str | int]) -> Reply:
        """Return the answer, whatever its status, asking again after a short wait for quota."""
        wait_seconds = 0.0
        for _ in range(ATTEMPTS):
            self._clock.sleep(wait_seconds)
            answer = self._ask_once(parameters)
            if isinstance(answer, Reply):
                return answer
            wait_seconds = answer
            if wait_seconds > MAX_WAIT_SECONDS:
                break
        message = f"the rate limit of {self._credit} is reached"
        raise Overloaded(message, retry_after_seconds=wait_seconds)

    def _ask_once(self, parameters: Mapping[str, str | int]) -> Reply | float:
        """Return the answer, or the seconds until the rate limit lets another request through."""
        wait_seconds = self._take_quota()
        if wait_seconds > 0.0:
            return wait_seconds
        reply = self._get(parameters)
        if isinstance(reply, Unavailable):
            raise reply
        return _reset_seconds(reply) if reply.status == 429 else reply

    def _get(self, parameters: Mapping[str, str | int]) -> Reply | Unavailable:
        # The only place that sees the key: nothing is raised through this frame.
        query = urlencode({"key": self._key.reveal(), **parameters}, errors="replace")
        reply = self._http.get(f"{self._api_url}?{query}", total_seconds=self.limits.total_seconds)
        if isinstance(reply, Unavailable):
            return Unavailable(f"{self._credit} is not available: {reply}")
        return reply

    def _text(self, reply: Reply) -> str:
        """Return the beginning of an error's plain text, without the key if it is repeated."""
        text = (reply.body or b"")[:10_000].decode("utf-8", "replace")
        return plain(text, 200, self._key)


def _parameters(keyword: str, options: SourceOptions) -> dict[str, Any]:
    _check(keyword, options)
    optional = {"category": options.category, "colors": options.colors}
    return {
        "q": keyword,
        "lang": options.language,
        "image_type": "all",
        "orientation": options.orientation,
        "safesearch": "true" if options.safesearch else "false",
        "order": "popular",
        "per_page": min(max(options.pool_size, MIN_PER_PAGE), MAX_PER_PAGE),
        **{name: value for name, value in optional.items() if value},
    }


def _check(keyword: str, options: SourceOptions) -> None:
    _check_between("keyword", "characters", len(keyword), MAX_KEYWORD_CHARACTERS)
    _check_between("pool_size", "images", options.pool_size, MAX_POOL_SIZE)
    _check_choice("language", options.language, LANGUAGES)
    _check_choice("orientation", options.orientation, ORIENTATIONS)
    if options.category:
        _check_choice("category", options.category, CATEGORIES)
    for color in options.colors.split(",") if options.colors else ():
        _check_choice("colors", color, COLORS)


def _check_between(field: str, unit: str, value: int, highest: int) -> None:
    if not 1 <= value <= highest:
        message = f"{field} must have between 1 and {highest} {unit}, got {value}"
        raise InvalidRequest(message, field=field)


def _check_choice(field: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        message = f"{field} must be one of {' '.join(choices)}, got {value!r}"
        raise InvalidRequest(message, field=field)


def _reset_seconds(reply: Reply) -> float:
    """Return the seconds until the rate limit ends, 1..60; 60 when the answer does not say."""
    try:
        seconds = float(reply.headers.get("X-RateLimit-Reset", ""))
    except ValueError:
        return QUOTA.period_seconds
    if not math.isfinite(seconds):
        return QUOTA.period_seconds
    return min(max(seconds, 1.0), QUOTA.period_seconds)
