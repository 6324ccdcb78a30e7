"""A pool, its generations and its identity, as frozen values."""

from __future__ import annotations

import enum
import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from imagesearch.domain.keywords import normalise_keyword

_SKEW_SECONDS = 1.0  # by which the clocks of two machines may differ


@dataclass(frozen=True)
class SourceOptions:
    """What is asked of an image source besides the keyword; part of the pool's identity."""

    source: str = "pixabay"
    language: str = "en"
    orientation: str = "all"
    category: str = ""
    colors: str = ""
    safesearch: bool = True
    pool_size: int = 200


@dataclass(frozen=True)
class PoolKey:
    """The identity of a pool: a normalised keyword and the source options."""

    keyword: str
    options: SourceOptions

    @classmethod
    def of(cls, keyword: str, options: SourceOptions) -> PoolKey:
        """Return the key of *keyword* as a person typed it."""
        return cls(normalise_keyword(keyword), options)

    @property
    def pool_id(self) -> str:
        """32 hexadecimal digits that depend on the keyword and every option."""
        return _pool_id(self)


@lru_cache(maxsize=4096)  # keywords: each search asks twice, and hashing takes longer than ranking
def _pool_id(key: PoolKey) -> str:
    identity = json.dumps([key.keyword, asdict(key.options)], sort_keys=True)
    return hashlib.sha256(identity.encode()).hexdigest()[:32]


def is_ahead(stamp: datetime | None, now: datetime, seconds: float) -> bool:
    """
    Return whether *stamp*, which was set *seconds* ahead at the most, is still to come.

    One that lies further ahead was set before the clock stepped back, and is over: else what it
    holds back would wait until the clock has caught up.
    """
    if stamp is None:
        return False
    return 0 < (stamp - now).total_seconds() <= seconds + _SKEW_SECONDS


class PoolState(enum.StrEnum):
    """Where one generation of a pool stands; `stale` is a ready one past its age."""

    REQUESTED = "requested"
    FETCHING = "fetching"
    EMBEDDING = "embedding"
    READY = "ready"
    FAILED = "failed"

    @property
    def in_progress(self) -> bool:
        """True while work on the generation is under way or should be."""
        return self not in (PoolState.READY, PoolState.FAILED)


@dataclass(frozen=True)
class PoolPolicy:
    """
    The durations of a pool's life (design §5), in seconds.

    Attributes:
        max_age_seconds: a ready pool older than this is stale; Pixabay asks for 24 h.
        lease_seconds: how long a pool may wait for its job to be published before another search
            does it.
        queue_seconds: how long work that was published may be silent before that is done again:
            the queue delivers again by itself, and a job or a batch may wait there for long.
        retry_seconds: how long a failed pool rests before a search fetches it again.
    """

    max_age_seconds: float = 86_400.0
    lease_seconds: float = 60.0
    retry_seconds: float = 60.0
    queue_seconds: float = 3600.0


@dataclass(frozen=True)
class Generation:
    """
    One fetch of a pool.

    Attributes:
        requested_at: when its first lease was begun last, until whose end the job is published.
        images: images listed by the source, 0 until the listing is recorded.
        embedded, rejected: how many of them are done; ready when the two add up to `images`.
        lease_until: while in progress, when the work counts as lost and is published again.
        reason: why it failed, or the last error of an attempt that will be repeated.
        retry_at: when a failed generation may be followed by the next.
    """

    number: int
    state: PoolState
    requested_at: datetime
    images: int = 0
    embedded: int = 0
    rejected: int = 0
    lease_until: datetime | None = None
    ready_at: datetime | None = None
    retry_at: datetime | None = None
    reason: str | None = None

    def lease_seconds(self, policy: PoolPolicy) -> float:
        """
        Return how long its lease was when it began.

        The first one ends so long after `requested_at`; a step that renews it ends it elsewhere.
        """
        if self.lease_until is None:
            return 0.0
        ends_after_seconds = (self.lease_until - self.requested_at).total_seconds()
        is_first = abs(ends_after_seconds - policy.lease_seconds) <= _SKEW_SECONDS
        return policy.lease_seconds if is_first else policy.queue_seconds


@dataclass(frozen=True)
class Pool:
    """A keyword's images: the generation in work or ready, and the one that can be served."""

    pool_id: str
    keyword: str
    options: SourceOptions
    current: Generation
    ready: Generation | None = None  # the newest generation that became ready

    @property
    def answering(self) -> Generation:
        """The generation that searches are answered from: the newest ready one, if any."""
        return self.ready or self.current

    @property
    def can_answer(self) -> bool:
        """True when there is something to answer from: embedded images, or the news of none."""
        return self.answering.embedded > 0 or self.answering.state is PoolState.READY

    def is_fresh(self, now: datetime, max_age_seconds: float) -> bool:
        """
        True when the current generation is ready and younger than *max_age_seconds*.

        The clock may have stepped back since, but not by more than that.
        """
        ready_at = self.current.ready_at
        if self.current.state is not PoolState.READY or ready_at is None:
            return False
        return abs(now - ready_at) < timedelta(seconds=max_age_seconds)

    def due_generation(self, now: datetime, policy: PoolPolicy) -> int | None:
        """
        Return the generation whose FetchJob must be published now, or None (design §5).

        A stale or failed pool is due its next generation, and one whose work lost its lease the
        same again: nothing says that the work is not still going on.
        """
        current = self.current
        if current.state is PoolState.READY:
            return None if self.is_fresh(now, policy.max_age_seconds) else current.number + 1
        if current.state is PoolState.FAILED:
            is_resting = is_ahead(current.retry_at, now, policy.retry_seconds)
            return None if is_resting else current.number + 1
        is_leased = is_ahead(current.lease_until, now, current.lease_seconds(policy))
        return None if is_leased else current.number


@dataclass(frozen=True)
class PoolRequest:
    """What `Catalog.request_pool` says: *created* is True for the one who must publish."""

    pool: Pool
    created: bool
