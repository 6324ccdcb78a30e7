"""The use case `fetch`: a pool's images from the source into the store, batch by batch.

Listing is behind `ImageSource`, downloading and storing is `downloads.py`; embedding what is stored
is `embed.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, as_completed
from contextlib import closing
from dataclasses import dataclass, field, replace

from imagesearch.domain.errors import (
    ImageSearchError,
    InvalidRequest,
    RejectedImage,
    SourceRefused,
    Unavailable,
)
from imagesearch.domain.forgetting import without
from imagesearch.domain.images import ListedImage, Listing
from imagesearch.domain.pool_life import EMBEDDED, PENDING, Members
from imagesearch.domain.pools import Pool
from imagesearch.domain.work import BatchImage, EmbedBatch, FetchJob, batch_slices
from imagesearch.ports import Cache, Clock, ImageSource, ImageStore, Publisher
from imagesearch.telemetry import stage, waiting
from imagesearch.usecases.cache_slots import STATE
from imagesearch.usecases.downloads import DownloadFailed, Downloads
from imagesearch.usecases.pools import Catalog
from imagesearch.usecases.withdrawn import Withdrawn


@dataclass(frozen=True)
class FetchReport:
    """What one run did: how many images it stored, had already, rejected, and left over."""

    outcome: str = "fetched"
    stored: int = 0
    reused: int = 0
    rejected: int = 0
    unavailable: int = 0


@dataclass
class _Batch:
    """A slice of the listing; handed over when each image of *todo* is settled."""

    todo: list[ListedImage]
    downloaded: list[ListedImage] = field(default_factory=list)
    reused: list[ListedImage] = field(default_factory=list)
    rejections: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def stored(self) -> list[ListedImage]:
        return self.downloaded + self.reused

    @property
    def is_settled(self) -> bool:
        return len(self.stored) + len(self.rejections) + len(self.failures) == len(self.todo)


@dataclass(frozen=True)
class Fetch:
    """
    Fetch one generation of a pool; running it twice, at once or after a crash is safe.

    The listing is recorded once per generation and cut into batches by position, so every run
    makes the same batches and goes on where the last one stopped. A later run that still has
    something to download asks for fresh links first; one that has not leaves the source alone.
    Downloads begin with the first page of the listing, before it is recorded: should the run end
    here, or another have recorded its listing first, they are images of the keyword all the same.

    Attributes:
        connections: how many images are downloaded at a time.
    """

    catalog: Catalog
    cache: Cache
    store: ImageStore
    source: ImageSource
    publisher: Publisher
    clock: Clock
    connections: int = 16
    _stopping: threading.Event = field(default_factory=threading.Event)
    _withdrawn: Withdrawn = field(init=False)

    def __post_init__(self) -> None:
        withdrawn = Withdrawn(self.catalog.retention, self.clock)
        object.__setattr__(self, "_withdrawn", withdrawn)

    def __call__(self, job: FetchJob, *, last_attempt: bool = False) -> FetchReport:
        """
        Do *job*; on the *last_attempt* images that could not be had are rejected.

        Raises:
            Overloaded, Unavailable, DeadlineExceeded: deliver the job again later.
        """
        pool = self.catalog.begin_fetch(job.pool_id, job.generation, self.clock.now())
        if pool is None:
            return FetchReport(outcome="nothing to do")
        self.cache.put(STATE, pool.pool_id, pool)
        try:
            return self._fetch(job, last_attempt)
        except (SourceRefused, InvalidRequest) as error:  # no retry can help
            now = self.clock.now()
            self._note(self.catalog.fail(job.pool_id, job.generation, str(error), now))
            return FetchReport(outcome="refused by the source")
        except ImageSearchError as error:
            self.catalog.record_error(job.pool_id, job.generation, str(error))
            raise

    def stop(self) -> None:
        """Start no more downloads: the process ends, and the catalog knows what is left."""
        self._stopping.set()

    def _fetch(self, job: FetchJob, last_attempt: bool) -> FetchReport:
        self._withdrawn(at_once=True)
        with closing(self._downloads()) as downloads:
            members, listed_now = self._members(job, downloads)
            batches = _batches(members)
            if not listed_now:
                self._refresh_links(job, batches, downloads)
            has_images = bool(members.marks.in_state(EMBEDDED))
            self._hand_over_all(job, self._settled(batches, downloads), has_images)
        failures = {key: why for batch in batches for key, why in batch.failures.items()}
        if failures:
            self._settle(job, batches, failures, last_attempt)
        self._note(self.catalog.finish_fetch(job.pool_id, job.generation, self.clock.now()))
        return FetchReport(
            stored=sum(len(batch.downloaded) for batch in batches),
            reused=sum(len(batch.reused) for batch in batches),
            rejected=sum(len(batch.rejections) for batch in batches),
            unavailable=len(failures),
        )

    def _downloads(self) -> Downloads:
        return Downloads(
            self.source,
            self.store,
            self.cache,
            connections=self.connections,
            stopping=self._stopping,
            withdrawn=self._withdrawn,
        )

    def _hand_over_all(self, job: FetchJob, batches: Iterator[_Batch], has_images: bool) -> None:
        """Hand batches over as they settle, from the first that has an image if none has yet."""
        held: list[_Batch] = []
        for batch in batches:
            held.append(batch)
            has_images = has_images or bool(batch.stored)
            while has_images and held:
                self._hand_over(job, held.pop(0))
        refused = [why for batch in held for why in batch.rejections.values()]
        if refused:
            raise _none_usable(refused)

    @stage("list")
    def _members(self, job: FetchJob, downloads: Downloads) -> tuple[Members, bool]:
        """Return what is listed, and True when that is new and its images are on their way."""
        members = self.catalog.members(job.pool_id, job.generation)
        if members is not None:
            return members, False
        pages = []
        for offered in self.source.pages(job.keyword, job.options):
            page = without(offered, self._withdrawn())
            downloads.begin(page.images)
            pages.append(page)
        # Again: what was taken down while the source was asked must not be named by the pool.
        withdrawn = self._withdrawn(at_once=True)
        listing = without(Listing.joined(pages), withdrawn)
        unusable = [why for each, why in listing.rejections.items() if each not in withdrawn]
        if unusable and not listing.images:
            raise _none_usable(unusable)
        now = self.clock.now()
        self._note(self.catalog.record_listing(job.pool_id, job.generation, listing, now))
        # As it is recorded: another run may have been first.
        members = self.catalog.members(job.pool_id, job.generation)
        return members or Members.of(Listing(())), True

    @stage("list")
    def _refresh_links(
        self, job: FetchJob, batches: Sequence[_Batch], downloads: Downloads
    ) -> None:
        """Ask the source again where missing images are: links end, the demo's with its process."""
        if downloads.are_stored([listed for batch in batches for listed in batch.todo]):
            return
        listing = Listing.joined(self.source.pages(job.keyword, job.options))
        links = {listed.image.image_id: listed.download_url for listed in listing.images}
        for batch in batches:
            batch.todo = [
                replace(listed, download_url=links.get(listed.image.image_id, listed.download_url))
                for listed in batch.todo
            ]

    def _settled(self, batches: Sequence[_Batch], downloads: Downloads) -> Iterator[_Batch]:
        """Store what is missing and yield each batch as soon as its last image is settled."""
        futures = {
            future: (batch, listed)
            for batch in batches
            for future, listed in zip(downloads.begin(batch.todo), batch.todo, strict=True)
        }
        for future in waiting("download", as_completed(futures)):
            batch, listed = futures[future]
            self._sort(future, batch, listed)
            if batch.is_settled:
                yield batch

    @staticmethod
    def _sort(future: Future[bool], batch: _Batch, listed: ListedImage) -> None:
        """Note in *batch* what became of an image."""
        image_id = listed.image.image_id
        try:
            downloaded = future.result()
        except RejectedImage as error:
            batch.rejections[image_id] = str(error)
        except DownloadFailed as error:
            batch.failures[image_id] = str(error)
        else:
            (batch.downloaded if downloaded else batch.reused).append(listed)

    @stage("publish")
    def _hand_over(self, job: FetchJob, batch: _Batch) -> None:
        if batch.rejections:
            self._reject(job, batch.rejections)
        if batch.stored:
            images = tuple(
                BatchImage(image_id=each.image.image_id, object_name=each.image.object_name)
                for each in batch.stored
            )
            self.publisher.publish(
                EmbedBatch(
                    pool_id=job.pool_id,
                    generation=job.generation,
                    images=images,
                )
            )
        # A long download is progress too.
        self.catalog.renew_lease(job.pool_id, job.generation, self.clock.now())

    def _settle(
        self,
        job: FetchJob,
        batches: Sequence[_Batch],
        failures: dict[str, str],
        last_attempt: bool,
    ) -> None:
        """Ask for another delivery, or on the last one go without the images that failed."""
        has_images = self._has_embedded(job) or any(batch.stored for batch in batches)
        if self._stopping.is_set() or not (last_attempt and has_images):
            first = next(iter(failures.values()))
            raise Unavailable(f"{len(failures)} images could not be downloaded: {first}")
        self._reject(job, failures)

    def _has_embedded(self, job: FetchJob) -> bool:
        pool = self.catalog.pool(job.pool_id)
        return pool is not None and pool.current.embedded > 0

    @stage("record")
    def _reject(self, job: FetchJob, rejections: dict[str, str]) -> None:
        self._note(self.catalog.reject(job.pool_id, job.generation, rejections, self.clock.now()))

    def _note(self, pool: Pool | None) -> None:
        if pool is not None:
            self.cache.put(STATE, pool.pool_id, pool)


@stage("plan")
def _batches(members: Members) -> list[_Batch]:
    """Cut the listing by position, and leave out what is done."""
    images, pending = members.listing.images, set(members.marks.in_state(PENDING))
    batches = []
    for part in batch_slices(len(images)):
        todo = [listed for listed in images[part] if listed.image.image_id in pending]
        batches.append(_Batch(todo))
    return [batch for batch in batches if batch.todo]


def _none_usable(reasons: Sequence[str]) -> Unavailable:
    """
    Return the error for a source that offers images, and not one that can be used.

    It is at fault itself: a "ready" pool with nothing in it would be remembered for a day.
    """
    return Unavailable(f"not one of {len(reasons)} images could be used: {reasons[0]}")


@dataclass(frozen=True)
class GiveUp:
    """Mark a generation failed whose message ended in the dead-letter topic."""

    catalog: Catalog
    cache: Cache
    clock: Clock

    def __call__(self, pool_id: str, generation: int, reason: str) -> None:
        """
        Fail the generation, unless it is over; doing it twice equals once.

        Raises:
            Unavailable: deliver the dead letter again later.
        """
        pool = self.catalog.give_up(pool_id, generation, reason, self.clock.now())
        if pool is not None:
            self.cache.put(STATE, pool.pool_id, pool)
