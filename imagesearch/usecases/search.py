"""The use case `search`: find or ask for the keyword's pool, wait a little, have it scored.

Fetching is `fetch.py`, scoring is `score.py`; both run elsewhere and are reached through ports.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from datetime import datetime

from imagesearch.domain.errors import (
    DeadlineExceeded,
    ImageSearchError,
    InvalidRequest,
    NotFound,
    Overloaded,
    Unavailable,
)
from imagesearch.domain.pools import (
    Generation,
    Pool,
    PoolKey,
    PoolPolicy,
    PoolRequest,
    PoolState,
    SourceOptions,
    is_ahead,
)
from imagesearch.domain.queries import (
    MAX_OFFSET,
    Cursor,
    Query,
    ScoreRequest,
    SearchRequest,
    short_digest,
)
from imagesearch.domain.ranking import SearchHit
from imagesearch.domain.work import FetchJob
from imagesearch.ports import Cache, Clock, Publisher, RateLimiter, Scorer, ScoreReply
from imagesearch.telemetry import note, stage
from imagesearch.usecases import clients
from imagesearch.usecases.cache_slots import STATE
from imagesearch.usecases.pools import Catalog
from imagesearch.usecases.spending import Spending
from imagesearch.usecases.withdrawn import Uses

_POLL_SECONDS = 0.1  # how often a waiting search looks at the pool's noted state
# How often it looks at the truth: of two notes at once the older may be the one that stays.
_CATALOG_POLL_SECONDS = 1.0
_MAX_WAITING = 64  # searches of a process that may wait at a time; others answer at once
_TURNS = 64  # locks that the pools of a process share when they are asked for
_DAY_SECONDS = 86_400.0
_SWITCHED_OFF = "scope must be pool: this server has no searches over everything, got catalog"
_FEW_IMAGES = 20  # a keyword with fewer is searched together with the broader one
_MAX_ASIDE = 32  # pools of a process whose next work is begun aside at a time, each on a thread

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SearchAnswer:
    """
    What a search found.

    Attributes:
        hits: best first; None while nothing is embedded yet.
        pool: as it stood when it was scored, None in scope `catalog`; of several keywords that of
            the last one.
        complete: False while images of the pool, or of the catalog, are still to be embedded.
        covered: in scope `catalog`, the share of the stored images that was searched.
        keywords: those whose pools were searched, the narrow one first; none in scope `catalog`.
        matching, exhaustive, matched: of the reply that the hits are from.
        next: of the page after this one; None where there is none.
        restarted: the cursor was of something else than is searched now, such as the pool's
            generation before; the hits are the first ones.
    """

    request: SearchRequest
    hits: tuple[SearchHit, ...] | None
    pool: Pool | None
    complete: bool
    keywords: tuple[str, ...]
    query_truncated: bool = False
    total_seconds: float = 0.0
    encode_seconds: float = 0.0
    score_seconds: float = 0.0
    matching: int | None = None
    exhaustive: bool = True
    matched: bool | None = None
    next: Cursor | None = None
    restarted: bool = False
    covered: float | None = None


@dataclass(frozen=True)
class Limits:
    """
    How many of something a client may ask for in a minute, and all together in a day of UTC.

    Attributes:
        name: what buckets and counters are called by.
        what, goes_on: as a refusal says it.
        per_day: None is no limit, and is not counted; with 0 there are none at all.
    """

    name: str
    what: str
    goes_on: str
    per_minute: int
    per_day: int | None


def new_keywords(per_minute: int, per_day: int) -> Limits:
    """Return the limits of generations that are begun."""
    return Limits("new", "new keywords", "known ones go on", per_minute, per_day)


def catalog_searches(per_minute: int, per_day: int | None) -> Limits:
    """Return the limits of searches over everything, each of which reads all that is stored."""
    what, goes_on = "searches over everything", "those of a keyword go on"
    return Limits("catalog", what, goes_on, per_minute, per_day)


@dataclass(frozen=True)
class _Call:
    """A search under way: who asks, when it began, and until when it may wait."""

    request: SearchRequest
    client: str | None
    started: float
    deadline: float


@dataclass(frozen=True)
class Search:
    """
    Answers searches. A thousand simultaneous first searches for a keyword make one fetch.

    Attributes:
        wake: starts the service that embeds, without waiting for it, so that its cold start runs
            beside the fetch.
        new_keywords: how often a generation may be begun; what is there is answered to anyone.
        catalog_searches: how often everything stored may be searched.
        spending: what is charged for each, of the money of the day.
        patience_seconds: how long a search that has something to show waits for its pool's next
            work to be begun, before it answers from what is there. Not 0, as an instance may
            get no CPU between two requests. Tests alone set it: what a busy machine does within
            a second is chance.
    """

    catalog: Catalog
    cache: Cache
    limiter: RateLimiter
    publisher: Publisher
    scorer: Scorer
    clock: Clock
    policy: PoolPolicy
    options: SourceOptions
    wake: Callable[[], None]
    new_keywords: Limits
    catalog_searches: Limits
    spending: Spending
    patience_seconds: float = 1.0
    _turns: tuple[threading.Lock, ...] = field(
        default_factory=lambda: tuple(threading.Lock() for _ in range(_TURNS))
    )
    _places: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(_MAX_WAITING))
    _asides: _Asides = field(default_factory=lambda: _Asides())
    _ends: threading.Event = field(default_factory=threading.Event)
    _uses: Uses = field(init=False)

    def __post_init__(self) -> None:
        uses = Uses(self.catalog.retention, self.clock)
        object.__setattr__(self, "_uses", uses)

    def __call__(self, request: SearchRequest, *, client: str | None = None) -> SearchAnswer:
        """
        Answer *request* as soon as its pool is ready, or when its wait ends.

        Args:
            client: who asks, for the limits; without one nothing is counted.

        Raises:
            InvalidRequest, NotFound: of the query's pictures and images, as from the scorer; and of
                scope `catalog` where that is switched off.
            Unavailable: the pool failed and has nothing to show, or a port is down.
            Overloaded: a limit is reached, the queue is full, or the scorer is.
            DeadlineExceeded: from the scorer.
        """
        started = time.perf_counter()
        call = _Call(request, client, started, self.clock.monotonic() + request.wait_seconds)
        if request.scope == "catalog":
            if self.catalog_searches.per_day == 0:
                raise InvalidRequest(_SWITCHED_OFF, field="scope")
            self._spend(self.catalog_searches, client, self.spending.everything)
            answer = self._answer(call, (), None, self._score(request, None))
            # Those of a keyword's pool are noted as it is fetched, which it is each day.
            shown = [hit.image.image_id for hit in answer.hits or ()]
        else:
            answer, shown = self._found_in_pools(call), []
        if used := [*shown, *request.query.image_ids]:
            self._note_used(used)
        return answer

    def wait_no_more(self) -> None:
        """Have searches that wait answer what they have: the process is asked to end."""
        self._ends.set()

    @stage("note")
    def _note_used(self, image_ids: Collection[str]) -> None:
        self._uses.note(image_ids)

    def _found_in_pools(self, call: _Call) -> SearchAnswer:
        try:
            return self._from_pools(call)
        except NotFound:
            if not self._drop_lost(call.request):
                raise
            return self._from_pools(call)

    def _from_pools(self, call: _Call) -> SearchAnswer:
        request = call.request
        narrow = self._awaited(call, request.keyword)
        if request.broader and _has_few(narrow):
            return self._broadened(call, narrow)
        return self._alone(call, (request.keyword,), narrow)

    def _awaited(self, call: _Call, keyword: str) -> Pool:
        """Return the pool of *keyword* once it can answer, or as it is at the deadline."""
        key = PoolKey.of(keyword, self.options)
        note(pool_id=key.pool_id)  # now: what fails belongs to this pool too
        pool = self._request_pool(key, call)
        if pool.answering.embedded == 0 and not call.request.query.is_words:
            self._check(call.request.query, pool.pool_id, pool.answering.number)
        return self._await(pool, call.deadline)

    @stage("check")
    def _check(self, query: Query, pool_id: str, generation: int) -> None:
        """
        Raise what the scorer has against *query*, though the pool has nothing to score yet.

        Of files after the pool is asked for: the fetch runs while a scorer starts up. Of ids
        before, too: who has one has been answered, by a scorer that runs, and a fetch costs more.

        Raises:
            InvalidRequest: a picture is none, or the parts cancel out.
            NotFound: there is no image that the query names.
        """
        try:
            self._asked(ScoreRequest(query, 1, pool_id=pool_id, generation=generation))
        except NotFound as error:
            if error.field is not None:  # else it is the pool that there is not, as is known
                raise
        except (Overloaded, Unavailable, DeadlineExceeded) as error:
            _logger.warning("a query is not looked at before its pool is: %s", error)

    def _alone(self, call: _Call, keywords: tuple[str, ...], pool: Pool) -> SearchAnswer:
        pool, reply = self._scored(call, pool)
        return self._answer(call, keywords, pool, reply)

    def _broadened(self, call: _Call, narrow: Pool) -> SearchAnswer:
        """Answer from the broader keyword's pool and from *narrow*, which has few images."""
        request = call.request
        try:
            broader = self._awaited(call, request.broader)
        except (Overloaded, Unavailable, DeadlineExceeded) as error:
            if narrow.answering.embedded == 0:
                raise
            # Few images are more than none: the limit of new keywords, say, is for new ones.
            _logger.warning("a broader keyword is left out: %s", error)
            return self._alone(call, (request.keyword,), narrow)
        keywords = (request.keyword, request.broader)
        broader, reply = self._scored(call, broader, narrow)
        if reply is not None or narrow.answering.embedded == 0:
            return self._answer(call, keywords, broader, reply, narrow)
        answer = self._alone(call, keywords, narrow)
        complete = answer.complete and _is_complete(broader, None)
        return replace(answer, pool=broader, complete=complete)

    def _scored(
        self, call: _Call, pool: Pool, beside: Pool | None = None
    ) -> tuple[Pool, ScoreReply | None]:
        """Return *pool*, embedded anew where the model has changed, and what both are scored."""
        reply = self._score(call.request, pool, beside)
        if reply and beside and _lacks_embeddings(beside, reply.embedded_beside):
            scored = reply
            self._aside(beside, lambda: self._reopen(beside, scored))
        if (
            reply
            and _lacks_embeddings(pool, reply.embedded)
            and (again := self._reopened(pool, reply))
        ):
            pool = self._await(again, call.deadline)
            reply = self._score(call.request, pool, beside)
        return pool, reply

    def _drop_lost(self, request: SearchRequest) -> bool:
        """Drop the notes of pools whose catalog is gone; return whether there was any."""
        keywords = filter(None, (request.keyword, request.broader))
        pool_ids = [PoolKey.of(keyword, self.options).pool_id for keyword in keywords]
        noted = [each for each in pool_ids if self.cache.get(STATE, each)]
        lost = [each for each in noted if self.catalog.pool(each) is None]
        self.cache.drop(STATE, lost)
        return bool(lost)

    def pool(self, pool_id: str) -> Pool:
        """Return the pool as it stands; NotFound when there is none."""
        pool = self.catalog.pool(pool_id)
        if pool is None:
            raise NotFound(f"there is no pool {pool_id}")
        return pool

    def rejections(self, pool: Pool) -> Mapping[str, str]:
        """Return why images of the pool were rejected, by image_id."""
        members = self.catalog.members(pool.pool_id, pool.answering.number)
        return members.rejections if members else {}

    @stage("pool")
    def _request_pool(self, key: PoolKey, call: _Call) -> Pool:
        now = self.clock.now()
        noted = self.cache.get(STATE, key.pool_id)
        if noted is not None and noted.is_fresh(now, self.policy.max_age_seconds):
            return noted
        pool = self._known(key.pool_id, noted)
        if pool is None or (self._is_due(pool, now) and not pool.can_answer):
            if call.request.query.image_ids:
                self._check(call.request.query, key.pool_id, 1)
            return self._begin(key, pool, call.client)
        if self._is_due(pool, now):
            # What fails now is no reason to keep back what is there (design §5).
            return self._aside(pool, lambda: self._begin(key, pool, call.client)) or pool
        if pool.is_fresh(now, self.policy.max_age_seconds):
            # Only what is ready: a state on its way would undo a later note of the fetcher.
            self.cache.put(STATE, pool.pool_id, pool)
        return pool

    def _known(self, pool_id: str, noted: Pool | None) -> Pool | None:
        """Return the pool as the catalog has it, or as it was *noted* when that is enough."""
        try:
            return self.catalog.pool(pool_id)
        except ImageSearchError as error:
            if noted is None or not noted.can_answer:
                raise
            _logger.warning("pool %s is answered from its note: %s", pool_id, error)
            return noted

    def _is_due(self, pool: Pool, now: datetime) -> bool:
        return pool.due_generation(now, self.policy) is not None

    def _begin(self, key: PoolKey, known: Pool | None, client: str | None) -> Pool:
        """Create the pool, or what is due of it as it is *known*, unless another was first."""
        with self._turns[hash(key.pool_id) % _TURNS]:
            requested = self._create(key, known, client)
        if requested.created:
            self._publish(requested.pool)
            self.wake()  # after it: a job that is not published costs the pool its lease
        return requested.pool

    def _create(self, key: PoolKey, known: Pool | None, client: str | None) -> PoolRequest:
        now = self.clock.now()
        noted = self.cache.get(STATE, key.pool_id)
        if noted is not None and not self._is_due(noted, now):
            # Of many simultaneous searches only the first is counted.
            return PoolRequest(noted, created=False)
        is_new = known is None or known.due_generation(now, self.policy) != known.current.number
        # Also what is taken up again is charged, as it costs as much.
        self._spend(self.new_keywords, client if is_new else None, self.spending.new_keyword)
        requested = self.catalog.request_pool(key, now)
        if requested.created:
            # Before the job: after it the fetcher's own notes must not be undone.
            self.cache.put(STATE, key.pool_id, requested.pool)
        return requested

    @stage("limit")
    def _spend(self, limits: Limits, client: str | None, charge: Callable[[], None]) -> None:
        """
        Count one of what *limits* are of, of the client's in a minute and of everybody's in a day.

        In between it is charged: what the day has no money for is none of those that it may have.
        Without a client it is charged alone.

        Raises:
            Overloaded: there are none left.
            Unavailable: the catalog, which counts the day's, does not answer.
        """
        if client is None:
            charge()
            return
        what, goes_on = limits.what, limits.goes_on
        refusal = f"a client may ask for {limits.per_minute} {what} in a minute; {goes_on}"
        clients.spend(self.limiter, limits.name, client, limits.per_minute, refusal)
        charge()
        now = self.clock.now()
        if limits.per_day and not self.catalog.count(limits.name, now, limits.per_day):
            raise Overloaded(
                f"the {limits.per_day} {what} of this day, in UTC, are spent; {goes_on}",
                retry_after_seconds=_DAY_SECONDS - now.timestamp() % _DAY_SECONDS,
            )

    def _aside(self, pool: Pool, begin: Callable[[], Pool]) -> Pool | None:
        """Have a pool that can answer worked on; None when that fails or takes its time."""
        return self._asides.run(pool.pool_id, begin, self.patience_seconds)

    @stage("publish")
    def _publish(self, pool: Pool) -> None:
        """Publish the FetchJob that starts, or goes on with, the pool's current generation."""
        self.publisher.publish(
            FetchJob(
                pool_id=pool.pool_id,
                generation=pool.current.number,
                keyword=pool.keyword,
                options=pool.options,
            )
        )
        # It is the queue's now, which may be long: no other search need publish it meanwhile.
        try:
            self.catalog.renew_lease(pool.pool_id, pool.current.number, self.clock.now())
        except ImageSearchError as error:  # the job is out; at worst it is published again
            _logger.warning("pool %s keeps its short lease: %s", pool.pool_id, error)

    @stage("pool")
    def _reopened(self, pool: Pool, reply: ScoreReply) -> Pool | None:
        """Return the pool that is to be embedded again, or None to answer from *reply*."""
        if not reply.embedded and not reply.embedded_beside:
            return self._reopen(pool, reply)
        return self._aside(pool, lambda: self._reopen(pool, reply))

    def _reopen(self, pool: Pool, reply: ScoreReply) -> Pool:
        """The model changed: have the pool embedded again from the stored originals."""
        self.spending.new_keyword()  # it wakes a GPU as a new one does
        reopened = self.catalog.reopen(
            pool.pool_id,
            pool.answering.number,
            reply.embeds or reply.model_revision,
            self.clock.now(),
            keeps_answering=reply.embeds is not None,
        )
        if reopened is None:  # another search was first, or the next generation is on its way
            return self.catalog.pool(pool.pool_id) or pool
        # First: the fetcher's own notes must not be undone.
        self.cache.put(STATE, reopened.pool_id, reopened)
        self._publish(reopened)
        return reopened

    @stage("wait")
    def _await(self, pool: Pool, deadline: float) -> Pool:
        """Return the pool once it can be answered from in full, or as it is at *deadline*."""
        if _is_settled(pool) or not self._places.acquire(blocking=False):
            return pool
        try:
            began = self.clock.monotonic()
            try:
                return self._poll(pool, deadline)
            finally:
                self.spending.waited(self.clock.monotonic() - began)
        finally:
            self._places.release()

    def _poll(self, pool: Pool, deadline: float) -> Pool:
        looked_at = self.clock.monotonic()
        while (
            not _is_settled(pool)
            and not self._ends.is_set()
            and (now := self.clock.monotonic()) < deadline
        ):
            self.clock.sleep(min(_POLL_SECONDS, deadline - now))
            if self.clock.monotonic() - looked_at < _CATALOG_POLL_SECONDS:
                pool = self.cache.get(STATE, pool.pool_id) or self.pool(pool.pool_id)
            else:
                pool, looked_at = self.pool(pool.pool_id), self.clock.monotonic()
        return pool

    @stage("score")
    def _score(
        self, request: SearchRequest, pool: Pool | None, beside: Pool | None = None
    ) -> ScoreReply | None:
        """Return the page that is asked for, or the first where its cursor says nothing."""
        note(generation=pool.answering.number if pool else None)
        if pool is not None and pool.answering.embedded == 0:
            return None
        asked = ScoreRequest(
            query=request.query,
            top_k=request.top_k,
            scope=request.scope,
            filters=request.filters,
            fold=request.fold,
        )
        if pool is not None:
            number = pool.answering.number
            asked = replace(asked, pool_id=pool.pool_id, generation=number, beside=_beside(beside))
        if request.cursor is not None:
            reply = self._asked(replace(asked, offset=request.cursor.offset))
            if _goes_on(request, _chosen_from(pool, beside, reply)):
                return reply
        return self._asked(asked)

    def _asked(self, request: ScoreRequest) -> ScoreReply:
        """Return what the scorer answers, once it is charged: what is refused before is not."""
        self.spending.search()
        began = self.clock.monotonic()
        try:
            return self.scorer.score(request)
        finally:
            self.spending.scored(self.clock.monotonic() - began)

    def _answer(
        self,
        call: _Call,
        keywords: tuple[str, ...],
        pool: Pool | None,
        reply: ScoreReply | None,
        beside: Pool | None = None,
    ) -> SearchAnswer:
        """Return the answer from the pools of *keywords*: *pool* is the last one's."""
        request = call.request
        answer = SearchAnswer(
            request=request,
            hits=None,
            pool=_as_scored(pool, reply) if pool and reply else pool,
            complete=_is_complete(pool, reply, beside),
            keywords=keywords,
            total_seconds=time.perf_counter() - call.started,
        )
        if reply is None:
            hits = self._without_embeddings(pool) if pool else ()
            # As the scorer says of no images.
            return replace(answer, hits=hits, matched=None if hits is None else False)
        if pool and reply.embedded == 0 and not reply.hits and not answer.complete:
            return answer
        chosen_from = _chosen_from(pool, beside, reply)
        return replace(
            answer,
            hits=reply.hits,
            query_truncated=reply.query_truncated,
            encode_seconds=reply.encode_seconds,
            score_seconds=reply.score_seconds,
            matching=reply.matching,
            exhaustive=reply.exhaustive,
            matched=reply.matched,
            covered=None if pool else reply.covered,
            next=_next(request, chosen_from, reply),
            restarted=request.cursor is not None and not _goes_on(request, chosen_from),
        )

    def _without_embeddings(self, pool: Pool) -> tuple[SearchHit, ...] | None:
        generation = pool.answering
        if generation.state is PoolState.FAILED:
            raise Unavailable(
                f"the keyword's images could not be fetched: {generation.reason}",
                retry_after_seconds=self._seconds_to_retry(generation),
            )
        return () if generation.state is PoolState.READY else None

    def _seconds_to_retry(self, generation: Generation) -> float:
        now, retry_at = self.clock.now(), generation.retry_at
        if retry_at is None or not is_ahead(retry_at, now, self.policy.retry_seconds):
            return 1.0
        return max(1.0, (retry_at - now).total_seconds())


class _Asides:
    """What searches that can answer already have done for their pools: one at a time for a pool."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pool_ids: set[str] = set()

    def run(self, pool_id: str, do: Callable[[], Pool], seconds: float) -> Pool | None:
        """
        Return what *do* returns within *seconds*; it is not interrupted when it takes longer.

        None when it does, when it fails, which is logged, and when the pool has one on its way.
        """
        with self._lock:
            if pool_id in self._pool_ids or len(self._pool_ids) >= _MAX_ASIDE:
                return None
            self._pool_ids.add(pool_id)
        pools: list[Pool] = []
        arguments = (self._do, pool_id, do, pools)
        # With the search's trace, and no reason for the process to stay.
        thread = threading.Thread(target=copy_context().run, args=arguments, daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system has no thread to give
            self._over(pool_id)
            return None
        thread.join(seconds)
        return pools[0] if pools else None

    def _do(self, pool_id: str, do: Callable[[], Pool], pools: list[Pool]) -> None:
        try:
            pools.append(do())
        except ImageSearchError as error:
            _logger.warning("pool %s is answered from what is there: %s", pool_id, error)
        except Exception:  # nobody else would hear of it
            _logger.exception("pool %s is answered from what is there: a bug", pool_id)
        finally:
            self._over(pool_id)

    def _over(self, pool_id: str) -> None:
        with self._lock:
            self._pool_ids.discard(pool_id)


def _is_settled(pool: Pool) -> bool:
    """True when waiting brings nothing: it has a ready generation, or the only one failed."""
    return pool.ready is not None or not pool.current.state.in_progress


def _has_few(pool: Pool) -> bool:
    """True for a keyword of whose images, all of which are there, few can be searched."""
    generation = pool.answering
    return generation.state is PoolState.READY and generation.embedded < _FEW_IMAGES


def _beside(pool: Pool | None) -> tuple[str, int] | None:
    """Return what is scored beside another pool; nothing where there is nothing to score."""
    if pool is None or pool.answering.embedded == 0:
        return None
    return pool.pool_id, pool.answering.number


def _is_complete(pool: Pool | None, reply: ScoreReply | None, beside: Pool | None = None) -> bool:
    if pool is None:
        return reply is None or reply.complete
    is_ready = pool.answering.state is PoolState.READY
    if reply is None or not is_ready or _lacks_embeddings(pool, reply.embedded):
        return is_ready and reply is None
    return beside is None or not _lacks_embeddings(beside, reply.embedded_beside)


def _chosen_from(pool: Pool | None, beside: Pool | None, reply: ScoreReply) -> str:
    """Return what names that which the hits of *reply* were chosen from."""
    if pool is None:  # nobody counts everything
        return short_digest(reply.model_revision)
    pools = [(pool.pool_id, pool.answering.number), _beside(beside)]
    counts = [reply.embedded, reply.embedded_beside, reply.matching]
    return short_digest(pools, counts, reply.model_revision)


def _goes_on(request: SearchRequest, chosen_from: str) -> bool:
    return request.cursor is not None and request.cursor.chosen_from == chosen_from


def _next(request: SearchRequest, chosen_from: str, reply: ScoreReply) -> Cursor | None:
    before = request.cursor.offset if request.cursor and _goes_on(request, chosen_from) else 0
    offset = before + len(reply.hits)
    if not reply.more or offset > MAX_OFFSET:
        return None
    return Cursor(offset, request.digest, chosen_from)


def _as_scored(pool: Pool, reply: ScoreReply) -> Pool:
    """Return *pool* with as many images as were scored: more may have come since it was read."""
    generation = replace(pool.answering, embedded=reply.embedded)
    return replace(pool, ready=generation) if pool.ready else replace(pool, current=generation)


def _lacks_embeddings(pool: Pool, embedded: int | None) -> bool:
    """
    True when a ready generation was embedded by another model than the one that scored.

    Args:
        embedded: how many of its images were scored; None where that is not known.
    """
    generation = pool.answering
    if embedded is None:
        return False
    return generation.state is PoolState.READY and embedded < generation.embedded
