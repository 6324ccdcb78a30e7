"""What a filter says of itself, in a file of its own, and the comparisons that it stands for."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from imagesearch.domain.errors import InvalidRequest
from imagesearch.domain.images import Image

Fact = Literal["width", "height", "colours"]
"""What is compared of an image: its attribute of that name, 0 where it is not known."""

FACTS: tuple[Fact, ...] = get_args(Fact)

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


Where: TypeAlias = tuple[Comparison, ...]
"""All of these hold; without any, every image is meant."""


def holds(where: Where, image: Image) -> bool:
    """Return whether *image* is one of those that *where* leaves."""
    return all(each.over(lambda fact: getattr(image, fact)) for each in where)


@dataclass(frozen=True)
class Filter:
    """
    A filter, as the doors know it.

    Attributes:
        name: of the parameter of `GET /search`; the command line's option is made of it.
        values: what may be given, as a usage line has it: `all|horizontal`, `PIXELS`.
        help: in a sentence, what it leaves.
        where: what a parameter's text stands for; InvalidRequest naming field, bound and value.
    """

    name: str
    values: str
    help: str
    where: Callable[[str], Where]


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
