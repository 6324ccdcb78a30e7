"""Openverse: openly licensed photographs of many sites, without an account.

Source of parameters, bounds and answers: https://api.openverse.org/v1/ and its repository,
https://github.com/WordPress/openverse. Without a token 20 results come at a time, and no more than
240 in all. Thumbnails alone are downloaded: originals are anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from imagesearch.domain.errors import RejectedImage, Unavailable
from imagesearch.domain.images import Credit, Entry, Image, ListedImage, Listing, new_in_each
from imagesearch.domain.pools import SourceOptions
from imagesearch.sources.contact import ContactSettings
from imagesearch.sources.declaration import Declaration, Quota, Tools
from imagesearch.sources.open_source import OpenSource
from imagesearch.sources.open_texts import date_of, flickr_ids, words_of
from imagesearch.sources.pixabay_hits import MAX_SIDE_PIXELS, HitReader, suffix_of

API_URL = "https://api.openverse.org/v1/images/"  # without the last slash it redirects
PER_PAGE = 20
MOST = 240
THUMBNAIL_WIDTH = 600
# https://commons.wikimedia.org/w/index.php?curid=7, where 7 is what `commons.py` has as `pageid`.
_COMMONS_PAGE = re.compile(r"https://commons\.wikimedia\.org/w/index\.php\?curid=([0-9]{1,18})\Z")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Openverse(OpenSource):
    """The images of Openverse; for many threads at once."""

    def __init__(
        self, contact: str, tools: Tools, *, api_url: str = API_URL, origin: str | None = None
    ) -> None:
        super().__init__(OPENVERSE, _HitReader, contact, tools, api_url=api_url, origin=origin)

    def pages(self, keyword: str, options: SourceOptions) -> Iterator[Listing]:
        """
        Yield what Openverse finds for *keyword*, by 20, the most relevant first: see the port.

        Raises:
            InvalidRequest: keyword has no word.
        """
        # `mature` is left out: any value of it lets more through, and `category` leaves out most.
        # Thumbnails of Wikimedia's may fail, and `commons.py` has its pictures.
        parameters = {
            "q": words_of(keyword, OPENVERSE.credit),
            "page_size": PER_PAGE,
            "excluded_source": "wikimedia",
        }
        most = min(options.pool_size, MOST)
        return new_in_each(self._entries(parameters), most)

    def _entries(self, parameters: dict[str, Any]) -> Iterator[list[Entry]]:
        for number in range(1, MOST // PER_PAGE + 1):
            answer = self._listing.ask({**parameters, "page": number}, 0.0)
            hits, count = answer.get("results"), answer.get("page_count")
            if not isinstance(hits, list):
                raise Unavailable(f"{OPENVERSE.credit} answered 200, but not with a listing")
            yield self._reader.read(hits[:PER_PAGE], (number - 1) * PER_PAGE + 1)
            if type(count) is not int or number >= count:
                return


class _HitReader(HitReader):
    """Makes images of results."""

    def _name(self, hit: dict[str, Any]) -> str:
        name = hit.get("id")
        if not isinstance(name, str) or not _UUID.fullmatch(name):
            raise RejectedImage(f"id must be a UUID in small letters, got {self._shown(name)}")
        return name

    def _listed(self, image_id: str, hit: dict[str, Any]) -> ListedImage:
        if hit.get("mature") is True:
            raise RejectedImage("it is marked as mature")
        url = self._download_url("thumbnail", hit.get("thumbnail"))
        licence, licence_url = self._licence(licence_of(hit), hit.get("license_url"))
        width, height = self._size(hit)
        year, month = date_of(hit.get("indexed_on"))
        image = Image(
            image_id=image_id,
            object_name=image_id + suffix_of(f"thumb.{hit.get('filetype')}"),
            page_url=self._page_url(hit.get("foreign_landing_url")),
            width=width,
            height=height,
            credit=Credit(self._user(hit.get("creator")), self.credit, licence, licence_url),
            tags=self._tags(_tags(hit.get("tags"))),
            year=year,
            month=month,
        )
        return ListedImage(image, url, origin=_origin(hit.get("foreign_landing_url")))

    def _size(self, hit: dict[str, Any]) -> tuple[int, int]:
        """Return the size of the thumbnail; 0 and 0 where that of the original is not known."""
        if hit.get("width") is None or hit.get("height") is None:
            return 0, 0
        width, height = (self._whole(hit, side, 1, MAX_SIDE_PIXELS) for side in ("width", "height"))
        scale = min(1.0, THUMBNAIL_WIDTH / width)
        return round(width * scale), max(1, round(height * scale))


def licence_of(hit: dict[str, Any]) -> str:
    """Return the name of the licence of *hit*, as `CC BY-SA 4.0`; "" for none."""
    code, version = hit.get("license"), hit.get("license_version")
    if not isinstance(code, str) or not code:
        return ""
    names = {"pdm": "Public Domain Mark", "cc0": "CC0"}
    name = names.get(code, f"CC {code.upper()}")
    return f"{name} {version}" if isinstance(version, str) and version else name


def _origin(url: object) -> str | None:
    """Return what the site that a picture is from calls it, where another source may say so too."""
    if isinstance(url, str) and (page := _COMMONS_PAGE.match(url)):
        return f"commons-{page[1]}"
    return next(iter(flickr_ids(url)), None)


def _tags(tags: object) -> str:
    """Return the tags that people gave: a machine's have an accuracy."""
    objects = [tag for tag in tags if isinstance(tag, dict)] if isinstance(tags, list) else []
    names = [tag.get("name") for tag in objects if tag.get("accuracy") is None]
    return ",".join(name.replace(",", " ") for name in names if isinstance(name, str))


OPENVERSE = Declaration(
    name="openverse",
    credit="Openverse",
    hosts=("api.openverse.org",),
    # Without an account 20 in a minute and 200 in a day: a full bucket, and what fills it again.
    quota=Quota(10, 60.0),
    daily_quota=Quota(100, 86_400.0),
    download_quota=Quota(75, 60.0),  # of thumbnails 150 in a minute
    max_age_seconds=7 * 86_400.0,  # for which its searches may be cached
    settings=ContactSettings,
    needs=(),
    connect=lambda settings, tools: Openverse(settings.source_contact, tools),
    site="https://openverse.org/",
    note="This program uses Openverse and is not endorsed by it.",
)
