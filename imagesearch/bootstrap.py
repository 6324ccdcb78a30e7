"""The one composition root: Settings -> adapters -> use cases, each built when first used.

Entry points ask for `Services`; the one-machine stack (`local/stack.py`) gives it the encoder
and the gallery's URL, which no other edition has in process.
"""

from __future__ import annotations

import threading
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar, overload

from imagesearch.clock import SystemClock
from imagesearch.config import Settings
from imagesearch.embed import Embed
from imagesearch.errors import Unavailable
from imagesearch.fetch import Fetch
from imagesearch.ports import Encoder
from imagesearch.score import Score
from imagesearch.search import Search
from imagesearch.topics import MAX_DELIVERY_ATTEMPTS

# An adapter is imported where it is built: a function that answers its first request must not
# wait for the clients of requests that it may never get.
if TYPE_CHECKING:
    from imagesearch.adapters.download import Downloader
    from imagesearch.adapters.files import FolderStore
    from imagesearch.adapters.local_bus import LocalBus
    from imagesearch.adapters.memorystore import Memorystore
    from imagesearch.adapters.pixabay import Pixabay
    from imagesearch.adapters.sqlite import SqliteCatalog

PIXABAY_LIMIT, PIXABAY_PERIOD_SECONDS = 100, 60.0  # requests per key, Pixabay's own limit
GALLERY_KEY = "demo"  # the gallery asks for a key as Pixabay does; this one is no secret


Built = TypeVar("Built")
_BUILDING = threading.RLock()


class shared(cached_property[Built]):  # noqa: N801 - used as a decorator, like its parent
    """A cached property that is built once for all threads; Python 3.12 took the lock away."""

    @overload
    def __get__(self, instance: None, owner: type[Any] | None = None) -> shared[Built]: ...

    @overload
    def __get__(self, instance: object, owner: type[Any] | None = None) -> Built: ...

    def __get__(self, instance: object | None, owner: type[Any] | None = None) -> Any:
        """Return the value, building it when no thread has."""
        with _BUILDING:
            return super().__get__(instance, owner)


class Services:
    """
    The ports and use cases of the embedded edition, each built when first used.

    Args:
        encoder: the loaded CLIP; only a process that embeds or scores has one.
        gallery_url: base URL of the demo gallery, needed when `settings.is_demo`.
        backoff_seconds: the rest of a nacked message, at first and at most.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        encoder: Encoder | None = None,
        gallery_url: str | None = None,
        backoff_seconds: tuple[float, float] = (1.0, 30.0),
    ) -> None:
        self.settings = settings
        self.clock = SystemClock()
        self._encoder = encoder
        self._gallery_url = gallery_url
        self._backoff_seconds = backoff_seconds

    @property
    def encoder(self) -> Encoder:
        """The loaded CLIP, or Unavailable in a process that has none."""
        if self._encoder is None:
            raise Unavailable("this process has loaded no CLIP model")
        return self._encoder

    @shared
    def catalog(self) -> SqliteCatalog:
        """Pools, images and embeddings."""
        from imagesearch.adapters.sqlite import SqliteCatalog

        return SqliteCatalog(self.settings.data_dir / "catalog.sqlite", self.settings.policy)

    @shared
    def cache(self) -> Memorystore:
        """Hot copies, in this process."""
        from imagesearch.adapters.memorystore import Memorystore, embedded_client

        return Memorystore(embedded_client())

    @shared
    def store(self) -> FolderStore:
        """The durable originals."""
        from imagesearch.adapters.files import FolderStore

        return FolderStore(self.settings.data_dir / "images")

    @shared
    def bus(self) -> LocalBus:
        """The way out for messages, and their delivery."""
        from imagesearch.adapters.local_bus import LocalBus

        return LocalBus(
            self.settings.data_dir / "dead_letters.jsonl",
            min_backoff_seconds=self._backoff_seconds[0],
            max_backoff_seconds=self._backoff_seconds[1],
            max_delivery_attempts=MAX_DELIVERY_ATTEMPTS,
        )

    @shared
    def source(self) -> Pixabay:
        """Pixabay, or the demo gallery that answers like it."""
        from imagesearch.adapters.pixabay import Pixabay

        key = self.settings.pixabay_api_key
        if key is not None:
            return Pixabay(
                api_key=key.get_secret_value(),
                downloader=self._downloader(),
                take_quota=self._take_quota,
                clock=self.clock,
            )
        if self._gallery_url is None:
            raise Unavailable("the demo gallery is not running")
        return Pixabay(
            api_url=f"{self._gallery_url}/api/",
            api_key=GALLERY_KEY,
            source="demo",
            credit_source="the demo gallery",
            downloader=self._downloader(self._gallery_url),
            take_quota=self._take_quota,
            clock=self.clock,
        )

    def _downloader(self, allowed_origin: str | None = None) -> Downloader:
        from imagesearch.adapters.download import Downloader

        return Downloader(
            allowed_origin=allowed_origin,
            connections=self.settings.download_connections,
            max_bytes=self.settings.max_image_bytes,
        )

    def _take_quota(self) -> float:
        return self.cache.take_token(
            "quota:pixabay", limit=PIXABAY_LIMIT, period_seconds=PIXABAY_PERIOD_SECONDS
        )

    @shared
    def fetch(self) -> Fetch:
        """The use case of `functions/fetch`."""
        return Fetch(
            catalog=self.catalog,
            cache=self.cache,
            store=self.store,
            source=self.source,
            publisher=self.bus,
            clock=self.clock,
            connections=self.settings.download_connections,
        )

    @shared
    def embed(self) -> Embed:
        """The use case of the inference service's `/events/embed`."""
        return Embed(
            catalog=self.catalog,
            cache=self.cache,
            store=self.store,
            encoder=self.encoder,
            clock=self.clock,
        )

    @shared
    def score(self) -> Score:
        """The use case of the inference service's `/score`; in process it is the scorer."""
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
        return Search(
            catalog=self.catalog,
            cache=self.cache,
            publisher=self.bus,
            scorer=self.score,
            clock=self.clock,
            policy=self.settings.policy,
            options=self.settings.source_options,
        )

    def check(self) -> None:
        """Return when the catalog and the model of this process answer, else raise Unavailable."""
        self.catalog.check()
        if self._encoder is not None:
            self._encoder.check()

    def close(self) -> None:
        """Close what was opened."""
        self.source.close()
        self.catalog.close()


def services() -> Services:
    """
    Return the services of a process that was started on its own.

    Raises:
        Unavailable: the embedded edition lives in one process, which mounts its services.
    """
    raise Unavailable("the embedded edition runs in one process: start it with `imagesearch serve`")
