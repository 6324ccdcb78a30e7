"""Wikimedia Commons: photographs without an account, by its Action API.

What it allows, of its robot policy and its rate limits: a User-Agent with a contact, 200 requests a
minute with those for thumbnails, one API request and two downloads at a time, and the widths of
https://www.mediawiki.org/wiki/Common_thumbnail_sizes. Parameters and answers:
https://www.mediawiki.org/wiki/API:Imageinfo and https://www.mediawiki.org/wiki/Help:CirrusSearch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from imagesearch.domain.errors import Overloaded, RejectedImage, SourceRefused, Unavailable
from imagesearch.domain.images import (
    Credit,
    Entry,
    Image,
    ListedImage,
    Listing,
    new_in_each,
)
from imagesearch.domain.pools import SourceOptions
from imagesearch.sources.contact import ContactSettings
from imagesearch.sources.declaration import Declaration, Quota, Tools
from imagesearch.sources.open_source import OpenSource
from imagesearch.sources.open_texts import date_of, flickr_ids, text_of, words_of
from imagesearch.sources.pixabay_hits import MAX_ID, MAX_SIDE_PIXELS, HitReader, suffix_of

API_URL = "https://commons.wikimedia.org/w/api.php"
PER_PAGE = 50  # no more are given a thumbnail in one answer
WIDTHS = (20, 40, 60, 120, 250, 330, 500, 960, 1280, 1920, 3840)  # any other is answered 400
WIDTH = 960
SLOW_REST_SECONDS = 5.0  # after an answer that took more than a second
_MIME = ("image/jpeg", "image/png", "image/webp")
_METADATA = (
    "LicenseShortName|LicenseUrl|UsageTerms|NonFree|Attribution|Artist|Credit|Categories"
    "|DeletionReason"
)
# Of an error's code: what is wrong with the request, and would be again.
_REFUSALS = ("bad", "invalid", "missing", "unknown", "unrecognized", "blocked", "permission")
_WIDTH = re.compile(r"(?:^|-)([0-9]+)px-")


class Commons(OpenSource):
    """The images of Wikimedia Commons; for many threads at once."""

    def __init__(
        self, contact: str, tools: Tools, *, api_url: str = API_URL, origin: str | None = None
    ) -> None:
        super().__init__(COMMONS, _PageReader, contact, tools, api_url=api_url, origin=origin)

    def pages(self, keyword: str, options: SourceOptions) -> Iterator[Listing]:
        """
        Yield what Commons finds for *keyword*, by 50, the best first: see the port.

        Raises:
            InvalidRequest: keyword has no word.
        """
        parameters = _parameters(words_of(keyword, COMMONS.credit), options.pool_size)
        return new_in_each(self._entries(parameters, options.pool_size), options.pool_size)

    def _entries(self, parameters: dict[str, Any], most: int) -> Iterator[list[Entry]]:
        place, pages = 1, dict[Any, dict[str, Any]]()
        further: dict[str, Any] = {}
        for _ in range(2 * (-(-most // PER_PAGE))):  # image info may come in two answers
            answer = self._ask({**further, **parameters})
            _merge(pages, answer)
            if not (further := _continuation(answer)) or answer.get("batchcomplete"):
                listing = sorted(pages.values(), key=_index)
                yield self._reader.read(listing, place)
                place, pages = place + len(listing), {}
            if not further:
                return

    def _ask(self, parameters: dict[str, Any]) -> dict[str, Any]:
        answer = self._listing.ask(parameters, SLOW_REST_SECONDS)
        if not (error := answer.get("error")):
            return answer
        code, info = (
            (text_of(error.get("code")), text_of(error.get("info")))
            if isinstance(error, dict)
            else ("of no form", "")
        )
        message = f"{COMMONS.credit} answered with the error {code[:50]}: {info[:100]}"
        if code in ("ratelimited", "maxlag"):
            self._listing.rest(SLOW_REST_SECONDS)
            raise Overloaded(message, retry_after_seconds=SLOW_REST_SECONDS)
        raise (SourceRefused if code.startswith(_REFUSALS) else Unavailable)(message)


class _PageReader(HitReader):
    """Makes images of the pages of files, as `imageinfo` describes them."""

    def _name(self, hit: dict[str, Any]) -> str:
        return str(self._whole(hit, "pageid", 1, MAX_ID))

    def _listed(self, image_id: str, hit: dict[str, Any]) -> ListedImage:
        infos = hit.get("imageinfo")
        info = infos[0] if isinstance(infos, list) and infos else None
        if not isinstance(info, dict):
            raise RejectedImage("imageinfo must be a list with an object, got none")
        if info.get("mime") not in _MIME:
            bound = f"mime must be one of {' '.join(_MIME)}"
            raise RejectedImage(f"{bound}, got {self._shown(info.get('mime'))}")
        url = self._thumbnail(info)
        metadata = _metadata(info)
        if metadata["NonFree"] == "true" or metadata["DeletionReason"]:
            raise RejectedImage("it is not free, or is proposed for deletion")
        name = metadata["LicenseShortName"] or metadata["UsageTerms"]
        licence, licence_url = self._licence(name, _whole_url(metadata["LicenseUrl"]))
        user = metadata["Attribution"] or metadata["Artist"] or info.get("user")
        year, month = date_of(info.get("timestamp"))
        image = Image(
            image_id=image_id,
            object_name=image_id + suffix_of(url),
            page_url=self._page_url(info.get("descriptionurl")),
            width=self._whole(info, "thumbwidth", 1, MAX_SIDE_PIXELS),
            height=self._whole(info, "thumbheight", 1, MAX_SIDE_PIXELS),
            credit=Credit(self._user(user), self.credit, licence, licence_url),
            tags=self._tags(metadata["Categories"].replace(",", " ").replace("|", ",")),
            year=year,
            month=month,
        )
        return ListedImage(image, url, origin=_origin(info))

    def _thumbnail(self, info: dict[str, Any]) -> str:
        url = self._download_url("thumburl", info.get("thumburl"))
        folder, _, name = urlsplit(url).path.rpartition("/")
        width = _WIDTH.search(name) if "/thumb/" in folder else None
        if width and width[1] not in map(str, WIDTHS):
            raise RejectedImage(
                f"thumburl must have one of the widths {' '.join(map(str, WIDTHS))}, got {width[1]}"
            )
        return url


def _parameters(words: str, pool_size: int) -> dict[str, Any]:
    return {
        "action": "query",
        "format": "json",
        "formatversion": 2,
        "generator": "search",
        "gsrnamespace": 6,
        "gsrsearch": f"{words} filemime:image/jpeg",
        "gsrlimit": min(pool_size, PER_PAGE),
        "prop": "imageinfo",
        "iiprop": "url|size|mime|extmetadata|timestamp|user",
        "iiurlwidth": WIDTH,
        "iiextmetadatafilter": _METADATA,
        "iiextmetadatalanguage": "en",
    }


def _merge(pages: dict[Any, dict[str, Any]], answer: dict[str, Any]) -> None:
    """Take over the pages of *answer*, each of which may lack what another answer has of it."""
    query = answer.get("query", {})
    listing = query.get("pages", []) if isinstance(query, dict) else None
    if not isinstance(listing, list):
        raise Unavailable(f"{COMMONS.credit} answered 200, but not with a listing")
    for place, page in enumerate(listing):
        if isinstance(page, dict):
            key = str(page.get("pageid", f"{len(pages)}-{place}"))
            pages[key] = {**pages.get(key, {}), **page}


def _continuation(answer: dict[str, Any]) -> dict[str, Any]:
    further = answer.get("continue")
    return further if isinstance(further, dict) else {}


def _index(page: dict[str, Any]) -> int:
    """Return the place of a page in the search; answers have the order of the database."""
    index = page.get("index")
    return index if type(index) is int else MAX_ID


def _metadata(info: dict[str, Any]) -> dict[str, str]:
    """Return the values of `extmetadata` as texts, "" for those that are absent."""
    return {name: text_of(_value(info, name)) for name in _METADATA.split("|")}


def _value(info: dict[str, Any], name: str) -> object:
    given = info.get("extmetadata")
    value = given.get(name) if isinstance(given, dict) else None
    return value.get("value") if isinstance(value, dict) else None


def _origin(info: dict[str, Any]) -> str | None:
    """Return the photograph of Flickr's that a file is, where its credit links to that one."""
    ids = flickr_ids(_value(info, "Credit"))
    return ids.pop() if len(ids) == 1 else None


def _whole_url(url: str) -> str:
    return f"https:{url}" if url.startswith("//") else url


COMMONS = Declaration(
    name="commons",
    credit="Wikimedia Commons",
    hosts=("upload.wikimedia.org", "thumb.wikimedia.org"),
    # 3 + 60 in a minute, and fewer than 5 in a second; of downloads 20 + 100: below 200 together.
    quota=Quota(3, 3.0),
    download_quota=Quota(20, 12.0),
    max_age_seconds=86_400.0,  # a file that is deleted there is gone here a day later
    settings=ContactSettings,
    needs=("source_contact",),
    connect=lambda settings, tools: Commons(settings.source_contact, tools),
    site="https://commons.wikimedia.org/",
)
