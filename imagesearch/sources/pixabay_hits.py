"""A page of Pixabay's listing, read as what a stranger wrote (decision 0052).

Each hit counts by itself: what a search needs is within its bounds or the hit is rejected alone,
with field, bound and value; what is only shown is made harmless, shortened or left out. Asking for
pages is `pixabay_listing.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote, urlsplit

from imagesearch.domain.errors import RejectedImage
from imagesearch.domain.foreign_text import shortened, unicode_of, visible
from imagesearch.domain.images import (
    FIRST_YEAR,
    LAST_YEAR,
    Credit,
    Entry,
    Image,
    ListedImage,
)
from imagesearch.domain.keywords import is_visible
from imagesearch.sources.api_key import ApiKey

# 500 images at all bounds make a listing that one document of Firestore holds.
MAX_ID = 10**18 - 1  # Pixabay's have 8 digits
MAX_SIDE_PIXELS = 100_000  # Pixabay's have at most 960
MAX_URL_CHARACTERS = 400  # Pixabay's have some 200
MAX_USER_CHARACTERS = 100
MAX_TAGS, MAX_TAG_CHARACTERS, MAX_TAGS_BYTES = 30, 60, 500
_MAX_DIGITS = 20  # of a number that is read as one: Python itself refuses those past 4,300
_MAX_DEPTH = 20  # of lists and objects within each other, where some are too deep to be read
_MAX_PRUNED_CHARACTERS = 1_000_000  # some 2 s of Python at the worst; a page has some 200,000
_SHOWN_CHARACTERS = 40  # of a value in a reason

_SUFFIXES = {".jpg": ".jpg", ".jpeg": ".jpg", ".png": ".png", ".webp": ".webp"}
_URL_CHARACTERS = "!#$%&'()*+,-./:;=?@[]_~"  # beside letters and digits: RFC 3986, section 2
_URL = re.compile(rf"[A-Za-z0-9{re.escape(_URL_CHARACTERS)}]+")
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)  # of JSON: text, bracket
# When an image came to Pixabay, by the minute: https://cdn.pixabay.com/photo/2013/10/15/09/12/…
_DATE = re.compile(r"/photo/([0-9]{4})/([0-9]{2})/[0-9]{2}/[0-9]{2}/[0-9]{2}/")
_HOST = re.compile(r"[A-Za-z0-9.-]+")


@dataclass(frozen=True)
class Page:
    """
    One page of a listing.

    Attributes:
        total_hits: how many images can be reached by paging.
        hits: whatever stands in their place.
    """

    total_hits: int
    hits: list[Any]


def parse_object(body: bytes) -> dict[str, Any] | None:
    """Return the JSON object that *body* is, read as `parse_page` reads, or None."""
    try:
        answer = _parsed(body.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None


def parse_page(body: bytes) -> Page | None:
    """
    Return the page that the answer *body* is, or None when it is none.

    What is wrong within one value of it, as bytes that are no UTF-8, control characters, thousands
    of digits or of brackets, is no fault of the page.
    """
    text = body.decode("utf-8-sig", "replace")
    try:
        answer = _parsed(text)
        page = Page(answer["totalHits"], answer["hits"])
    except (ValueError, RecursionError, TypeError, KeyError):
        return None
    return page if type(page.total_hits) is int and isinstance(page.hits, list) else None


def _parsed(text: str) -> Any:
    try:
        return json.loads(text, strict=False, parse_int=_number)
    except RecursionError:
        if len(text) > _MAX_PRUNED_CHARACTERS:
            raise
        return json.loads(_pruned(text), strict=False, parse_int=_number)


def _pruned(text: str) -> str:
    """Return the JSON *text* with `null` for each list or object deeper than `_MAX_DEPTH`."""
    kept, depth, end = [], 0, 0
    for token in _TOKEN.finditer(text):
        if token[0] in ("[", "{"):
            if depth == _MAX_DEPTH:
                kept.append(text[end : token.start()] + "null")
            depth += 1
        elif token[0] in ("]", "}"):
            depth -= 1
            if depth == _MAX_DEPTH:
                end = token.end()
    return "".join(kept) + text[end:]


def _number(digits: str) -> int | str:
    return int(digits) if len(digits) <= _MAX_DIGITS else digits


def plain(text: str, most: int, key: ApiKey) -> str:
    """Return *text* as it may be shown: one line, no controls, no *key*, *most* characters."""
    # Hidden last, as what is dropped may have stood between the characters of the key.
    return shortened(key.hidden_in(visible(text, most)), most)


@dataclass(frozen=True)
class HitReader:
    """
    Makes images of hits.

    Attributes:
        source: the first part of each image_id.
        credit: how the source is called beside an image.
        key: what no text of an image or a reason may hold.
        check_url: raises RejectedImage for a URL that nothing is downloaded from.
    """

    source: str
    credit: str
    key: ApiKey
    check_url: Callable[[str], None]

    def read(self, hits: Sequence[object], first: int) -> list[Entry]:
        """
        Return each hit's image_id and image, or why it cannot be used.

        A hit without a usable id is called by its place in the listing, of which *first* is that
        of the first hit: `pixabay-hit-7`.
        """
        return [self._read(hit, place) for place, hit in enumerate(hits, start=first)]

    def _read(self, hit: object, place: int) -> Entry:
        name = f"hit-{place}"
        try:
            if not isinstance(hit, dict):
                raise RejectedImage(f"a hit must be an object, got {self._shown(hit)}")
            name = self._name(hit)
            return f"{self.source}-{name}", self._listed(f"{self.source}-{name}", hit)
        except RejectedImage as reason:
            return f"{self.source}-{name}", reason

    def _name(self, hit: dict[str, Any]) -> str:
        """Return what the source calls a hit, once for ever."""
        return str(self._whole(hit, "id", 0, MAX_ID))

    def _listed(self, image_id: str, hit: dict[str, Any]) -> ListedImage:
        url = self._download_url("webformatURL", hit.get("webformatURL"))
        year, month = _date(hit.get("previewURL"))
        image = Image(
            image_id=image_id,
            object_name=image_id + suffix_of(url),
            page_url=self._page_url(hit.get("pageURL")),
            width=self._whole(hit, "webformatWidth", 1, MAX_SIDE_PIXELS),
            height=self._whole(hit, "webformatHeight", 1, MAX_SIDE_PIXELS),
            credit=Credit(self._user(hit.get("user")), self.credit),
            tags=self._tags(hit.get("tags")),
            year=year,
            month=month,
        )
        return ListedImage(image, url)

    def _whole(self, hit: dict[str, Any], name: str, least: int, most: int) -> int:
        value = hit.get(name)
        if type(value) is not int or not least <= value <= most:  # True is an int to isinstance
            bound = f"{name} must be a whole number from {least} to {most}"
            raise RejectedImage(f"{bound}, got {self._shown(value)}")
        return value

    def _download_url(self, name: str, value: object) -> str:
        url = value.strip() if isinstance(value, str) else ""
        if len(url) > MAX_URL_CHARACTERS or not _URL.fullmatch(url):
            bound = f"{name} must be a download URL of 1 to {MAX_URL_CHARACTERS} characters"
            raise RejectedImage(f"{bound}, got {self._shown(value)}")
        if self.key.is_in(url):  # its host would be told it, and so would readers of its failure
            raise RejectedImage(f"{name} must not repeat the key")
        try:
            self.check_url(url)
        except RejectedImage as reason:
            raise RejectedImage(f"{name}: {reason}") from None
        return url

    def _page_url(self, value: object) -> str:
        """Return a link that a page may show; "" for `javascript:` and whatever else is none."""
        url = quote(unicode_of(value).strip(), safe=_URL_CHARACTERS)
        if len(url) > MAX_URL_CHARACTERS or self.key.is_in(url):
            return ""
        is_path = url.startswith("/") and not url.startswith("//")  # of the demo gallery
        return url if is_path or _is_web_address(url) else ""

    def _user(self, value: object) -> str:
        user = plain(unicode_of(value), MAX_USER_CHARACTERS, self.key)
        return user if is_visible(user) else "unknown"

    def _licence(self, name: object, url: object) -> tuple[str, str]:
        """Return the name of a licence, and where it is written or ""."""
        name = plain(unicode_of(name), MAX_USER_CHARACTERS, self.key)
        if not is_visible(name):
            raise RejectedImage("it names no licence")
        return name, self._page_url(url)

    def _tags(self, value: object) -> tuple[str, ...]:
        text = visible(unicode_of(value), MAX_TAGS * MAX_TAG_CHARACTERS)
        tags = self.key.hidden_in(text).split(",")
        kept: dict[str, None] = {}
        left_bytes = MAX_TAGS_BYTES
        for tag in filter(is_visible, map(str.strip, tags)):
            size = len(tag.encode())
            fits = len(tag) <= MAX_TAG_CHARACTERS and size <= left_bytes and len(kept) < MAX_TAGS
            if fits and tag not in kept:
                kept[tag] = None
                left_bytes -= size
        return tuple(kept)

    def _shown(self, value: object) -> str:
        """Return *value* as a reason shows it."""
        if isinstance(value, list | dict):  # which may be large, and nested deeper than repr goes
            return "a list" if isinstance(value, list) else "an object"
        if isinstance(value, str):
            value = self.key.hidden_in(value[: 4 * _SHOWN_CHARACTERS])
            value = shortened(value, _SHOWN_CHARACTERS)
        return repr(value)


def suffix_of(url: str) -> str:
    """Return the suffix under which the image at *url* is stored."""
    path = url.partition("?")[0].partition("#")[0]
    return _SUFFIXES.get(PurePosixPath(path).suffix.lower(), ".jpg")


def _date(url: object) -> tuple[int, int]:
    """Return year and month in the *url* of a hit's preview; 0 and 0 where they are not known."""
    date = _DATE.search(url[:MAX_URL_CHARACTERS]) if isinstance(url, str) else None
    year, month = map(int, date.groups()) if date else (0, 0)
    is_date = FIRST_YEAR <= year <= LAST_YEAR and 1 <= month <= 12
    return (year, month) if is_date else (0, 0)


def _is_web_address(url: str) -> bool:
    """True for http and https with a host that is a name, and no user before it."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # which is a number, or raises
    except ValueError:
        return False
    is_name = _HOST.fullmatch(parts.hostname or "") is not None
    return parts.scheme in ("http", "https") and is_name and "@" not in parts.netloc
