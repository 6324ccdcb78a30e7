"""What a picture's file, the file beside it, and a list or data set that has it, say of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import islice

from imagesearch.domain.filters.declaration import alike
from imagesearch.domain.foreign_text import one_line
from imagesearch.domain.images import FIRST_YEAR, LAST_YEAR
from imagesearch.domain.keywords import is_visible

MAX_TITLE_CHARACTERS = 200
MAX_LICENCE_CHARACTERS = 200
MAX_USER_CHARACTERS = 100
MAX_CAMERA_CHARACTERS = 100
MAX_TAGS, MAX_TAG_CHARACTERS = 50, 60  # the filter `tag` takes no longer one
REJECTED, MAX_RATING = -1, 5
_MAX_PARTS = 1_000  # of what may be tags, nothing but commas among it


@dataclass(frozen=True)
class Caption:
    """A sentence that is true of a picture; *language* is empty where a set says none."""

    text: str
    language: str = ""


@dataclass(frozen=True)
class PictureFacts:
    """
    What is known of one picture; nothing here is checked against its pixels.

    Attributes:
        year: in which it was taken, FIRST_YEAR to LAST_YEAR; 0 is unknown.
        month: 1 to 12; 0 is unknown.
        camera: make and model, as "Apple iPhone 12".
        rating: 1 to 5; -1 is rejected by its owner, 0 is none.
        title: one line that says what it shows, or is its caption.
        tags: no two are alike to the filter `tag`, and none has a comma.
        user: whom it is by.
        licence, licence_url: its copyright notice, and where that is written.
        place: latitude and longitude in degrees, north and east positive.
        source: the data set that it is of; "" of a person's own picture.
        page_url: its page there, https alone.
        captions: of a data set, which is measured by them; the first is its title.
        place_names: of the town, province and country; tags where places are kept, else nothing.
    """

    year: int = 0
    month: int = 0
    camera: str = ""
    rating: int = 0
    title: str = ""
    tags: tuple[str, ...] = ()
    user: str = ""
    licence: str = ""
    place: tuple[float, float] | None = None
    licence_url: str = ""
    source: str = ""
    page_url: str = ""
    captions: tuple[Caption, ...] = ()
    place_names: tuple[str, ...] = ()


def with_place(facts: PictureFacts) -> PictureFacts:
    """Return *facts* with the names of the place among their tags."""
    tags = tags_of((*facts.tags, *facts.place_names))
    return replace(facts, tags=tags, place_names=())


def without_place(facts: PictureFacts) -> PictureFacts:
    """Return *facts* without the place and its names."""
    return replace(facts, place=None, place_names=())


def joined(first: PictureFacts, second: PictureFacts) -> PictureFacts:
    """Return what *first* knows, what *second* knows besides, and the tags of both."""
    dated = first if first.year else second  # a month belongs to its year
    return PictureFacts(
        year=dated.year,
        month=dated.month,
        camera=first.camera or second.camera,
        rating=first.rating or second.rating,
        title=first.title or second.title,
        tags=tags_of((*first.tags, *second.tags)),
        user=first.user or second.user,
        licence=first.licence or second.licence,
        place=first.place or second.place,
        licence_url=first.licence_url if first.licence else second.licence_url,
        source=first.source or second.source,
        page_url=first.page_url or second.page_url,
        captions=tuple(dict.fromkeys((*first.captions, *second.captions))),
        place_names=first.place_names or second.place_names,
    )


def tags_of(texts: Iterable[str]) -> tuple[str, ...]:
    """
    Return the tags in *texts*, each once, and no more than MAX_TAGS.

    A text with commas or semicolons is several: the filter `tag` has a comma between two. Those
    of more than MAX_TAG_CHARACTERS, which no filter could ask for, are left out.
    """
    kept: dict[str, str] = {}
    parts = (part for text in texts for part in text.replace(";", ",").split(","))
    for part in islice(parts, _MAX_PARTS):
        tag = one_line(part, MAX_TAG_CHARACTERS + 1)
        if len(tag) <= MAX_TAG_CHARACTERS and is_visible(tag):
            kept.setdefault(alike(tag), tag)
    return tuple(kept.values())[:MAX_TAGS]


def one_tag(name: object) -> str:
    """Return a *name*, of a person or an album, as one tag; "" where there is nothing to see."""
    text = name.replace(",", " ").replace(";", " ") if isinstance(name, str) else ""
    tag = one_line(text, MAX_TAG_CHARACTERS)
    return tag if is_visible(tag) else ""


def date_within_bounds(year: int, month: int) -> tuple[int, int]:
    """Return *year* and *month*, 0 where it is unknown; 0 and 0 where they are no picture's."""
    is_date = FIRST_YEAR <= year <= LAST_YEAR and 0 <= month <= 12
    return (year, month) if is_date else (0, 0)


def place_within_bounds(latitude: float, longitude: float) -> tuple[float, float] | None:
    """Return the place, in degrees to some 10 cm, or None where it is none; 0, 0 is none."""
    if not (abs(latitude) <= 90 and abs(longitude) <= 180):  # nor NaN
        return None
    place = round(latitude, 6) + 0.0, round(longitude, 6) + 0.0
    return None if place == (0, 0) else place
