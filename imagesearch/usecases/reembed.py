"""The use case `reembed`: all that is stored embedded by the model of today (decision 0073).

A pool is put back to `embedding` and does what any pool does then: its originals are read, those
that are gone are fetched again, and what cannot be had is rejected with a reason. Meanwhile the
model that embedded it before answers, see `scorers.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from imagesearch.domain.collections import OWN
from imagesearch.domain.pools import Pool, PoolKey, PoolState
from imagesearch.ports import Clock, Coverage
from imagesearch.usecases.pools import Catalog
from imagesearch.usecases.stored_pools import STORED, STORED_SOURCES, StoredPools

_POOL_IMAGES = 200  # in such a pool
_TELL_SECONDS = 5.0  # to count what is done takes a third of a second at a million images


@dataclass(frozen=True)
class Reembedding:
    """
    How far it is, or what came of it.

    Attributes:
        coverage: how many images have an embedding of the model of today.
        rejections: why others cannot have one, by image_id.
        failures: why pools could not be embedded, by keyword.
        deleted: embeddings of other models that went at the end; None before it, and where
            anything failed or waits still.
    """

    coverage: Coverage
    rejections: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    deleted: int | None = None


@dataclass(frozen=True)
class Reembed:
    """
    Has all that is stored embedded anew; broken off and begun again, it goes on where it was.

    Attributes:
        has_before: whether somebody scores by the models before, so that pools answer meanwhile.
    """

    catalog: Catalog
    pools: StoredPools
    clock: Clock
    has_before: Callable[[], bool] = lambda: True

    def __call__(self, model_revision: str, tell: Callable[[Reembedding], None]) -> Reembedding:
        """
        Return when nothing that is stored awaits *model_revision*; other embeddings go then.

        Args:
            tell: called with how far it is, before the first pool and now and then.

        Raises:
            Overloaded, Unavailable: the catalog or the queue does not answer; begin again later.
        """
        library = self.catalog.library
        if library.model_revisions() in ([], [model_revision]):
            return Reembedding(library.coverage(model_revision), deleted=0)
        rejections: dict[str, str] = {}
        failures: dict[str, str] = {}
        told_at = -math.inf

        def told(_: object = None) -> None:
            nonlocal told_at
            if self.clock.monotonic() >= told_at + _TELL_SECONDS:
                tell(Reembedding(library.coverage(model_revision), rejections, failures))
                told_at = self.clock.monotonic()

        told()
        # What keywords list comes first: the others are what is left then.
        for begun in (self._of_keywords, self._of_no_keyword):
            for pool in self.pools.in_turn(begun(model_revision), told):
                if pool.current.state is PoolState.FAILED:
                    failures[pool.keyword] = pool.current.reason or "for no reason that is noted"
                elif pool.options.source in STORED_SOURCES:
                    members = self.catalog.members(pool.pool_id, pool.current.number)
                    rejections |= members.rejections if members else {}
                told()
        deleted = None
        if not failures and not self.pools.is_stopping:
            # Whoever embeds may do so for another model than this: mistyped, or not rolled out yet.
            waiting = (image.image_id for image in library.waiting(model_revision))
            if all(image_id in rejections for image_id in waiting):
                deleted = library.keep_only(model_revision)
        return Reembedding(library.coverage(model_revision), rejections, failures, deleted)

    def stop(self) -> None:
        """Begin no more pools: the process ends, and the next one goes on."""
        self.pools.stop()

    def _of_keywords(self, model_revision: str) -> Iterator[Pool]:
        """Yield the pools that are in work, each that lacks embeddings among them."""
        for pool_id in self.catalog.pools.pool_ids():
            pool = self.catalog.pool(pool_id)
            if pool is None:
                continue
            if pool.options.source == OWN:  # `ingest.py` goes on with it
                continue
            if pool.options.source == STORED:
                # Of a run that was broken off, whose messages may be lost. What others of these
                # have is done, or waits and comes into new ones.
                if pool.current.state.in_progress and pool.current.images:
                    self.pools.publish(pool)
                    yield pool
                continue
            if pool.current.state.in_progress:
                yield pool
                continue
            again = self._again(pool, model_revision)
            if again is not None:
                self.pools.publish(again)
                yield again

    def _again(self, pool: Pool, model_revision: str) -> Pool | None:
        """Return the pool with its work begun again; None where it lacks nothing, or rests."""
        number, now = pool.current.number, self.clock.now()
        if pool.current.state is PoolState.READY:
            return self.catalog.reopen(
                pool.pool_id, number, model_revision, now, keeps_answering=self.has_before()
            )
        if not self._lacks(pool, model_revision):
            return None
        requested = self.catalog.request_pool(PoolKey(pool.keyword, pool.options), now)
        return requested.pool if requested.created else None

    def _lacks(self, pool: Pool, model_revision: str) -> bool:
        """Return whether images of the pool have an embedding of other models alone."""
        members = self.catalog.members(pool.pool_id, pool.answering.number)
        ids = [image.image_id for image in members.usable] if members else []
        library = self.catalog.library
        by_model = {each: library.embedded(ids, each) for each in library.model_revisions()}
        return not set().union(*by_model.values()) <= by_model.get(model_revision, set())

    def _of_no_keyword(self, model_revision: str) -> Iterator[Pool]:
        """Yield pools of the images that no pool brought: expired, or left out by a newer fetch."""
        images = self.catalog.library.waiting(model_revision)
        while some := list(islice(images, _POOL_IMAGES)):
            yield self.pools.of(some, STORED, model_revision)
