"""What the API answers, as far as the app reads it; fields that it does not know are left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

from app.failures import Failure

PAUSE_SECONDS = 0.5  # before the next question, where an answer does not say


@dataclass(frozen=True)
class Own:
    """What is known of a picture of a collection beside the rest; texts are "" where it is not."""

    file: str
    title: str
    collections: tuple[str, ...]
    albums: tuple[str, ...]
    camera: str


@dataclass(frozen=True)
class Hit:
    """A picture of an answer; texts are "" and numbers 0 where a thing is not known."""

    image_id: str
    url: str
    page_url: str
    width: int
    height: int
    user: str
    source: str
    licence: str
    licence_url: str
    tags: tuple[str, ...]
    colours: tuple[str, ...]
    year: int
    month: int
    own: Own | None
    match: str


@dataclass(frozen=True)
class Pool:
    """How far a keyword's pictures are."""

    state: str
    images: int
    embedded: int
    reason: str


@dataclass(frozen=True)
class Answer:
    """
    What a search has brought so far.

    Attributes:
        matched: whether any hit is at least a fair match; None where nothing is claimed.
        matching: how many pictures the filters leave; None where that is not known.
        covered: the share of all that is stored that was searched; None where it is not of all.
        next: the cursor of the pictures that follow, "" at the end.
        restarted: whether these are the first pictures again, and none that follow.
        pause_seconds: after how long to ask again while it is not complete.
    """

    hits: tuple[Hit, ...]
    keywords: tuple[str, ...]
    matched: bool | None
    complete: bool
    matching: int | None
    covered: float | None
    truncated: bool
    next: str
    restarted: bool
    pool: Pool | None
    pause_seconds: float

    @property
    def failed(self) -> bool:
        """Whether the keyword's pictures could not be had."""
        return self.pool is not None and self.pool.state == "failed"


def answer_of(status: int, body: object, base_url: str, retry_after: float | None) -> Answer:
    """
    Return the answer that a 200 or a 202 of the API at *base_url* has as its JSON.

    Raises:
        Failure: *body* is no such answer, as of a server of another version.
    """
    try:
        return _answer(_mapping(body), base_url, retry_after)
    except (KeyError, TypeError, ValueError) as exc:
        raise Failure("senseless", status=status) from exc


def _answer(body: Mapping[str, Any], base_url: str, retry_after: float | None) -> Answer:
    pool = body["pool"]  # of both: without it this is something else
    is_fetching = body.get("status") == "fetching"
    hits = () if is_fetching else tuple(_hit(hit, base_url) for hit in body["results"])
    return Answer(
        hits=hits,
        keywords=_texts(body.get("keywords")),
        matched=body.get("matched"),
        complete=False if is_fetching else bool(body["complete"]),
        matching=body.get("matching"),
        covered=body.get("covered"),
        truncated=bool(body.get("query_truncated")),
        next=body.get("next") or "",
        restarted=bool(body.get("restarted")),
        pool=None if pool is None else _pool(_mapping(pool)),
        pause_seconds=PAUSE_SECONDS if retry_after is None else retry_after,
    )


def _pool(pool: Mapping[str, Any]) -> Pool:
    return Pool(
        str(pool["state"]), int(pool["images"]), int(pool["embedded"]), pool.get("reason") or ""
    )


def _hit(hit: Mapping[str, Any], base_url: str) -> Hit:
    credit, own = hit.get("credit") or {}, hit.get("own")
    return Hit(
        image_id=str(hit["image_id"]),
        url=_link(hit["url"], base_url),
        page_url=_link(hit.get("page_url"), base_url),
        width=int(hit.get("width") or 0),
        height=int(hit.get("height") or 0),
        user=credit.get("user") or "",
        source=credit.get("source") or "",
        licence=credit.get("licence") or "",
        licence_url=_link(credit.get("licence_url"), base_url),
        tags=_texts(hit.get("tags")),
        colours=_texts(hit.get("colours")),
        year=int(hit.get("year") or 0),
        month=int(hit.get("month") or 0),
        own=_own(_mapping(own)) if own else None,
        match=hit.get("match") or "",
    )


def _own(own: Mapping[str, Any]) -> Own:
    return Own(
        file=own.get("file") or "",
        title=own.get("title") or "",
        collections=_texts(own.get("collections")),
        albums=_texts(own.get("albums")),
        camera=own.get("camera") or "",
    )


def _mapping(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"an object is expected, got {type(value).__name__}")
    return value


def _texts(values: object) -> tuple[str, ...]:
    return tuple(map(str, values)) if isinstance(values, list) else ()


def _link(url: object, base_url: str) -> str:
    """Return *url*, which may be relative to *base_url*, if a click on it is one on a web page."""
    whole = urljoin(base_url, url) if isinstance(url, str) and url else ""
    return whole if urlsplit(whole).scheme in ("http", "https") else ""
