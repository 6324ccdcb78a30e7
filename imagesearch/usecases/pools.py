"""The catalog: the life of a pool over `Pools` and `Library`, the same for whatever keeps them.

What a step makes of a pool is decided in `domain/pool_life.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType

from imagesearch.domain import pool_life
from imagesearch.domain.collections import is_own
from imagesearch.domain.errors import Bug
from imagesearch.domain.forgetting import day_of
from imagesearch.domain.images import Embedding, Listing, PackedPool
from imagesearch.domain.pixels import PixelFacts
from imagesearch.domain.pool_life import Absent, Members, Record
from imagesearch.domain.pools import Pool, PoolKey, PoolPolicy, PoolRequest, PoolState
from imagesearch.ports import Library, Pools, Retention


@dataclass(frozen=True)
class Catalog:
    """
    Pools, images and embeddings: the truth. Losing the cache loses nothing held here.

    Every method raises Unavailable when the catalog does not answer. The pool is then as it was,
    or as it would have become; embeddings may be stored. Doing it again is right in each case.
    A *generation* that is not the pool's current one, or is over, is never changed: each step
    then returns None.

    Attributes:
        pools, library: of one database or of two, and each closes its own; what the ports say of
            nearest images is in `library`.
        retention: of the database of the pools.
    """

    pools: Pools
    library: Library
    policy: PoolPolicy
    retention: Retention

    def request_pool(self, key: PoolKey, now: datetime) -> PoolRequest:
        """
        Return the pool of *key*, creating it or its next generation when that is due.

        Exactly one of many concurrent callers gets `created=True` and must publish a FetchJob
        for `pool.current`. That is due when the pool is absent, when its current generation is
        ready and older than the policy's age, or failed and past `retry_at` (next generation),
        and when one in progress has lost its lease (the same generation again). The lease is the
        policy's `lease_seconds`, and `queue_seconds` whenever a later step renews it.
        """

        def decide(record: Record | Absent) -> Record | None:
            return pool_life.request(record, key, now, self.policy)

        change = self.pools.change(key.pool_id, decide)
        pool = change.after or change.before
        if pool is None:
            raise Bug(f"pool {key.pool_id} was neither there nor made")
        return PoolRequest(pool, created=change.after is not None)

    def count(self, what: str, now: datetime, most: int, more: int = 1) -> bool:
        """Count so many *more* of *what* on this day of UTC; False where *most* are exceeded."""
        return self.pools.count(what, day_of(now), most, more)

    def pool(self, pool_id: str) -> Pool | None:
        """Return the pool, or None."""
        return self.pools.get(pool_id)

    def members(self, pool_id: str, generation: int) -> Members | None:
        """Return what the generation's listing has and what became of it, None if not listed."""
        return self.pools.members(pool_id, generation)

    def renew_lease(self, pool_id: str, generation: int, now: datetime) -> Pool | None:
        """Note that the generation's work is in the queue's hands, or goes on."""
        return self._advance(
            pool_id, generation, lambda record: pool_life.renew_lease(record, now, self.policy)
        )

    def begin_fetch(self, pool_id: str, generation: int, now: datetime) -> Pool | None:
        """Mark the generation `fetching` when `requested` and renew its lease."""
        return self._advance(
            pool_id, generation, lambda record: pool_life.begin_fetch(record, now, self.policy)
        )

    def record_listing(
        self, pool_id: str, generation: int, listing: Listing, now: datetime
    ) -> Pool | None:
        """
        Record what the source offers; the first listing of a generation stays.

        An image listed twice counts once. An empty listing makes the pool ready with 0 images.

        Raises:
            InvalidRequest: it takes more than the catalog keeps.
        """

        def record(before: Record) -> Record:
            return pool_life.record_listing(before, listing, now, self.policy)

        return self._advance(pool_id, generation, record, with_marks=True)

    def finish_fetch(self, pool_id: str, generation: int, now: datetime) -> Pool | None:
        """Mark a `fetching` generation `embedding`: all it needs is stored; renew its lease."""
        return self._advance(
            pool_id, generation, lambda record: pool_life.finish_fetch(record, now, self.policy)
        )

    def record_batch(
        self,
        pool_id: str,
        generation: int,
        *,
        model_revision: str,
        embeddings: Mapping[str, Embedding],
        pixels: Mapping[str, PixelFacts] = MappingProxyType({}),
        rejections: Mapping[str, str],
        reused: Collection[str] = (),
        now: datetime,
    ) -> Pool | None:
        """
        Store *embeddings* by image_id, mark them and the *rejections* done, renew the lease.

        With them is stored what is kept of their *pixels*. *reused* are images that had an
        embedding of *model_revision* before: embedded, too, when they have. What comes first about
        an image stays, and what the generation never listed is left out. The generation becomes
        ready when nothing is pending. Doing it twice equals once. Embeddings are stored even when
        the generation is over (they are keyed by image and model), and before the pool that counts
        them.
        """
        members = self.members(pool_id, generation) if embeddings or reused else None
        listed = members.images if members else {}
        ids = [each for each in dict.fromkeys([*embeddings, *reused]) if each in listed]
        embedded: set[str] = set()
        if ids:
            vectors = {each: embeddings[each] for each in ids if each in embeddings}
            images = [replace(listed[each].image, pixels=pixels.get(each)) for each in ids]
            # Before them: what is stored and never noted would never be unused.
            others = [image.image_id for image in images if not is_own(image.object_name)]
            if others:
                self.retention.note_used(others, day_of(now))
            embedded = self.library.put(images, vectors, model_revision)

        def record(before: Record) -> Record:
            return pool_life.record_batch(before, embedded, rejections, now, self.policy)

        return self._advance(pool_id, generation, record, with_marks=True)

    def reject(
        self, pool_id: str, generation: int, rejections: Mapping[str, str], now: datetime
    ) -> Pool | None:
        """Mark pending images rejected, by image_id with their reasons, and renew the lease."""

        def record(before: Record) -> Record:
            return pool_life.record_batch(before, (), rejections, now, self.policy)

        return self._advance(pool_id, generation, record, with_marks=True)

    def packed_pool(self, pool_id: str, generation: int, model_revision: str) -> PackedPool:
        """Return the generation's images that have an embedding, but for the rejected ones."""
        members = self.members(pool_id, generation)
        images = {image.image_id: image for image in members.usable} if members else {}
        pixels, embeddings = self.library.vectors(list(images), model_revision)
        packed = tuple(replace(images[each], pixels=facts) for each, facts in pixels.items())
        return PackedPool(packed, embeddings)

    def reopen(
        self,
        pool_id: str,
        generation: int,
        model_revision: str,
        now: datetime,
        *,
        keeps_answering: bool = False,
    ) -> Pool | None:
        """
        Put a ready current generation back to `embedding` when *model_revision* lacks images.

        Images with no embedding of that revision become pending; rejected ones stay rejected.
        `pool.ready` is None until the generation is ready again, or with *keeps_answering* the
        generation as it was, for a scorer that has the model that embedded it. A generation whose
        listing is damaged is put back to `requested`, to be listed anew. Exactly one of many
        concurrent callers gets the pool, and must publish a FetchJob.
        """
        pool = self.pool(pool_id)
        if pool is None or pool.current.number != generation:
            return None
        if pool.current.state is not PoolState.READY:
            return None
        members = self.members(pool_id, generation)
        ids = [image.image_id for image in members.usable] if members else []
        embedded = self.library.embedded(ids, model_revision)
        if members and len(embedded) == len(ids):
            return None

        def decide(record: Record | Absent) -> Record | None:
            if isinstance(record, Absent):
                return None
            return pool_life.reopen(
                record, generation, embedded, now, self.policy, keeps_answering=keeps_answering
            )

        return self.pools.change(pool_id, decide, marks_of=generation).after

    def record_error(self, pool_id: str, generation: int, reason: str) -> None:
        """Keep *reason*, until the work goes on, as why an attempt on a generation failed."""
        self._advance(pool_id, generation, lambda record: pool_life.record_error(record, reason))

    def fail(self, pool_id: str, generation: int, reason: str, now: datetime) -> Pool | None:
        """
        Mark a generation in progress failed until the policy's retry time.

        Its reason is *reason*, whatever attempts before met.
        """
        return self._advance(
            pool_id, generation, lambda record: pool_life.fail(record, reason, now, self.policy)
        )

    def give_up(self, pool_id: str, generation: int, reason: str, now: datetime) -> Pool | None:
        """Fail it as `fail` does, for what `record_error` kept, or for *reason* without."""
        return self._advance(
            pool_id, generation, lambda record: pool_life.give_up(record, reason, now, self.policy)
        )

    def check(self) -> None:
        """Return when the catalog answers, else raise Unavailable."""
        self.pools.check()

    def close(self) -> None:
        """Close what is open; every later call raises Unavailable."""
        self.library.close()
        self.pools.close()

    def _advance(
        self,
        pool_id: str,
        generation: int,
        step: Callable[[Record], Record],
        *,
        with_marks: bool = False,
    ) -> Pool | None:
        """Do *step* when the generation is the current one and in progress."""

        def decide(record: Record | Absent) -> Record | None:
            if isinstance(record, Absent) or not record.is_open(generation):
                return None
            return step(record)

        marks_of = generation if with_marks else None
        return self.pools.change(pool_id, decide, marks_of=marks_of).after
