"""What a person asks for, as frozen values, and its bounds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from imagesearch.domain.keywords import normalise_keyword

Scope = Literal["pool", "catalog"]  # the keyword's images, or everything stored so far
MAX_QUERY_CHARACTERS = 500
MAX_TOP_K = 200
MAX_LIKE = 5  # stored images that a query is like
MAX_MINUS = 5  # words for what a query is not about
MAX_UNLIKE = 5  # stored images that a query is not like
LEAST_WEIGHT = 0.01  # of a part
MOST_WEIGHT = 100.0
MAX_IMAGE_ID_CHARACTERS = 200
MAX_PICTURE_BYTES = 10_000_000  # of the pictures of a query together
MAX_TEXT_BYTES = 65_536  # of all else of a request: ten times what its texts need, however escaped
MAX_OFFSET = 1000  # hits before a page; no pool has more images, and no library looks at more


@dataclass(frozen=True)
class TextPart:
    """Words of what is looked for; *weight* says how far they draw the query's direction."""

    text: str
    weight: float = 1.0


@dataclass(frozen=True)
class ImagePart:
    """A stored image of what is looked for."""

    image_id: str
    weight: float = 1.0


@dataclass(frozen=True)
class PicturePart:
    """
    A picture of what is looked for, which is stored nowhere.

    Attributes:
        data: 1 to *MAX_PICTURE_BYTES* bytes, of a JPEG, PNG or WebP file if they are any picture.
        digest: sha256 of *data* in hexadecimal digits.
    """

    data: bytes = field(repr=False)
    weight: float = 1.0
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", hashlib.sha256(self.data).hexdigest())


Part: TypeAlias = TextPart | ImagePart | PicturePart


@dataclass(frozen=True)
class Query:
    """
    What is looked for.

    Attributes:
        parts: one or more that together give one direction, see `ranking.direction`.
        minus: what is not wanted; words demote what shows them, see `References.demotion`, images
            and pictures what is like them, see `ranking.picture_demotion`.
    """

    parts: tuple[Part, ...]
    minus: tuple[Part, ...] = ()

    @classmethod
    def of_text(cls, text: str) -> Query:
        """Return the query that is one sentence, as a person typed it."""
        return cls((TextPart(text),))

    @property
    def text(self) -> str:
        """The words of all parts, to be shown; empty where there are none."""
        return " ".join(part.text for part in self.parts if isinstance(part, TextPart))

    @property
    def is_words(self) -> bool:
        """True where words are all that is looked for, and all that is not wanted."""
        return all(isinstance(part, TextPart) for part in (*self.parts, *self.minus))

    @property
    def like(self) -> tuple[str, ...]:
        """The stored images that are parts."""
        return _image_ids(self.parts)

    @property
    def unlike(self) -> tuple[str, ...]:
        """The stored images that are not wanted."""
        return _image_ids(self.minus)

    @property
    def image_ids(self) -> tuple[str, ...]:
        """All stored images that the query names; none of them is among the hits."""
        return self.like + self.unlike

    @property
    def picture(self) -> PicturePart | None:
        """The first picture among the parts."""
        return _picture(self.parts)

    @property
    def unlike_picture(self) -> PicturePart | None:
        """The first picture that is not wanted."""
        return _picture(self.minus)


def _image_ids(parts: tuple[Part, ...]) -> tuple[str, ...]:
    return tuple(part.image_id for part in parts if isinstance(part, ImagePart))


def _picture(parts: tuple[Part, ...]) -> PicturePart | None:
    return next((part for part in parts if isinstance(part, PicturePart)), None)


@dataclass(frozen=True)
class Cursor:
    """
    Where the next page of an answer begins.

    Attributes:
        offset: how many hits come before it, 1 to *MAX_OFFSET*.
        digest: of the search that it goes on with, see `SearchRequest.digest`.
        chosen_from: names what the hits were chosen from; of anything else the offset says nothing.
    """

    offset: int
    digest: str
    chosen_from: str


@dataclass(frozen=True)
class SearchRequest:
    """
    What a person asks for, within the bounds of design §6.

    Attributes:
        scope: `pool`, the keyword's images, or `catalog`, everything stored so far.
        keyword: as typed, or taken from the sentence; empty in scope `catalog`.
        broader: taken from the sentence: whose images are searched too where *keyword* has few;
            empty where there is none.
        wait_seconds: how long the call may wait for a new pool.
        filters: what each of `domain/filters/` was given, by its name; those that were given.
        cursor: of the page that is asked for; None of the first.
        fold: whether images that look the same come as one hit, see `domain/folding.py`.
    """

    keyword: str
    query: Query
    top_k: int = 10
    wait_seconds: float = 10.0
    scope: Scope = "pool"
    filters: Mapping[str, str] = field(default_factory=dict)
    broader: str = ""
    cursor: Cursor | None = None
    fold: bool = True

    @property
    def digest(self) -> str:
        """What all pages of this search have in common, in 16 hexadecimal digits."""
        parts = [_named(part) for part in self.query.parts]
        minus = [_named(part) for part in self.query.minus]
        filters = sorted(self.filters.items())
        keywords = [normalise_keyword(self.keyword), self.broader]  # as they are looked up
        return short_digest(self.scope, keywords, parts, minus, filters, self.top_k, self.fold)


def short_digest(*values: object) -> str:
    """Return 16 hexadecimal digits that other *values*, of what JSON has, do not share."""
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]


def _named(part: Part) -> list[object]:
    """Return what tells *part* from others."""
    if isinstance(part, TextPart):
        return ["text", part.text, part.weight]
    if isinstance(part, ImagePart):
        return ["image", part.image_id, part.weight]
    return ["picture", part.digest, part.weight]


@dataclass(frozen=True)
class ScoreRequest:
    """
    Score one pool, or in scope `catalog` everything stored, against a query.

    Attributes:
        query: texts of 1 to *MAX_QUERY_CHARACTERS* characters.
        top_k: 1 to *MAX_TOP_K*.
        pool_id, generation: of the pool; not needed in scope `catalog`.
        filters: texts by the names of `domain/filters/`.
        beside: a further pool and its generation, whose images are scored with those of the pool.
        offset: how many of the best hits are left out, 0 to *MAX_OFFSET*: those of earlier pages.
        fold: as in `SearchRequest`; who does not ask for it knows nothing of `SearchHit.similar`.
    """

    query: Query
    top_k: int
    scope: Scope = "pool"
    pool_id: str | None = None
    generation: int | None = None
    filters: Mapping[str, str] = field(default_factory=dict)
    beside: tuple[str, int] | None = None
    offset: int = 0
    fold: bool = False
