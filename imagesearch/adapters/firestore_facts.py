"""What Firestore itself filters embeddings by: the fields, and which of them have a vector index.

Each vector index keeps every embedding once more, and a plan of Firestore's has a bound of indexes,
so that they are few: `terraform/firestore.tf` makes those of *INDEXED* and no other. What none of
them covers is asked of the images that are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from imagesearch.adapters.records import Fields
from imagesearch.domain.filters.declaration import (
    Comparison,
    Condition,
    Fact,
    TextFact,
    Where,
    alike,
    texts_of,
)
from imagesearch.domain.images import Image
from imagesearch.domain.tag_words import words_of_tags

FACTS_VERSION: Final = 1  # of what `facts_fields` writes; embeddings without are not searched by it
INDEXED: Final[tuple[Fact | TextFact, ...]] = ("user", "tag", "collection", "year")
"""The facts with an index beside `model_revision`, that which leaves least of a catalog first."""

NEVER_LACKED: Final[tuple[Fact | TextFact, ...]] = ("collection",)
"""Those that no embedding lacks, whatever wrote it: what had none of them was in no collection. For
the same reason `collection` came without another FACTS_VERSION, which every embedding would have to
be written for before anything is filtered by."""

LISTS: Final = frozenset({"tag", "collection"})
"""Those of them of which an image has several: an array in Firestore, of no entry where empty."""


@dataclass(frozen=True)
class PreFilter:
    """What Firestore applies before it chooses: *field* `op` *value*; *rest* is left to others."""

    field: str
    op: str
    value: str | int
    rest: Where


def facts_fields(image: Image) -> Fields:
    """Return the fields that are filtered by, in the form of `alike`; unknown ones are left out."""
    facts: dict[str, Any] = {
        "user": alike(image.credit.user),
        "tag": _texts(image, "tag"),
        # Empty, and not left out: a write leaves what it does not name as it is.
        "collection": _texts(image, "collection"),
        "year": image.year,
        "words": words_of_tags(image.texts),
    }
    return {"facts": facts, "facts_version": FACTS_VERSION}


def _texts(image: Image, fact: TextFact) -> list[str]:
    return sorted(set(map(alike, texts_of(image, fact))))


def pre_filter_of(where: Where, facts: Sequence[Fact | TextFact] = INDEXED) -> PreFilter | None:
    """
    Return what of *where* an index covers, the condition that leaves least; None if nothing.

    Args:
        facts: those of INDEXED that may be filtered by.
    """
    covered = [(INDEXED.index(each.fact), each) for each in where if _is_covered(each, facts)]
    if not covered:
        return None
    _, condition = min(covered, key=lambda pair: pair[0])
    value = condition.other if isinstance(condition, Comparison) else condition.text
    op = "array_contains" if condition.fact in LISTS else "=="
    rest = tuple(each for each in where if each is not condition)
    return PreFilter(f"facts.{condition.fact}", op, value, rest)


def _is_covered(condition: Condition, facts: Sequence[Fact | TextFact]) -> bool:
    if condition.fact not in facts:
        return False
    return not isinstance(condition, Comparison) or (
        condition.comparator == "=" and isinstance(condition.other, int)
    )
