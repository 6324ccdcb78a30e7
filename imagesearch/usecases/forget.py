"""The use case `forget`: pictures that are taken down, keywords, and what was not used for long.

It is planned first, which is what a dry run shows, and done in an order in which it can be broken
off anywhere: what is told of the rest goes last, so that the next run finds it. Forgetting a
collection is `own_images.py`; how other processes follow is `withdrawn.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from imagesearch.domain.collections import OWN, downloaded_name, is_own_id, url_of_path
from imagesearch.domain.forgetting import (
    TAKEN_DOWN,
    Forgotten,
    Withdrawal,
    checked_image_id,
    day_of,
    object_names_of,
)
from imagesearch.domain.keywords import normalise_keyword
from imagesearch.domain.pools import Pool
from imagesearch.domain.work import ForgetJob
from imagesearch.ports import Cache, Clock, Collections, ImageStore
from imagesearch.usecases.cache_slots import BYTES, POOL, STATE
from imagesearch.usecases.pools import Catalog

MOST_IMAGES = 10_000  # a run, of those that nobody used: the budget of a day
_AT_ONCE = 200  # images that are forgotten before the others


@dataclass(frozen=True)
class Plan:
    """
    What is to be forgotten.

    Attributes:
        generations: of the pools, each with its number, those that may be in the cache.
        is_all: the budget of the run reaches all of it.
    """

    image_ids: tuple[str, ...] = ()
    pool_ids: tuple[str, ...] = ()
    generations: tuple[tuple[str, int], ...] = ()
    is_all: bool = True


@dataclass(frozen=True)
class Forget:
    """
    Forgets, and twice as once. Each method raises Unavailable: begin again later.

    Attributes:
        collections: those whose pictures may be taken down; None where there are none.
    """

    catalog: Catalog
    store: ImageStore
    cache: Cache
    clock: Clock
    collections: Collections | None = None

    def __call__(self, job: ForgetJob) -> Forgotten:
        """
        Do *job*.

        Raises:
            InvalidRequest: an id of an image is none.
        """
        if job.allows:
            return Forgotten(allowed=self.allow(job.image_ids))
        if job.image_ids:  # first, as it is looked for long where they are: they are shown no more
            self._withdraw(job.image_ids, job.reason)
        if job.unused_days:
            self.again()
        return self.do(self.plan(job))

    def plan(self, job: ForgetJob) -> Plan:
        """Return what *job* is to forget; InvalidRequest where an id of an image is none."""
        if job.image_ids:
            return self.plan_images(job.image_ids)
        if job.keyword:
            return self.plan_keyword(job.keyword)
        return self.plan_unused(job.unused_days) if job.unused_days else Plan()

    def plan_images(self, image_ids: Sequence[str]) -> Plan:
        """
        Return how these images are forgotten, and the pools that name them.

        Raises:
            InvalidRequest: an id is none.
        """
        ids = _checked(image_ids)
        # Pools of collections are searched by nobody; who embeds them leaves out what is withdrawn,
        # and their other images would be embedded by no one.
        naming = self._pools(self.catalog.pools.naming(ids))
        pools = [pool for pool in naming if pool.options.source != OWN]
        return Plan(ids, _ids(pools), _generations(pools))

    def plan_keyword(self, keyword: str) -> Plan:
        """Return how *keyword* is forgotten, and its images that no other keyword's pool has."""
        keyword = normalise_keyword(keyword)
        every = self._pools(self.catalog.pools.pool_ids())
        pools = [pool for pool in every if pool.keyword == keyword]
        image_ids = {each for pool in pools for each in self._listed(pool)}
        if image_ids:
            own = {pool.pool_id for pool in pools}
            others = set(self.catalog.pools.naming(image_ids)) - own
            for pool in self._pools(others):
                image_ids -= self._listed(pool)
        return Plan(tuple(sorted(image_ids)), _ids(pools), _generations(pools))

    def plan_unused(self, days: int, most: int = MOST_IMAGES) -> Plan:
        """
        Return how what was not used for so many *days* is forgotten, *most* images at a time.

        A pool is used when a search asks for it, which has it fetched anew once it is stale; an
        image when a pool that has it is fetched, and when a search over everything shows it or is
        like it.
        """
        # A pool that is fresh is not fetched anew, however often it is asked for.
        fresh = timedelta(seconds=self.catalog.policy.max_age_seconds)
        since = self.clock.now() - timedelta(days=days) - fresh
        every = self._pools(self.catalog.pools.pool_ids())
        pools = [pool for pool in every if pool.current.requested_at < since]
        image_ids = tuple(self.catalog.retention.unused(day_of(since), most))
        return Plan(image_ids, _ids(pools), _generations(pools), is_all=len(image_ids) < most)

    def preview(self, plan: Plan) -> Forgotten:
        """Return what `do` would forget; nothing is changed."""
        originals = len(self.store.existing(self._names(plan.image_ids)))
        return Forgotten(len(plan.image_ids), originals, len(plan.pool_ids), is_all=plan.is_all)

    def do(self, plan: Plan) -> Forgotten:
        """Forget what is planned, and return how much it was."""
        revisions = self.catalog.library.model_revisions()
        originals = 0
        for start in range(0, len(plan.image_ids), _AT_ONCE):
            originals += self._forget_images(plan.image_ids[start : start + _AT_ONCE])
        for pool_id in plan.pool_ids:
            self.catalog.pools.forget(pool_id)
        if plan.image_ids or plan.pool_ids:
            self.catalog.retention.note_forgotten()
        # Last: what a search puts there meanwhile is of a catalog that has them still.
        packed = [(*each, revision) for each in plan.generations for revision in revisions]
        self.cache.drop(POOL, packed)
        self.cache.drop(STATE, plan.pool_ids)
        return Forgotten(len(plan.image_ids), originals, len(plan.pool_ids), is_all=plan.is_all)

    def again(self) -> int:
        """
        Forget the withdrawn pictures once more, and return how many originals there were.

        What was on its way while they were taken down may have been stored a moment after.
        """
        return self.keep_down(sorted(self.catalog.retention.withdrawn()))

    def keep_down(self, image_ids: Sequence[str]) -> int:
        """Forget images that are withdrawn and came again; return how many originals they had."""
        self._note_taken_down(image_ids)
        return sum(
            self._forget_images(image_ids[start : start + _AT_ONCE])
            for start in range(0, len(image_ids), _AT_ONCE)
        )

    def allow(self, image_ids: Sequence[str]) -> int:
        """Let images come back with the next fetch; return how many had been taken down."""
        withdrawn = self.catalog.retention.withdrawn()
        ids = [each for each in dict.fromkeys(image_ids) if each in withdrawn]
        if ids:
            self.catalog.retention.allow(ids)
        return len(ids)

    def _withdraw(self, image_ids: Sequence[str], reason: str) -> None:
        now = self.clock.now()
        withdrawals = [Withdrawal(each, now, reason) for each in _checked(image_ids)]
        self.catalog.retention.withdraw(withdrawals)
        self._note_taken_down(image_ids)

    def _note_taken_down(self, image_ids: Sequence[str]) -> None:
        """Have the files of own pictures count as none, and say why."""
        own = [each for each in image_ids if is_own_id(each)]
        if own and self.collections is not None:
            self.collections.note_problems(dict.fromkeys(own, TAKEN_DOWN))

    def _forget_images(self, image_ids: Sequence[str]) -> int:
        """Forget some images; return how many originals they had."""
        self.catalog.library.forget(image_ids)
        gone = self.store.delete(self._names(image_ids))
        self.cache.drop(BYTES, image_ids)
        # Last: what was broken off before is unused still, and found again.
        self.catalog.retention.drop_uses(image_ids)
        return gone

    def _names(self, image_ids: Sequence[str]) -> list[str]:
        """Return the names of all that may be stored of images, downloads of lists among it."""
        names = [name for each in image_ids for name in object_names_of(each)]
        own = [each for each in image_ids if is_own_id(each)]
        if own and self.collections is not None:
            files = self.collections.files_of(own).values()
            names += [downloaded_name(url_of_path(file.path)) for its in files for _, file in its]
        return names

    def _pools(self, pool_ids: Iterable[str]) -> Iterator[Pool]:
        return filter(None, map(self.catalog.pool, pool_ids))

    def _listed(self, pool: Pool) -> set[str]:
        """Return the images of the pool's generations that can be searched, or will be."""
        every = [self.catalog.members(*each) for each in _generations([pool])]
        return {each for members in every if members for each in members.images}


def _checked(image_ids: Sequence[str]) -> tuple[str, ...]:
    return tuple(checked_image_id(each) for each in dict.fromkeys(image_ids))


def _ids(pools: Iterable[Pool]) -> tuple[str, ...]:
    return tuple(pool.pool_id for pool in pools)


def _generations(pools: Iterable[Pool]) -> tuple[tuple[str, int], ...]:
    """Return the generations that searches are answered from, now or soon."""
    every = ((pool, each) for pool in pools for each in (pool.current, pool.ready) if each)
    return tuple(dict.fromkeys((pool.pool_id, each.number) for pool, each in every))
