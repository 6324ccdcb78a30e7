"""A search as a value, as an address holds it, and as the API is asked."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qs, urlencode, urlsplit

PAGE_SIZE = 24  # pictures at a time
MOST_MINUS = 5
MOST_CHARACTERS = {"s_query": 500, "t": 100, "minus": 500}  # as the API counts them
OF_A_COLLECTION = ("folder", "album")
OF_OWN = ("collection", *OF_A_COLLECTION, "camera")
"""Filters that only own pictures pass."""
FILTERS = (*OF_OWN, "year", "month", "orientation", "colour", "tag", "user", "source")
"""Names of all filters, as they are offered."""

_COMMAS = re.compile(r"[,،、，]")


@dataclass(frozen=True)
class Search:
    """
    What somebody looks for.

    Attributes:
        t: the keyword; "" where it is taken from the sentence.
        s_query: the sentence, "" for none.
        minus: what should not be in the picture, in words.
        like: image ids of stored pictures that others are to be like.
        picture: names a picture of the device by its bytes, which the session keeps; "" for none.
        everywhere: whether all that is stored is searched, and not a keyword's pictures.
        filters: values by the filter's name.
    """

    t: str = ""
    s_query: str = ""
    minus: tuple[str, ...] = ()
    like: tuple[str, ...] = ()
    picture: str = ""
    everywhere: bool = False
    filters: Mapping[str, str] = field(default_factory=dict)

    @property
    def can_be_asked(self) -> bool:
        """Whether there is something to compare pictures with."""
        return bool(self.s_query or self.like or self.picture)

    @property
    def collection(self) -> str:
        """The collection that is searched, "" for none."""
        return self.filters.get("collection", "")

    def filtered(self, name: str, value: str) -> Search:
        """Return the search with *value* for the filter *name*, or without that filter for ""."""
        gone = {name, *OF_A_COLLECTION} if name == "collection" else {name}
        others = {other: kept for other, kept in self.filters.items() if other not in gone}
        return in_its_place(replace(self, filters={**others, name: value} if value else others))

    def address(self) -> str:
        """Return the address of the search within the app, such as `/?s_query=two+horses`."""
        params = self._params()
        if self.picture:
            params.append(("picture", self.picture))
        return f"/?{urlencode(params)}" if params else "/"

    def question(self) -> dict[str, object]:
        """Return the parameters of the API, but for the picture."""
        texts = {"t": self.t, "s_query": self.s_query, **self.filters}
        lists = {"minus": list(self.minus), "like": list(self.like)}
        scope = {"scope": "catalog" if self.everywhere else ""}
        given = {**texts, **scope, **lists}
        return {"k": PAGE_SIZE} | {name: value for name, value in given.items() if value}

    def _params(self) -> list[tuple[str, str]]:
        texts = [("t", self.t), ("s_query", self.s_query)]
        scope = [("scope", "catalog")] if self.everywhere else []
        lists = [("minus", word) for word in self.minus] + [("like", like) for like in self.like]
        params = [*texts, *scope, *lists, *self.filters.items()]
        return [(name, value) for name, value in params if value]


def name_of_picture(picture: bytes) -> str:
    """Return what an address calls *picture*: no other has that name, in whatever window."""
    return hashlib.sha256(picture).hexdigest()[:16]


def in_its_place(search: Search) -> Search:
    """Return *search* where it can look: own pictures are of no keyword, nor is a picture."""
    is_own = any(name in search.filters for name in OF_OWN)
    has_words = bool(search.t or search.s_query)
    if search.everywhere or is_own or (search.can_be_asked and not has_words):
        return replace(search, everywhere=True, t="")
    return search


def search_at(address: str) -> Search:
    """Return the search that *address* holds; what it does not know is left out."""
    params = parse_qs(urlsplit(address).query)

    def texts(name: str) -> tuple[str, ...]:
        return tuple(filter(None, (value.strip() for value in params.get(name, ()))))

    def text(name: str) -> str:
        return next(iter(texts(name)), "")

    return in_its_place(
        Search(
            t=text("t"),
            s_query=text("s_query"),
            minus=texts("minus"),
            like=texts("like"),
            picture=text("picture"),
            everywhere=text("scope") == "catalog",
            filters={name: text(name) for name in FILTERS if text(name)},
        )
    )


def listed(text: str) -> tuple[str, ...]:
    """Return the things that commas part in *text*, of whatever script the commas are."""
    return tuple(filter(None, (part.strip() for part in _COMMAS.split(text))))


def longest(texts: Iterable[str]) -> int:
    """Return how many characters the longest of *texts* has, 0 for none."""
    return max((len(text) for text in texts), default=0)
