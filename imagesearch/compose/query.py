"""What the query function is made of."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from imagesearch.adapters.collections.firestore import FirestoreCollections
from imagesearch.adapters.scorers.cloud_run import CloudRunScorer, InferenceService
from imagesearch.clock import SystemClock
from imagesearch.compose.cloud import cache_of, catalog_of, database_of
from imagesearch.compose.image_store import image_store_of
from imagesearch.compose.publisher import publisher_of
from imagesearch.compose.start import require
from imagesearch.domain.collections import CollectionCount
from imagesearch.ports import Cache, Clock, ImageStore, Publisher, RateLimiter, Scorer
from imagesearch.settings import Settings
from imagesearch.usecases.pools import Catalog
from imagesearch.usecases.search import Search, catalog_searches, new_keywords
from imagesearch.usecases.spending import Spending

_COUNTED_SECONDS = 30.0
_ENTRIES_SECONDS = 3600.0  # counting 100,000 entries reads 100 documents

_Counted = TypeVar("_Counted")


@dataclass(frozen=True)
class QueryProcess:
    """
    What the door of `functions/query` asks.

    Attributes:
        check: returns when a search could be answered, else raises Unavailable.
        collections: returns what is there of each collection of own pictures.
        images: the stored images, where this process serves them; else they have another door.
    """

    settings: Settings
    clock: Clock
    limiter: RateLimiter
    search: Search
    check: Callable[[], None]
    collections: Callable[[], Sequence[CollectionCount]] = tuple
    images: ImageStore | None = None


def compose(settings: Settings) -> QueryProcess:
    """Return the query function on Google Cloud; InvalidRequest for a setting that it lacks."""
    require(settings, "google_cloud_project", "scorer_url")
    if settings.private_images or not settings.image_base_url:  # the bucket's URL stands for it
        require(settings, "images_bucket")
    clock = SystemClock()
    database = database_of(settings)
    catalog = catalog_of(settings, database)
    cache, limiter = cache_of(settings)
    scoring = embedding = inference_service(settings.scorer_url, clock)
    if settings.embedder_url:
        embedding = inference_service(settings.embedder_url, clock)
    search = search_of(
        settings,
        clock=clock,
        catalog=catalog,
        cache=cache,
        limiter=limiter,
        publisher=publisher_of(settings),
        scorer=CloudRunScorer(scoring, clock=clock),
        wake=embedding.wake,
    )
    counts = remembered(FirestoreCollections(database).counts, clock)
    images = image_store_of(settings) if settings.private_images else None
    return QueryProcess(settings, clock, limiter, search, catalog.check, counts, images)


def remembered(
    counts: Callable[[], _Counted], clock: Clock, seconds: float = _COUNTED_SECONDS
) -> Callable[[], _Counted]:
    """Return *counts* asked once in *seconds* at most: many ask, and it costs some reads."""
    lock = threading.Lock()
    kept: list[tuple[float, _Counted]] = []

    def remembering() -> _Counted:
        with lock:
            if not kept or clock.monotonic() > kept[0][0] + seconds:
                kept[:] = [(clock.monotonic(), counts())]
            return kept[0][1]

    return remembering


def inference_service(url: str, clock: Clock) -> InferenceService:
    """Return the service at *url*, which is asked with an identity token when it is Cloud Run's."""
    # Cloud Run speaks https; what speaks http is on this machine, and asks for no token.
    audience = url if url.startswith("https://") else None
    return InferenceService(url, clock=clock, audience=audience)


def search_of(
    settings: Settings,
    *,
    clock: Clock,
    catalog: Catalog,
    cache: Cache,
    limiter: RateLimiter,
    publisher: Publisher,
    scorer: Scorer,
    wake: Callable[[], None],
) -> Search:
    """Return the use case as *settings* have it."""
    return Search(
        catalog=catalog,
        cache=cache,
        limiter=limiter,
        publisher=publisher,
        scorer=scorer,
        clock=clock,
        policy=settings.policy,
        options=settings.source_options,
        wake=wake,
        new_keywords=new_keywords(settings.new_keywords_per_minute, settings.new_keywords_per_day),
        catalog_searches=catalog_searches(
            settings.catalog_searches_per_minute, settings.catalog_searches_per_day
        ),
        spending=_spending_of(settings, catalog, clock),
    )


def _spending_of(settings: Settings, catalog: Catalog, clock: Clock) -> Spending:
    def entries() -> int:
        # PostgreSQL is paid for by the hour. Of Firestore all entries are those of some model.
        is_firestore = settings.library in ("", "firestore")
        return catalog.library.coverage("").images if is_firestore else 0

    return Spending(
        catalog,
        clock,
        settings.dollars_per_day,
        gpu=settings.paid_gpu,
        entries=remembered(entries, clock, _ENTRIES_SECONDS),
    )
