"""Texts to and from open sources: a keyword without operators, HTML as a reader sees it."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from imagesearch.domain.errors import InvalidRequest
from imagesearch.domain.images import FIRST_YEAR, LAST_YEAR

# What a search language reads as more than a word; a hyphen, a dot or an apostrophe within is none.
_OPERATORS = str.maketrans(dict.fromkeys('!"#$%()*+,/:;<=>?@[\\]^_`{|}~', " "))
_FLICKR = re.compile(r"//(?:www\.)?flickr\.com/photos/[^/\"'<> ]{1,80}/([0-9]{1,18})(?![0-9])")
_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-")


def words_of(keyword: str, source: str) -> str:
    """Return *keyword* without what a search language reads as an operator."""
    words = [word.strip("-&") for word in keyword.translate(_OPERATORS).split()]
    if text := " ".join(filter(None, words)):
        return text
    raise InvalidRequest(f"keyword must have a word for {source}, got {keyword!r}", field="keyword")


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002 - its name is given
        self._hidden += tag in ("script", "style")
        self.parts.append("" if tag in ("a", "b", "i", "bdi", "span") else " ")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("script", "style") and self._hidden > 0

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.parts.append(data)


def text_of(html: object) -> str:
    """Return what a reader sees of *html*, without tags; "" for what is no text."""
    if not isinstance(html, str):
        return ""
    parser = _Text()
    parser.feed(html[:20_000])
    parser.close()
    return " ".join("".join(parser.parts).split())


def flickr_ids(text: object) -> set[str]:
    """Return what *text* links to of Flickr's photographs, each as `flickr-51745389858`."""
    links = _FLICKR.findall(text[:20_000]) if isinstance(text, str) else ()
    return {f"flickr-{number}" for number in links}


def date_of(timestamp: object) -> tuple[int, int]:
    """Return year and month of an ISO 8601 *timestamp*; 0 and 0 where they are not known."""
    date = _DATE.match(timestamp) if isinstance(timestamp, str) else None
    year, month = map(int, date.groups()) if date else (0, 0)
    is_date = FIRST_YEAR <= year <= LAST_YEAR and 1 <= month <= 12
    return (year, month) if is_date else (0, 0)
