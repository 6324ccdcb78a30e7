"""What the fetch function is made of."""

from __future__ import annotations

from dataclasses import dataclass

from imagesearch.adapters.buses.pubsub import PubsubPublisher
from imagesearch.adapters.stores import gcs
from imagesearch.clock import SystemClock
from imagesearch.compose.cloud import cache_of, catalog_of
from imagesearch.compose.start import require
from imagesearch.ports import Cache, Clock, ImageSource, ImageStore, Publisher, RateLimiter
from imagesearch.settings import Settings
from imagesearch.sources.declaration import Declaration, Quota, Tools
from imagesearch.sources.download import Downloader
from imagesearch.sources.exchange import Limits
from imagesearch.sources.http_client import USER_AGENT
from imagesearch.usecases.fetch import Fetch, GiveUp
from imagesearch.usecases.forget import Forget
from imagesearch.usecases.pools import Catalog


@dataclass(frozen=True)
class FetchProcess:
    """What the door of `functions/fetch` asks."""

    fetch: Fetch
    give_up: GiveUp
    forget: Forget


def compose(settings: Settings) -> FetchProcess:
    """Return the fetch function on Google Cloud; InvalidRequest for a setting that it lacks."""
    require(settings, "google_cloud_project", "images_bucket", *settings.image_source.needs)
    clock = SystemClock()
    cache, limiter = cache_of(settings)
    return fetch_process(
        settings,
        clock=clock,
        catalog=catalog_of(settings),
        cache=cache,
        store=gcs.connect(settings.google_cloud_project, settings.images_bucket),
        source=source_of(settings, limiter, clock),
        publisher=PubsubPublisher(settings.google_cloud_project),
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
    return FetchProcess(fetch, give_up, Forget(catalog, store, cache, clock))


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
