"""What the API takes and answers, as docs/openapi.yaml has it; a test holds this file to it.

What a server elsewhere answers is nobody's word: it is checked as it is read. A field with a
default is one that older servers lack. Of a later server fields are kept that are not here, and
words are taken that are none of those named.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, TypedDict

from pydantic import BaseModel, ConfigDict, Field, model_validator

from imagesearch.domain.queries import MAX_TOP_K

Colour = Literal[
    "red",
    "orange",
    "yellow",
    "green",
    "turquoise",
    "blue",
    "lilac",
    "pink",
    "white",
    "gray",
    "black",
    "brown",
    "grayscale",
]


class Search(TypedDict, total=False):
    """The parameters of a search, without `wait`, which is the client's; of a picture its file."""

    t: str
    s_query: str
    minus: list[str]
    like: list[str]
    unlike: list[str]
    s_query_weight: float
    like_weight: list[float]
    scope: Literal["pool", "catalog"]
    k: int
    cursor: str
    orientation: Literal["all", "horizontal", "vertical", "square"]
    colour: Colour
    tag: str
    user: str
    source: str
    year: int
    month: int
    collection: str
    folder: str
    album: str
    camera: str
    fold: bool
    picture: bytes
    picture_weight: float
    unlike_picture: bytes


PICTURES = ("picture", "unlike_picture")

Count = Annotated[int, Field(ge=0, le=10**9)]


class _Part(BaseModel):
    # Most commands read no answer, and what reads one takes a tenth of the time to import.
    model_config = ConfigDict(strict=True, allow_inf_nan=False, defer_build=True, extra="allow")


class Credit(_Part):
    """Who made a picture, and on what terms it may be used."""

    user: str
    source: str
    licence: str = ""
    licence_url: str = ""


class Place(_Part):
    """Where a picture was taken, in degrees."""

    latitude: float = Field(ge=-90, le=90)
    longitude: float = Field(ge=-180, le=180)


class Own(_Part):
    """What is known of a picture of a collection beside the rest."""

    file: str
    title: str
    collections: list[str] = Field(default_factory=list)
    albums: list[str] = Field(default_factory=list)
    camera: str = ""
    rating: int | None = Field(None, ge=-1, le=5)
    place: Place | None = None


class Hit(_Part):
    """A picture among the results."""

    image_id: str
    url: str
    page_url: str
    width: Count = 0
    height: Count = 0
    credit: Credit
    tags: list[str]
    colours: list[str] = Field(default_factory=list)
    year: int | None = None
    month: int | None = Field(None, ge=1, le=12)
    own: Own | None = None
    score: float = Field(ge=-1.001, le=1.001)
    relevance: float = Field(0.0, ge=0, le=1.001)
    match: Literal["strong", "fair", "weak", "none", "uncalibrated"] | str = "uncalibrated"
    reasons: list[Literal["picture", "tags"] | str] = Field(default_factory=list)
    similar: list[str] = Field(default_factory=list)


class Pool(_Part):
    """How the pictures of a keyword are coming along."""

    pool_id: str = ""
    keyword: str = ""
    state: Literal["requested", "fetching", "embedding", "ready", "failed", "stale"] | str
    generation: Count = 1
    images: Count
    embedded: Count
    rejected: Count
    age_seconds: Count = 0
    reason: str | None


class PoolWithRejections(Pool):
    """A pool, and why each picture that cannot be used was rejected, by its image_id."""

    rejections: dict[str, str] = Field(default_factory=dict)


class Timings(_Part):
    """What took how long on the server."""

    total_seconds: float = Field(ge=0, le=86_400)
    encode_seconds: float = Field(0.0, ge=0, le=86_400)
    score_seconds: float = Field(0.0, ge=0, le=86_400)


class Fetching(_Part):
    """What is answered while no picture is there yet; it reads as an answer without any."""

    status: Literal["fetching"] = "fetching"
    keywords: list[str] = Field(default_factory=list)
    pool: Pool

    results: ClassVar[Sequence[Hit]] = ()
    complete: ClassVar[bool] = False
    matched: ClassVar[None] = None
    next: ClassVar[None] = None


class Answer(_Part):
    """A page of a search: its best pictures, or those that follow on another page."""

    top_urls: list[str] = Field(default_factory=list, max_length=MAX_TOP_K)
    top_scores: list[float] = Field(default_factory=list, max_length=MAX_TOP_K)
    results: list[Hit] = Field(max_length=MAX_TOP_K)
    keyword: str | None = None
    keywords: list[str] = Field(default_factory=list)
    query: str | None = None
    minus: list[str] = Field(default_factory=list)
    like: list[str] = Field(default_factory=list)
    picture: bool = False
    unlike: list[str] = Field(default_factory=list)
    unlike_picture: bool = False
    scope: Literal["pool", "catalog"] = "pool"
    filters: dict[str, str] = Field(default_factory=dict)
    fold: bool = False
    matching: Count | None = None
    exhaustive: bool = True
    query_truncated: bool
    matched: bool | None = None
    complete: bool
    covered: float | None = Field(None, ge=0, le=1)
    next: str | None = Field(None, max_length=200, pattern="^[A-Za-z0-9_-]+$")
    restarted: bool = False
    pool: Pool | None
    timings: Timings

    def as_it_came(self) -> dict[str, Any]:
        """Return the JSON of the server, with what a later one says besides."""
        return self.model_dump(exclude_unset=True)

    @model_validator(mode="after")
    def _has_what_its_scope_has(self) -> Answer:
        if (self.scope == "pool") != (self.pool is not None):
            raise ValueError(f"scope {self.scope} and its pool do not go together")
        if self.scope == "pool" and self.keyword is None:
            raise ValueError("scope pool has no keyword")
        return self


class Collection(_Part):
    """A collection of own pictures."""

    name: str
    pictures: Count = 0
    images: Count
    problems: Count = 0
    updating: bool


class Collections(_Part):
    """The collections of a server."""

    collections: list[Collection]
