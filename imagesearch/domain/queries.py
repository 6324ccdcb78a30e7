"""What a person asks for, as frozen values, and its bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Scope = Literal["pool", "catalog"]  # the keyword's images, or everything stored so far
MAX_QUERY_CHARACTERS = 500
MAX_TOP_K = 200


@dataclass(frozen=True)
class TextPart:
    """Words of what is looked for; *weight* says how far they draw the query's direction."""

    text: str
    weight: float = 1.0


@dataclass(frozen=True)
class Query:
    """What is looked for: parts that together give one direction, see `ranking.direction`."""

    parts: tuple[TextPart, ...]

    @classmethod
    def of_text(cls, text: str) -> Query:
        """Return the query that is one sentence, as a person typed it."""
        return cls((TextPart(text),))

    @property
    def text(self) -> str:
        """The words of all parts, to be shown."""
        return " ".join(part.text for part in self.parts)


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
    """

    keyword: str
    query: Query
    top_k: int = 10
    wait_seconds: float = 10.0
    scope: Scope = "pool"
    filters: Mapping[str, str] = field(default_factory=dict)
    broader: str = ""


@dataclass(frozen=True)
class ScoreRequest:
    """
    Score one pool, or in scope `catalog` everything stored, against a query.

    Attributes:
        query: 1 to *MAX_QUERY_CHARACTERS* characters.
        top_k: 1 to *MAX_TOP_K*.
        pool_id, generation: of the pool; not needed in scope `catalog`.
        filters: texts by the names of `domain/filters/`.
        beside: a further pool and its generation, whose images are scored with those of the pool.
    """

    query: str
    top_k: int
    scope: Scope = "pool"
    pool_id: str | None = None
    generation: int | None = None
    filters: Mapping[str, str] = field(default_factory=dict)
    beside: tuple[str, int] | None = None
