"""What a filter says of itself, in a file of its own, and the conditions that it stands for."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any, Literal, TypeAlias, get_args

from imagesearch.domain.errors import InvalidRequest
from imagesearch.domain.images import Collected, Image
from imagesearch.domain.keywords import is_visible, normalise_keyword

Fact = Literal["width", "height", "colours", "year", "month"]
"""What is compared of an image: its attribute of that name, 0 where it is not known."""

FACTS: tuple[Fact, ...] = get_args(Fact)

TextFact = Literal["tag", "user", "source", "collection", "folder", "album", "camera"]
"""Texts that an image has: its tags, whom it is by, where it comes from, and of an own picture the
collections, folders and albums that it is in, and what it was taken with."""

TEXT_FACTS: tuple[TextFact, ...] = get_args(TextFact)

_ALIKE = 32_768  # texts whose normal form is remembered; those of a pool are a few hundred

Comparator = Literal["<", "=", ">", "has"]  # `has`: any of these bits

_COMPARES: Mapping[Comparator, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "=": operator.eq,
    ">": operator.gt,
    "has": lambda bits, some: (bits & some) != 0,
}


@dataclass(frozen=True)
class Comparison:
    """
    One fact of an image, compared with another one or with a number.

    It is what is asked of one image, and what a database applies before it chooses the nearest:
    the two cannot come apart.
    """

    fact: Fact
    comparator: Comparator
    other: Fact | int

    def over(self, fact: Callable[[Fact], Any]) -> Any:
        """Return whether it holds of what *fact* gives: of numbers a bool, of arrays an array."""
        other = fact(self.other) if isinstance(self.other, str) else self.other
        return _COMPARES[self.comparator](fact(self.fact), other)


@dataclass(frozen=True)
class Naming:
    """An image has *text*, in the form of `alike`, for a text fact: one of its tags, its user."""

    fact: TextFact
    text: str


Condition: TypeAlias = Comparison | Naming

Where: TypeAlias = tuple[Condition, ...]
"""All of these hold; without any, every image is meant."""


@lru_cache(_ALIKE)
def alike(text: str) -> str:
    """Return *text* as texts are compared: without regard to case, width and spaces."""
    return normalise_keyword(text)


def texts_of(image: Image, fact: TextFact) -> tuple[str, ...]:
    """Return what *image* has for *fact*, as its source writes it."""
    if fact == "tag":
        return image.tags
    if fact in ("user", "source"):
        return (image.credit.user if fact == "user" else image.credit.source,)
    return collected_texts(image.collected, fact)


def collected_texts(collected: Collected | None, fact: TextFact) -> tuple[str, ...]:
    """Return what is kept of an own picture for *fact*; nothing of any other."""
    if collected is None:
        return ()
    if fact == "camera":
        return (collected.camera,) if collected.camera else ()
    if fact == "folder":
        return (*collected.folders, *_folders_in_collections(collected))
    texts = {
        "collection": collected.collections,
        "album": collected.albums,
    }
    return texts.get(fact, ())


def _folders_in_collections(collected: Collected) -> tuple[str, ...]:
    pairs = product(collected.collections, collected.folders)
    return collected.apart or tuple(folder_in(*pair) for pair in pairs)


def folder_in(collection: str, folder: str) -> str:
    """Return the text that an image has for the fact `folder` which is in *folder* of a collection.

    No folder is called so: it has no `//`.
    """
    return f"{alike(collection)}//{alike(folder)}"


def holds(where: Where, image: Image) -> bool:
    """Return whether *image* is one of those that *where* leaves."""
    return all(_holds(each, image) for each in where)


def _holds(condition: Condition, image: Image) -> bool:
    if isinstance(condition, Naming):
        return condition.text in map(alike, texts_of(image, condition.fact))
    return bool(condition.over(lambda fact: getattr(image, fact)))


@dataclass(frozen=True)
class Filter:
    """
    A filter, as the doors know it.

    Attributes:
        name: of the parameter of `GET /search`; the command line's option is made of it.
        values: what may be given, as a usage line has it: `all|horizontal`, `PIXELS`.
        help: in a sentence, what it leaves.
        where: what a parameter's text stands for; InvalidRequest naming field, bound and value.
        is_number: whether it is a number in JSON, and else a text.
    """

    name: str
    values: str
    help: str
    where: Callable[[str], Where]
    is_number: bool = False


def by_name(filters: Iterable[Filter]) -> dict[str, Filter]:
    """Return *filters* by name; ValueError, and no process starts, where two have the same."""
    named: dict[str, Filter] = {}
    for each in filters:
        if named.setdefault(each.name, each) is not each:
            raise ValueError(f"two filters are called {each.name!r}")
    return named


def choice(name: str, wheres: Mapping[str, Where], help: str) -> Filter:  # noqa: A002 - its field
    """Return the filter *name* whose text is one of the words of *wheres*."""

    def where(text: str) -> Where:
        if text not in wheres:
            bound = f"{name} must be one of {', '.join(wheres)}"
            raise InvalidRequest(f"{bound}, got {text[:64]!r}", field=name)
        return wheres[text]

    return Filter(name, "|".join(wheres), help, where)


def whole_number(name: Fact, values: str, least: int, most: int, help: str) -> Filter:  # noqa: A002
    """Return the filter *name* whose text is the number that the fact of that name must be."""

    def where(text: str) -> Where:
        # Python alone would take "1_0" and digits of every script.
        is_number = text.isascii() and text.isdecimal() and len(text) <= len(str(most))
        if not (is_number and least <= int(text) <= most):
            bound = f"{name} must be a whole number between {least} and {most}"
            raise InvalidRequest(f"{bound}, got {text[:64]!r}", field=name)
        return (Comparison(name, "=", int(text)),)

    return Filter(name, values, help, where, is_number=True)


def naming(name: TextFact, help: str, *, longest: int, most: int = 1) -> Filter:  # noqa: A002
    """
    Return the filter *name* whose text an image must have for the fact of that name.

    Args:
        longest: how many characters it may have.
        most: how many texts may be given, with commas between; an image must have all.
    """

    def where(text: str) -> Where:
        texts = text.split(",") if most > 1 else [text]
        if len(texts) > most or not all(
            len(each) <= longest and is_visible(each) for each in texts
        ):
            several = f"1 to {most} texts, with commas between, each of " if most > 1 else ""
            bound = f"{name} must have {several}1 to {longest} characters that can be seen"
            raise InvalidRequest(f"{bound}, got {text[:64]!r}", field=name)
        return tuple(Naming(name, alike(each)) for each in texts)

    several = f"{name.upper()}[,{name.upper()}...]"
    return Filter(name, several if most > 1 else name.upper(), help, where)
