"""Pools of images whose originals are there already: nothing is fetched for them, only embedded.

What re-embeds all that is stored is `reembed.py`, what takes in collections `ingest.py`.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from imagesearch.domain.collections import OWN
from imagesearch.domain.images import Image, ListedImage, Listing
from imagesearch.domain.pools import Pool, PoolKey, PoolState, SourceOptions
from imagesearch.domain.work import (
    FIRST_BATCH_IMAGES,
    USUAL_BATCH_IMAGES,
    BatchImage,
    EmbedBatch,
    FetchJob,
    batch_slices,
)
from imagesearch.ports import Clock, Publisher
from imagesearch.usecases.pools import Catalog

STORED = "stored"
"""The source of pools of images that no keyword's pool lists any more: it is never asked."""

STORED_SOURCES = frozenset((STORED, OWN))
"""Those of pools whose originals are there already."""


@dataclass(frozen=True)
class StoredPools:
    """
    Has pools worked on, some at a time.

    Attributes:
        at_once: how many are in work at a time: what a new keyword may have to wait for.
        poll_seconds: how often it is looked whether one is done.
        first_batch: images of a pool's first batch, which each next one has twice as many of.
        most_batch: those of the largest one.
    """

    catalog: Catalog
    publisher: Publisher
    clock: Clock
    at_once: int
    poll_seconds: float = 1.0
    first_batch: int = FIRST_BATCH_IMAGES
    most_batch: int = USUAL_BATCH_IMAGES
    _stopping: threading.Event = field(default_factory=threading.Event)

    def stop(self) -> None:
        """Begin no more pools: the process ends, and the next one goes on."""
        self._stopping.set()

    @property
    def is_stopping(self) -> bool:
        """Whether no more pools are begun."""
        return self._stopping.is_set()

    def of(self, images: Sequence[Image], source: str, name: str) -> Pool:
        """
        Return the pool of *images*, in work or, if this is the second run, done.

        Args:
            name: what tells it from other pools of the same images.
        """
        names = " ".join([name, *(image.image_id for image in images)])
        digest = hashlib.sha256(names.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        key = PoolKey(f"{source} {digest}", SourceOptions(source))
        now = self.clock.now()
        pool = self.catalog.request_pool(key, now).pool
        if pool.current.state.in_progress and not pool.current.images:
            listing = Listing(tuple(ListedImage(image, "") for image in images))
            number = pool.current.number
            pool = self.catalog.record_listing(key.pool_id, number, listing, now) or pool
            self.publish(pool)
        return pool

    def in_turn(
        self,
        pools: Iterator[Pool],
        while_waiting: Callable[[Collection[Pool]], None] = lambda _: None,
    ) -> Iterator[Pool]:
        """
        Yield *pools* as they are done, of which the next begins when there is room.

        Args:
            while_waiting: called with those in work, as they stand, each time before it is looked
                again; what it raises ends it.
        """
        in_work: dict[str, Pool] = {}
        while not self._stopping.is_set():
            in_work |= {pool.pool_id: pool for pool in islice(pools, self.at_once - len(in_work))}
            if not in_work:
                return
            in_work = {pool_id: self.looked_at(pool) for pool_id, pool in in_work.items()}
            done = [pool for pool in in_work.values() if not pool.current.state.in_progress]
            for pool in done:
                del in_work[pool.pool_id]
                yield pool
            if not done:
                while_waiting(in_work.values())
                self.clock.sleep(self.poll_seconds)

    def publish(self, pool: Pool) -> None:
        """Publish what goes on with the pool, and note that it is in the queue's hands."""
        pool_id, number = pool.pool_id, pool.current.number
        if pool.options.source in STORED_SOURCES:
            for batch in self._batches(pool):
                self.publisher.publish(batch)
        else:
            self.publisher.publish(FetchJob(pool_id, number, pool.keyword, pool.options))
        self.catalog.renew_lease(pool_id, number, self.clock.now())

    def _batches(self, pool: Pool) -> Iterator[EmbedBatch]:
        members = self.catalog.members(pool.pool_id, pool.current.number)
        pending = members.pending if members else ()
        parts = batch_slices(len(pending), self.first_batch, self.most_batch)
        for part in parts:
            images = tuple(
                BatchImage(each.image.image_id, each.image.object_name) for each in pending[part]
            )
            yield EmbedBatch(pool.pool_id, pool.current.number, images)

    def looked_at(self, pool: Pool) -> Pool:
        """Return the pool as it stands; have what was lost of its work done again."""
        stands = self.catalog.pool(pool.pool_id)
        if stands is None:  # forgotten meanwhile
            return replace(pool, current=replace(pool.current, state=PoolState.READY))
        is_lost = stands.due_generation(self.clock.now(), self.catalog.policy) is not None
        if is_lost and stands.current.state.in_progress:
            self.publish(stands)
        return stands
