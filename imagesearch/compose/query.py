"""What the query function is made of."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from imagesearch.adapters.collections.firestore import FirestoreCollections
from imagesearch.adapters.scorers.cloud_run import CloudRunScorer, InferenceService
from imagesearch.clock import SystemClock
from imagesearch.compose.cloud import cache_of, catalog_of, database_of
from imagesearch.compose.publisher import publisher_of
from imagesearch.compose.start import require
from imagesearch.domain.collections import CollectionCount
from imagesearch.ports import Cache, Clock, Publisher, RateLimiter, Scorer
from imagesearch.settings import Settings
from imagesearch.usecases.pools import Catalog
from imagesearch.usecases.search import Search, catalog_searches, new_keywords

_COUNTED_SECONDS = 30.0


@dataclass(frozen=True)
class QueryProcess:
    """
    What the door of `functions/query` asks.

    Attributes:
        check: returns when a search could be answered, else raises Unavailable.
        collections: returns what is there of each collection of own pictures.
    """

    settings: Settings
    clock: Clock
    limiter: RateLimiter
    search: Search
    check: Callable[[], None]
    collections: Callable[[], Sequence[CollectionCount]] = tuple


def compose(settings: Settings) -> QueryProcess:
    """Return the query function on Google Cloud; InvalidRequest for a setting that it lacks."""
    require(settings, "google_cloud_project", "scorer_url")
    if not settings.image_base_url:  # the bucket's URL stands for it
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
    return QueryProcess(settings, clock, limiter, search, catalog.check, counts)


def remembered(
    counts: Callable[[], Sequence[CollectionCount]], clock: Clock
) -> Callable[[], Sequence[CollectionCount]]:
    """Return *counts* asked twice a minute at most: each page asks, and it costs some reads."""
    lock = threading.Lock()
    told: list[tuple[float, Sequence[CollectionCount]]] = []

    def remembering() -> Sequence[CollectionCount]:
        with lock:
            if not told or clock.monotonic() > told[0][0] + _COUNTED_SECONDS:
                told[:] = [(clock.monotonic(), counts())]
            return told[0][1]

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
    )
