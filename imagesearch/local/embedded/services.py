"""The services of the embedded edition: a folder, a file and a bus, and all that works on them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from imagesearch.adapters.buses.local_bus import LocalBus
from imagesearch.adapters.caches.in_process import InProcessCache, InProcessLimiter
from imagesearch.adapters.collections.sqlite import SqliteCollections
from imagesearch.adapters.libraries.sqlite import SqliteLibrary
from imagesearch.adapters.pools.sqlite import SqlitePools
from imagesearch.adapters.retention.sqlite import SqliteRetention
from imagesearch.adapters.sqlite import SqliteFile
from imagesearch.adapters.sqlite_originals import SqliteOriginals
from imagesearch.adapters.stores.collections import CollectionStore
from imagesearch.adapters.stores.files import FolderStore
from imagesearch.clock import SystemClock
from imagesearch.compose.cloud import library_of
from imagesearch.compose.fetch import FetchProcess, fetch_process, source_of
from imagesearch.compose.inference import InferenceProcess, inference_process
from imagesearch.compose.query import QueryProcess, search_of
from imagesearch.compose.start import require
from imagesearch.domain.collections import Collection, Update
from imagesearch.domain.errors import ImageSearchError, NotFound, Unavailable
from imagesearch.domain.work import MAX_BATCH_IMAGES, ForgetJob
from imagesearch.evaluation.captions import CaptionedSet
from imagesearch.evaluation.collection import captioned_collection
from imagesearch.folders.roots import CollectionRoots
from imagesearch.local.embedded.model_note import ModelNote
from imagesearch.local.embedded.originals import Originals
from imagesearch.ports import Clock, Encoder, RateLimiter
from imagesearch.settings import Settings
from imagesearch.sources.contact import user_agent
from imagesearch.usecases import own_images
from imagesearch.usecases.forget import Forget, Plan
from imagesearch.usecases.ingest import Ingest
from imagesearch.usecases.pools import Catalog
from imagesearch.usecases.reembed import Reembed, Reembedding
from imagesearch.usecases.stored_pools import STORED_SOURCES, StoredPools
from imagesearch.usecases.withdrawn import Withdrawn

_POOLS_AT_ONCE = 2  # that are embedded anew: new keywords wait for these alone
_PAGES_AT_ONCE = 4  # of a collection, so that the embedder never waits for the next one
_PAGE_POLL_SECONDS = 0.5  # a page takes the demo's model a second
_ASKED_SECONDS = 1.0  # how often it is looked whether an update is asked for
_FOLLOW_SECONDS = 5.0  # how often it is looked whether something was forgotten
_SEARCH_SECONDS = 30.0  # of the longest search
_FIRST_SWEEP_SECONDS = 60.0  # after a start, which has other things to do
_DAY_SECONDS = 86_400.0
_REST_SECONDS = 600.0  # before what could not be embedded anew is tried again
logger = logging.getLogger(__name__)


class DataFolder:
    """
    What is kept in the data folder: images, and a file of what is known of them.

    Args:
        on_new_file: called when the file was removed, and is begun anew.

    Attributes:
        folders: where the pictures of collections lie.
        pictures: these, and the images that are stored.

    Raises:
        InvalidRequest: the library is none of this edition, or lacks a setting or its package.
        Unavailable: the file cannot be opened.
    """

    def __init__(
        self, settings: Settings, clock: Clock, on_new_file: Callable[[], None] = lambda: None
    ) -> None:
        self.file = SqliteFile(settings.data_dir / "catalog.sqlite", on_new_file=on_new_file)
        self.pools = SqlitePools(self.file)
        library = library_of(settings, "sqlite", lambda: SqliteLibrary(self.file))
        self.catalog = Catalog(self.pools, library, settings.policy, SqliteRetention(self.file))
        self.collections = SqliteCollections(self.file)
        self.store = FolderStore(settings.data_dir / "images")
        self.folders = CollectionRoots(
            self.store, clock, user_agent(settings.contact), settings.max_image_bytes
        )
        self.pictures = CollectionStore(self.store, self.collections, self.folders)


class EmbeddedServices:
    """
    The three processes of the cloud edition in one, over adapters of one machine.

    Args:
        before: of the models that score until *encoder* has embedded what they did.
        on_new_folder: called before a data folder that was removed is used again; what it raises
            keeps it from being used.

    Attributes:
        query, fetch, inference: what the doors of the function, the fetcher and the service ask.
        originals: the stored originals, for whoever asks for one.

    Raises:
        InvalidRequest: the source lacks a setting.
        Unavailable: the catalog's file cannot be opened.
    """

    def __init__(
        self,
        settings: Settings,
        encoder: Encoder,
        *,
        before: Sequence[Encoder] = (),
        on_new_folder: Callable[[], None] = lambda: None,
    ) -> None:
        require(settings, *settings.image_source.needs)
        self.settings = settings
        self.clock = SystemClock()
        self.cache, limiter = InProcessCache(), InProcessLimiter()
        self.bus = LocalBus(settings.data_dir / "dead_letters.jsonl")
        self.source = source_of(settings, limiter, self.clock)
        self._on_new_folder = on_new_folder
        self._let_go_again: float | None = None
        self._ended = threading.Event()

        self._folder = folder = DataFolder(settings, self.clock, self._forget_copies)
        self.catalog, self.collections = folder.catalog, folder.collections
        self.store, self.pictures = folder.store, folder.pictures
        self._sqlite_originals = SqliteOriginals(folder.file)
        self._withdrawn = Withdrawn(self.catalog.retention, self.clock, self._let_go)
        self.originals = Originals(
            *(self._sqlite_originals.listed, self.store, self.source, self.pictures),
            self._withdrawn,
        )
        self.forget = Forget(self.catalog, self.store, self.cache, self.clock, self.collections)

        self.inference = self._inference(encoder, before)
        self.fetch = self._fetch()
        self.query = self._query(limiter)
        has_before = self.inference.scorer.has_before
        self._again = StoredPools(self.catalog, self.bus, self.clock, _POOLS_AT_ONCE)
        self._reembed = Reembed(self.catalog, self._again, self.clock, has_before)
        self._pages = StoredPools(
            *(self.catalog, self.bus, self.clock, _PAGES_AT_ONCE, _PAGE_POLL_SECONDS),
            *(MAX_BATCH_IMAGES, MAX_BATCH_IMAGES),
        )
        self._ingest = Ingest(
            *(self.catalog, self.collections, folder.folders, self.cache, self._pages),
            self.clock,
            lambda: encoder.model_revision,
            self.forget.keep_down,
        )

    def _inference(self, encoder: Encoder, before: Sequence[Encoder]) -> InferenceProcess:
        return inference_process(
            self.settings,
            clock=self.clock,
            catalog=self.catalog,
            cache=self.cache,
            store=self.pictures,
            encoder=encoder,
            before=before,
        )

    def _fetch(self) -> FetchProcess:
        return fetch_process(
            self.settings,
            clock=self.clock,
            catalog=self.catalog,
            cache=self.cache,
            store=self.store,
            source=self.source,
            publisher=self.bus,
            collections=self.collections,
        )

    def _query(self, limiter: RateLimiter) -> QueryProcess:
        search = search_of(
            self.settings,
            clock=self.clock,
            catalog=self.catalog,
            cache=self.cache,
            limiter=limiter,
            publisher=self.bus,
            scorer=self.inference.scorer,
            wake=lambda: None,  # what embeds is this process
        )
        counts = self.collections.counts
        return QueryProcess(self.settings, self.clock, limiter, search, self.check, counts)

    def check(self) -> None:
        """Return when a new keyword could be stored and searched, else raise Unavailable."""
        self.catalog.check()
        self.inference.encoder.check()
        self.store.check()

    def sweep(self) -> None:
        """
        Delete what earlier processes left in the store and nobody needs: see `FolderStore`.

        While another library has the images, the file knows who needs those of collections alone.
        """
        stored = self._sqlite_originals
        has_all_in_file = isinstance(self.catalog.library, SqliteLibrary)
        try:
            unused = stored.unused if has_all_in_file else stored.unused_of_collections
            gone = self.store.sweep(unused())
        except Unavailable as error:  # they do no harm, and `check` tells of what does
            logger.warning("files that nobody needs may be left: %s", error)
        else:
            if gone:
                logger.info("%d files that nobody needs were deleted", gone)

    def renew_own(self) -> None:
        """Have the catalog say of own pictures what their files do, where a process was killed."""
        try:
            ids = self.collections.to_renew()
            own_images.renew(self.catalog.library, self.collections, ids)
        except ImageSearchError as error:
            logger.warning("own pictures may be found that are gone: %s", error)

    def resume(self) -> None:
        """
        Publish what an ended process left unfinished; its messages went with it.

        Pub/Sub's would not have: the port `Pools` has no `unfinished`.
        """
        for pool in self._folder.pools.unfinished():
            if pool.options.source in STORED_SOURCES:  # `reembed` and `ingest` go on with them
                continue
            logger.info("resuming pool_id=%s state=%s", pool.pool_id, pool.current.state)
            try:
                self._again.publish(pool)
            except ImageSearchError as error:  # their next searches take the others up
                logger.warning("resuming no more pools: %s", error)
                return

    def reembed(self, tell: Callable[[Reembedding], None]) -> Reembedding:
        """Have all that is stored embedded by today's model, and note that it is: `Reembed`."""
        outcome = self._reembed(self.inference.encoder.model_revision, tell)
        if outcome.deleted is not None:
            ModelNote(self.settings).keep()
        return outcome

    def begin_reembedding(self) -> None:
        """Have that done beside all else, until it is done."""
        threading.Thread(target=self._reembed_all, name="reembed", daemon=True).start()

    def _reembed_all(self) -> None:
        def tell(stand: Reembedding) -> None:
            done, total = stand.coverage.embedded, stand.coverage.images
            logger.info("%d of %d images are embedded by the new model", done, total)

        while not self._ended.is_set():
            try:
                outcome = self.reembed(tell)
            except ImageSearchError as error:
                if not self._ended.is_set():
                    logger.warning("what is stored cannot be embedded anew yet: %s", error)
            else:
                for what in (outcome.rejections, outcome.failures):
                    for name, why in what.items():
                        logger.warning("%s is not embedded by the new model: %s", name, why)
                if outcome.deleted is not None:
                    return
            self._ended.wait(_REST_SECONDS)

    def update(self, name: str, tell: Callable[[Update], None]) -> Update:
        """
        Bring the collection *name* up to date, as it was asked for: see `Ingest`.

        Raises:
            NotFound: there is no such collection, or its folder is not there.
        """
        request = self.collections.asked().get(name, 0)
        try:
            update = self._ingest(self.collection(name), tell)
        except Exception as error:
            if not self._ended.is_set():  # else the next process goes on with it
                said = str(error) if isinstance(error, ImageSearchError) else "a bug: see the log"
                stood = self.collections.last_update(name)
                self.collections.note(name, replace(stood, is_over=True, error=said))
                self.collections.answer(name, request)
            raise
        self.collections.answer(name, request)
        return update

    def collection(self, name: str) -> Collection:
        """Return the collection *name*; NotFound when there is none."""
        for collection in self.collections.all():
            if collection.name == name:
                return collection
        raise NotFound(f"there is no collection {name!r}")

    def begin_collections(self) -> None:
        """Have the updates made that are asked for, by whichever process, beside all else."""
        threading.Thread(target=self._update_all, name="collections", daemon=True).start()

    def _update_all(self) -> None:
        while not self._ended.wait(_ASKED_SECONDS):
            try:
                for name in self.collections.asked():
                    self._update_asked(name)
            except ImageSearchError as error:
                logger.warning("collections are not brought up to date yet: %s", error)
            except Exception:  # the thread must outlive whatever is raised
                logger.exception("collections are not brought up to date yet: a bug")

    def _update_asked(self, name: str) -> None:
        try:
            update = self.update(name, lambda _: None)
            logger.info("collection %r: %d images embedded", name, update.embedded)
        except ImageSearchError as error:
            logger.warning("collection %r is not up to date: %s", name, error)

    def begin_forgetting(self) -> None:
        """Have this process follow what others forget, and sweep once a day, beside all else."""
        threading.Thread(target=self._follow_and_sweep, name="forgetting", daemon=True).start()

    def _follow_and_sweep(self) -> None:
        sweep_at = self.clock.monotonic() + _FIRST_SWEEP_SECONDS
        while not self._ended.wait(_FOLLOW_SECONDS):
            self.follow_forgotten()
            if self.clock.monotonic() >= sweep_at:
                self.sweep_unused()
                sweep_at = self.clock.monotonic() + _DAY_SECONDS

    def follow_forgotten(self) -> None:
        """Let go of copies of what was forgotten since the last look, and once more later."""
        self._withdrawn(at_once=True)
        if self._let_go_again is not None and self.clock.monotonic() >= self._let_go_again:
            self._let_go()
            self._let_go_again = None

    def sweep_unused(self) -> None:
        """Forget what nobody used for as long as the settings say, and what was taken down."""
        try:
            if days := self.settings.retention_days:
                swept = self.forget(ForgetJob(unused_days=days))
                counts = (swept.images, swept.pools, days)
                logger.info("%d images and %d pools were not used for %d days", *counts)
            else:
                self.forget.again()
        except ImageSearchError as error:
            logger.warning("what was not used for long is forgotten later: %s", error)

    def _let_go(self) -> None:
        """Let go of copies: something was forgotten, here or by another process."""
        self.cache.clear()
        self.inference.scorer.forget()
        # A search that is under way has read before and may write still.
        self._let_go_again = self.clock.monotonic() + _SEARCH_SECONDS

    def stop(self, timeout_seconds: float) -> None:
        """Begin nothing more; wait *timeout_seconds* at most for the deliveries in hand."""
        self._ended.set()
        self._again.stop()
        self._pages.stop()
        self.fetch.fetch.stop()
        self.bus.stop(timeout_seconds)

    def close(self) -> None:
        """Close what was opened."""
        self.source.close()
        self.catalog.close()

    def _forget_copies(self) -> None:
        """Have what this process holds of a catalog that is gone asked for again."""
        self._on_new_folder()
        self.cache.clear()
        self.inference.scorer.forget()


class StoredCollections:
    """
    The collections in the data folder, for whoever needs no model: any process, at any time.

    Attributes:
        folders: what the collections' pictures are read from.
        forgetting: forgets what is in the data folder; an `imagesearch serve` follows.

    Raises:
        Unavailable: the catalog's file cannot be opened.
    """

    def __init__(self, settings: Settings) -> None:
        clock = SystemClock()
        self._folder = DataFolder(settings, clock)
        self.catalog, self.collections = self._folder.catalog, self._folder.collections
        self.folders = self._folder.folders
        # Of a process that is over at once: whoever else has copies follows by the catalog.
        self.forgetting = Forget(
            *(self.catalog, self._folder.store, InProcessCache(), clock), self.collections
        )

    def captioned(self, collection: Collection) -> CaptionedSet:
        """
        Return the captioned set that *collection* is: its images, and what is said of them.

        What is embedded already is not embedded again.

        Raises:
            InvalidRequest: no picture of it has a caption.
        """
        library, pictures = self.catalog.library, self._folder.pictures
        withdrawn = self.catalog.retention.withdrawn().keys()
        return captioned_collection(self.collections, library, pictures, collection.name, withdrawn)

    def forget(self, collection: Collection) -> int:
        """Forget *collection*, and the images that no other one has; return how many went."""
        known = self.collections.known_files(collection.name)
        gone = own_images.forget(self.catalog.library, self.collections, collection)
        self.forgetting.do(Plan(tuple(gone)))  # with their previews
        self._folder.store.delete(own_images.unlisted_downloads(self.collections, known))
        return len(gone)

    def close(self) -> None:
        """Close what was opened."""
        self.catalog.close()
