"""The one composition root: Settings -> adapters -> use cases, each built when first used.

Entry points ask for `Services`. A process of the cloud edition has its own, from `services()`; the
embedded edition's, in one process that mounts the entry points, are in `local/services.py`.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar, overload

from imagesearch import logs
from imagesearch.clock import SystemClock
from imagesearch.domain.errors import InvalidRequest, Unavailable
from imagesearch.ports import (
    Cache,
    Encoder,
    ImageSource,
    ImageStore,
    Publisher,
    RateLimiter,
    Scorer,
)
from imagesearch.settings import Settings, load_settings
from imagesearch.sources.declaration import Tools

# A use case or an adapter is imported where it is built: a function that answers its first
# request must not wait for numpy, or for the clients of requests that it may never get.
if TYPE_CHECKING:
    from imagesearch.adapters.buses.pubsub import PubsubPublisher
    from imagesearch.adapters.caches.memorystore import Memorystore
    from imagesearch.adapters.firestore import Firestore
    from imagesearch.adapters.scorers.cloud_run import CloudRunScorer
    from imagesearch.adapters.stores.gcs import GcsStore
    from imagesearch.domain.pools import PoolPolicy
    from imagesearch.sources.download import Downloader
    from imagesearch.usecases.embed import Embed
    from imagesearch.usecases.fetch import Fetch, GiveUp
    from imagesearch.usecases.pools import Catalog
    from imagesearch.usecases.score import Score
    from imagesearch.usecases.search import Search

_PORTS = ("source", "publisher", "scorer", "embedder", "store", "memorystore", "catalog")

Built = TypeVar("Built", covariant=True)
_BUILDING = threading.RLock()


class shared(cached_property[Built]):  # noqa: N801 - used as a decorator, like its parent
    """A cached property that is built once for all threads; Python 3.12 took the lock away."""

    @overload
    def __get__(self, instance: None, owner: type[Any] | None = None) -> shared[Built]: ...

    @overload
    def __get__(self, instance: object, owner: type[Any] | None = None) -> Built: ...

    def __get__(self, instance: object | None, owner: type[Any] | None = None) -> Any:
        """Return the value, building it when no thread has; Unavailable for a bad setting."""
        with _BUILDING:
            try:
                return super().__get__(instance, owner)
            except InvalidRequest as error:  # of a setting: the request at hand is not at fault
                raise Unavailable(f"bad configuration: {error}") from error


class Services(ABC):
    """
    The ports and use cases of a process, each built when first used.

    Args:
        encoder: the loaded CLIP; only a process that embeds or scores has one.
    """

    def __init__(self, settings: Settings, *, encoder: Encoder | None = None) -> None:
        self.settings = settings
        self.clock = SystemClock()
        self._encoder = encoder

    @property
    @abstractmethod
    def catalog(self) -> Catalog:
        """Pools, images and embeddings."""

    @property
    @abstractmethod
    def cache(self) -> Cache:
        """Hot copies."""

    @property
    @abstractmethod
    def limiter(self) -> RateLimiter:
        """The quota of the source and the limits of the clients."""

    @property
    @abstractmethod
    def store(self) -> ImageStore:
        """The durable originals."""

    @property
    @abstractmethod
    def publisher(self) -> Publisher:
        """The way out for messages."""

    @property
    @abstractmethod
    def scorer(self) -> Scorer:
        """What scores the query function's searches."""

    @abstractmethod
    def wake_embedder(self) -> None:
        """Have the service that embeds started, without waiting for it."""

    @property
    def encoder(self) -> Encoder:
        """The loaded CLIP, or Unavailable in a process that has none."""
        if self._encoder is None:
            raise Unavailable("this process has loaded no CLIP model")
        return self._encoder

    @shared
    def source(self) -> ImageSource:
        """Where images come from."""
        source = self.settings.image_source
        for name in source.needs:
            self._required(name)
        return source.connect(self.settings, Tools(self._downloader, self.take_quota, self.clock))

    def _required(self, name: str) -> Any:
        """Return a setting that this process cannot do without; Unavailable when it is empty."""
        value = getattr(self.settings, name)
        if not value:
            raise Unavailable(f"the setting {name.upper()} is missing")
        return value

    def _downloader(self, allowed_origin: str | None) -> Downloader:
        from imagesearch.sources.download import Downloader
        from imagesearch.sources.exchange import Limits

        return Downloader(
            self.settings.image_source.hosts,
            clock=self.clock,
            limits=Limits(max_bytes=self.settings.max_image_bytes),
            allowed_origin=allowed_origin,
            connections=self.settings.download_connections,
        )

    def take_quota(self) -> float:
        """Take a request of the source's quota; return 0.0, or the seconds until there is one."""
        source = self.settings.image_source
        return self.limiter.take_token(
            f"quota:{source.name}",
            limit=source.quota.requests,
            period_seconds=source.quota.period_seconds,
        )

    @shared
    def fetch(self) -> Fetch:
        """The use case of `functions/fetch`."""
        from imagesearch.usecases.fetch import Fetch

        return Fetch(
            catalog=self.catalog,
            cache=self.cache,
            store=self.store,
            source=self.source,
            publisher=self.publisher,
            clock=self.clock,
            connections=self.settings.download_connections,
        )

    @shared
    def give_up(self) -> GiveUp:
        """The use case of the dead-letter door, which needs neither source nor store."""
        from imagesearch.usecases.fetch import GiveUp

        return GiveUp(catalog=self.catalog, cache=self.cache, clock=self.clock)

    @shared
    def embed(self) -> Embed:
        """The use case of the inference service's `/events/embed`."""
        from imagesearch.usecases.embed import Embed

        return Embed(
            catalog=self.catalog,
            cache=self.cache,
            store=self.store,
            encoder=self.encoder,
            clock=self.clock,
        )

    @shared
    def score(self) -> Score:
        """The use case of the inference service's `/score`."""
        from imagesearch.usecases.score import Score

        return Score(
            catalog=self.catalog,
            cache=self.cache,
            encoder=self.encoder,
            clock=self.clock,
            policy=self.settings.policy,
        )

    @shared
    def search(self) -> Search:
        """The use case of `functions/query`."""
        from imagesearch.usecases.search import Search

        return Search(
            catalog=self.catalog,
            cache=self.cache,
            limiter=self.limiter,
            publisher=self.publisher,
            scorer=self.scorer,
            clock=self.clock,
            policy=self.settings.policy,
            options=self.settings.source_options,
            wake=self.wake_embedder,
            new_keywords_per_minute=self.settings.new_keywords_per_minute,
        )

    def check(self) -> None:
        """Return when the catalog and the model of this process answer, else raise Unavailable."""
        self.catalog.check()
        if self._encoder is not None:
            self._encoder.check()

    def close(self) -> None:
        """Close what was opened."""
        for name in _PORTS:
            close: Callable[[], None] | None = getattr(vars(self).get(name), "close", None)
            if close is not None:
                close()


class CloudServices(Services):
    """The services of a process of the cloud edition, on Google Cloud or on its emulators."""

    @shared
    def catalog(self) -> Catalog:
        """Firestore."""
        from imagesearch.adapters import firestore

        project = self._required("google_cloud_project")
        database = firestore.connect(project, database=self.settings.firestore_database)
        return firestore_catalog(database, self.settings.policy)

    @shared
    def cache(self) -> Cache:
        """Memorystore, or a cache of this process alone where there is none."""
        if self.memorystore is not None:
            return self.memorystore
        from imagesearch.adapters.caches.in_process import InProcessCache

        return InProcessCache()

    @shared
    def limiter(self) -> RateLimiter:
        """Memorystore, or a limiter of this process alone where there is none."""
        if self.memorystore is not None:
            return self.memorystore
        from imagesearch.adapters.caches.in_process import InProcessLimiter

        return InProcessLimiter()

    @shared
    def memorystore(self) -> Memorystore | None:
        """The Redis that all processes share, where there is one."""
        if not self.settings.redis_host:
            return None
        from imagesearch.adapters.caches.memorystore import Memorystore, connect

        auth_string = self.settings.redis_auth_string
        return Memorystore(
            connect(
                self.settings.redis_host,
                self.settings.redis_port,
                auth_string=auth_string.get_secret_value() if auth_string else None,
                server_ca=self.settings.redis_server_ca or None,
            )
        )

    @shared
    def store(self) -> GcsStore:
        """A bucket of Cloud Storage."""
        from imagesearch.adapters.stores import gcs

        return gcs.connect(self._required("google_cloud_project"), self._required("images_bucket"))

    @shared
    def publisher(self) -> PubsubPublisher:
        """Pub/Sub."""
        from imagesearch.adapters.buses.pubsub import PubsubPublisher

        return PubsubPublisher(self._required("google_cloud_project"))

    @shared
    def scorer(self) -> CloudRunScorer:
        """The inference service that scores."""
        return self._inference_service(self._required("scorer_url"))

    @shared
    def embedder(self) -> CloudRunScorer:
        """The inference service that embeds, often the same one."""
        url = self.settings.embedder_url
        return self._inference_service(url) if url else self.scorer

    def wake_embedder(self) -> None:
        """Ask for its `/alive` without waiting for the answer."""
        self.embedder.wake()

    def _inference_service(self, url: str) -> CloudRunScorer:
        from imagesearch.adapters.scorers.cloud_run import CloudRunScorer

        # Cloud Run speaks https; what speaks http is on this machine, and asks for no token.
        audience = url if url.startswith("https://") else None
        return CloudRunScorer(url, clock=self.clock, audience=audience)


def firestore_catalog(database: Firestore, policy: PoolPolicy) -> Catalog:
    """Return the catalog in *database*, which it closes."""
    from imagesearch.adapters.libraries.firestore import FirestoreLibrary
    from imagesearch.adapters.pools.firestore import FirestorePools
    from imagesearch.usecases.pools import Catalog

    return Catalog(FirestorePools(database, policy), FirestoreLibrary(database), policy)


_of_this_process: CloudServices | None = None


def services() -> Services:
    """Return the services of a process of the cloud edition, the same ones each time."""
    global _of_this_process  # a process has one environment
    if _of_this_process is not None:
        return _of_this_process
    with _BUILDING:
        if _of_this_process is None:
            _of_this_process = CloudServices(cloud_settings())
        return _of_this_process


def cloud_settings() -> Settings:
    """
    Return the settings of a process of the cloud edition, whose log is configured by them.

    Raises:
        Unavailable: a bad setting, or the embedded edition, whose one process mounts its services.
    """
    logs.configure()  # as far as can be: what is wrong with the settings is logged too
    try:
        settings = load_settings()
    except InvalidRequest as error:  # not the caller's fault
        raise Unavailable(f"bad configuration: {error}") from error
    if settings.edition != "cloud":
        raise Unavailable(
            "the embedded edition runs in one process, `imagesearch serve`; "
            "a process of its own needs EDITION=cloud"
        )
    logs.configure(settings.log_level, settings.google_cloud_project)
    return settings
