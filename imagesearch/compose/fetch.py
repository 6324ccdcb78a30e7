"""What the fetch function is made of."""

from __future__ import annotations

from dataclasses import dataclass

from imagesearch.adapters.buckets import gcs as buckets
from imagesearch.adapters.collections.firestore import FirestoreCollections
from imagesearch.clock import SystemClock
from imagesearch.compose.cloud import cache_of, catalog_of, database_of
from imagesearch.compose.image_store import image_store_of
from imagesearch.compose.publisher import publisher_of
from imagesearch.compose.start import require
from imagesearch.folders.bucket import BucketPictures
from imagesearch.ports import (
    Cache,
    Clock,
    Collections,
    ImageSource,
    ImageStore,
    Publisher,
    RateLimiter,
)
from imagesearch.settings import Settings
from imagesearch.sources.declaration import Declaration, Quota, Tools
from imagesearch.sources.download import Downloader
from imagesearch.sources.exchange import Limits
from imagesearch.sources.http_client import USER_AGENT
from imagesearch.usecases.bucket_images import BucketImages
from imagesearch.usecases.collect import Collect, Follow, Remove
from imagesearch.usecases.fetch import Fetch, GiveUp
from imagesearch.usecases.forget import Forget
from imagesearch.usecases.pools import Catalog
from imagesearch.usecases.spending import HeedBudget
from imagesearch.usecases.stored_pools import StoredPools


@dataclass(frozen=True)
class FetchProcess:
    """What the door of `functions/fetch` asks."""

    fetch: Fetch
    give_up: GiveUp
    forget: Forget


@dataclass(frozen=True)
class CloudFetchProcess(FetchProcess):
    """What it asks besides, of buckets that are collections and of the billing budget."""

    collect: Collect
    follow: Follow
    remove: Remove
    heed_budget: HeedBudget


def compose(settings: Settings) -> CloudFetchProcess:
    """Return the fetch function on Google Cloud; InvalidRequest for a setting that it lacks."""
    require(settings, "google_cloud_project", "images_bucket", *settings.image_source.needs)
    project = settings.google_cloud_project
    clock = SystemClock()
    cache, limiter = cache_of(settings)
    database = database_of(settings)
    catalog = catalog_of(settings, database)
    store = image_store_of(settings)
    publisher = publisher_of(settings)
    collections = FirestoreCollections(database)
    process = fetch_process(
        settings,
        clock=clock,
        catalog=catalog,
        cache=cache,
        store=store,
        source=source_of(settings, limiter, clock),
        publisher=publisher,
        collections=collections,
    )
    images = BucketImages(
        catalog=catalog,
        collections=collections,
        buckets=buckets.connect(project),
        pictures=BucketPictures(settings.max_image_bytes),
        store=store,
        pools=StoredPools(catalog, publisher, clock, at_once=1),
        clock=clock,
        max_bytes=settings.max_image_bytes,
        own_bucket=settings.images_bucket,
    )
    return with_buckets(process, images, publisher, clock)


def with_buckets(
    process: FetchProcess, images: BucketImages, publisher: Publisher, clock: Clock
) -> CloudFetchProcess:
    """Return *process* with the use cases of buckets and of the budget."""
    return CloudFetchProcess(
        *(process.fetch, process.give_up, process.forget),
        Collect(images, publisher, clock),
        Follow(images, clock),
        Remove(images, clock),
        HeedBudget(process.fetch.catalog, clock),
    )


def fetch_process(
    settings: Settings,
    *,
    clock: Clock,
    catalog: Catalog,
    cache: Cache,
    store: ImageStore,
    source: ImageSource,
    publisher: Publisher,
    collections: Collections,
) -> FetchProcess:
    """Return the use cases as *settings* have them."""
    fetch = Fetch(
        catalog=catalog,
        cache=cache,
        store=store,
        source=source,
        publisher=publisher,
        clock=clock,
        connections=settings.download_connections,
    )
    give_up = GiveUp(catalog=catalog, cache=cache, clock=clock)
    return FetchProcess(fetch, give_up, Forget(catalog, store, cache, clock, collections))


def source_of(settings: Settings, limiter: RateLimiter, clock: Clock) -> ImageSource:
    """Return where images come from; quotas are kept by *limiter*, for all who share that."""
    source = settings.image_source
    return source.connect(settings, _tools(source, settings, limiter, clock))


def _tools(source: Declaration, settings: Settings, limiter: RateLimiter, clock: Clock) -> Tools:
    def downloader(allowed_origin: str | None, user_agent: str) -> Downloader:
        return Downloader(
            source.hosts,
            clock=clock,
            limits=Limits(max_bytes=settings.max_image_bytes),
            allowed_origin=allowed_origin,
            connections=settings.download_connections,
            user_agent=user_agent or USER_AGENT,
        )

    def token(bucket: str, quota: Quota | None) -> float:
        if quota is None:
            return 0.0
        name, period = f"quota:{source.name}{bucket}", quota.period_seconds
        return limiter.take_token(name, limit=quota.requests, period_seconds=period)

    return Tools(
        downloader=downloader,
        take_quota=lambda: token("", source.quota) or token(":day", source.daily_quota),
        take_download=lambda: token(":download", source.download_quota),
        clock=clock,
        of=lambda other: _tools(other, settings, limiter, clock),
    )
