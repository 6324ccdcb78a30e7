"""The services of the embedded edition: the composition of its adapters.

The use cases over them, and the cloud edition's adapters, are in `imagesearch/bootstrap.py`.
"""

from __future__ import annotations

from imagesearch.adapters.files import FolderStore
from imagesearch.adapters.local_bus import LocalBus
from imagesearch.adapters.memorystore import Memorystore
from imagesearch.adapters.sqlite import SqliteCatalog
from imagesearch.bootstrap import Services, cache_of_its_own, shared
from imagesearch.config import Settings
from imagesearch.ports import Encoder
from imagesearch.score import Score
from imagesearch.topics import MAX_DELIVERY_ATTEMPTS


class EmbeddedServices(Services):
    """
    The services of the embedded edition: a folder, a file and a bus in this process.

    Args:
        backoff_seconds: the rest of a nacked message, at first and at most.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        encoder: Encoder | None = None,
        backoff_seconds: tuple[float, float] = (1.0, 30.0),
    ) -> None:
        super().__init__(settings, encoder=encoder)
        self._backoff_seconds = backoff_seconds

    @shared
    def catalog(self) -> SqliteCatalog:
        """A SQLite file."""
        return SqliteCatalog(self.settings.data_dir / "catalog.sqlite", self.settings.policy)

    @shared
    def cache(self) -> Memorystore:
        """The Redis adapter, over a Redis in this process."""
        return cache_of_its_own()

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
            max_delivery_attempts=MAX_DELIVERY_ATTEMPTS,
        )

    @property
    def scorer(self) -> Score:
        """The use case itself."""
        return self.score

    def wake_embedder(self) -> None:
        """Do nothing: it is this process."""
