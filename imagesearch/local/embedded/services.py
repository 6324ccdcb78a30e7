"""The services of the embedded edition: the composition of its adapters.

The use cases over them, and the cloud edition's adapters, are in
`imagesearch/compose/bootstrap.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from imagesearch.adapters.buses.local_bus import LocalBus
from imagesearch.adapters.caches.in_process import InProcessCache, InProcessLimiter
from imagesearch.adapters.libraries.sqlite import SqliteLibrary
from imagesearch.adapters.pools.sqlite import SqlitePools
from imagesearch.adapters.sqlite import SqliteFile
from imagesearch.adapters.sqlite_originals import SqliteOriginals
from imagesearch.adapters.stores.files import FolderStore
from imagesearch.compose.bootstrap import Services, shared
from imagesearch.domain.errors import Unavailable
from imagesearch.domain.pools import PoolPolicy
from imagesearch.local.embedded.originals import Originals
from imagesearch.ports import Encoder
from imagesearch.settings import Settings
from imagesearch.usecases.pools import Catalog
from imagesearch.usecases.score import Score

logger = logging.getLogger(__name__)


class EmbeddedServices(Services):
    """
    The services of the embedded edition: a folder, a file and a bus in this process.

    Args:
        backoff_seconds: the rest of a nacked message, at first and at most.
        on_new_folder: called before a data folder that was removed is used again; what it raises
            keeps it from being used.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        encoder: Encoder | None = None,
        backoff_seconds: tuple[float, float] = (1.0, 120.0),
        on_new_folder: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(settings, encoder=encoder)
        self._backoff_seconds = backoff_seconds
        self._on_new_folder = on_new_folder

    @shared
    def catalog(self) -> Catalog:
        """The one in a SQLite file."""
        return sqlite_catalog(self._catalog_file, self.settings.policy)

    @shared
    def _catalog_file(self) -> SqliteFile:
        path = self.settings.data_dir / "catalog.sqlite"
        return SqliteFile(path, on_new_file=self._forget_copies)

    @shared
    def cache(self) -> InProcessCache:
        """The memory of this process."""
        return InProcessCache()

    @shared
    def limiter(self) -> InProcessLimiter:
        """The memory of this process."""
        return InProcessLimiter()

    @shared
    def store(self) -> FolderStore:
        """A folder of files."""
        return FolderStore(self.settings.data_dir / "images")

    @shared
    def publisher(self) -> LocalBus:
        """The bus, which delivers its messages too."""
        return LocalBus(
            self.settings.data_dir / "dead_letters.jsonl",
            min_backoff_seconds=self._backoff_seconds[0],
            max_backoff_seconds=self._backoff_seconds[1],
        )

    @shared
    def originals(self) -> Originals:
        """The stored originals, for whoever asks for one."""
        return Originals(SqliteOriginals(self._catalog_file).listed, self.store, self.source)

    def _forget_copies(self) -> None:
        """Have what this process holds of a catalog that is gone asked for again."""
        self._on_new_folder()
        built = vars(self)  # nothing is built for this
        if "cache" in built:
            self.cache.clear()
        if "score" in built:
            self.score.forget()

    def check(self) -> None:
        """Return when a new keyword could be stored and searched, else raise Unavailable."""
        super().check()
        self.store.check()

    def sweep(self) -> None:
        """Delete what earlier processes left in the store and nobody needs: see `FolderStore`."""
        try:
            gone = self.store.sweep(SqliteOriginals(self._catalog_file).unused())
        except Unavailable as error:  # they do no harm, and `check` tells of what does
            logger.warning("files that nobody needs may be left: %s", error)
        else:
            if gone:
                logger.info("%d files that nobody needs were deleted", gone)

    @property
    def scorer(self) -> Score:
        """The use case itself."""
        return self.score

    def wake_embedder(self) -> None:
        """Do nothing: it is this process."""


def sqlite_catalog(file: SqliteFile, policy: PoolPolicy) -> Catalog:
    """Return the catalog in *file*, which it closes."""
    return Catalog(SqlitePools(file), SqliteLibrary(file), policy)
