"""The use case `score`: one text encoding and one matrix product over a pool.

Waiting for a pool and asking for a fetch is `search.py`; the model is behind `Encoder`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from cachetools import LRUCache, TTLCache
from numpy.typing import NDArray

from imagesearch.domain.collections import OWN
from imagesearch.domain.errors import InvalidRequest, NotFound
from imagesearch.domain.filters import where_of
from imagesearch.domain.filters.declaration import Where
from imagesearch.domain.folding import hashes_of
from imagesearch.domain.images import Embeddings, Image, PackedPool, as_cached
from imagesearch.domain.pools import Generation, Pool, PoolPolicy, PoolState
from imagesearch.domain.queries import ScoreRequest
from imagesearch.domain.ranking import (
    Match,
    SearchHit,
    corrected,
    match_of,
    picture_demotion,
    relevances,
    share_of,
    with_phrases,
)
from imagesearch.domain.tag_words import words_that_say_all, words_to_look_for
from imagesearch.ports import (
    MAX_NEAREST,
    Cache,
    Clock,
    Encoder,
    Nearest,
    ScoreReply,
    Tagged,
)
from imagesearch.telemetry import stage
from imagesearch.usecases.aims import Aim, Aims
from imagesearch.usecases.cache_slots import POOL
from imagesearch.usecases.candidates import ByTags, Candidates
from imagesearch.usecases.pools import Catalog
from imagesearch.usecases.withdrawn import Withdrawn

_POOLS_BYTES = 256 * 2**20  # kept in process: some 270 pools of 200 images of 512 dimensions
# Over everything: of so many nearest by cosine those come first that are the best once corrected.
_FIRST = 40
_FIRST_WITH_MINUS = 160  # the nearest may all show what is not wanted
_COUNTED_SECONDS = 5.0  # of a million images it takes a third of a second
_KEPT_HITS = 10_000  # of all answers that are kept: some 15 MB
_TAGGED = 40  # images that are looked at because of their tags
_DEEPER = 4  # how many times as many are looked at once these are used up


@dataclass(frozen=True)
class Score:
    """
    Answers score requests by one model; `Scorers` is over as many as there are embeddings of.

    Attributes:
        model_revision: of the embeddings that are scored, where they are of another version of
            the preprocessing than the encoder's own.
        kept_seconds: for how long the answer of a search over everything serves whoever asks the
            same. What is stored meanwhile is found later.
    """

    catalog: Catalog
    cache: Cache
    encoder: Encoder
    clock: Clock
    policy: PoolPolicy
    model_revision: str | None = None
    kept_seconds: float = 0.0
    _pools: LRUCache[tuple[str, int, str], Candidates] = field(
        default_factory=lambda: LRUCache(_POOLS_BYTES, getsizeof=lambda pool: pool.size_bytes)
    )
    _aims: Aims = field(init=False)
    _withdrawn: Withdrawn = field(init=False)
    _shares_covered: TTLCache[None, float] = field(init=False)
    _kept: TTLCache[object, ScoreReply] = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        library = self.catalog.library
        shares = TTLCache[None, float](1, _COUNTED_SECONDS, timer=self.clock.monotonic)
        object.__setattr__(self, "_shares_covered", shares)
        kept = TTLCache[object, ScoreReply](
            _KEPT_HITS, self.kept_seconds, self.clock.monotonic, lambda reply: 1 + len(reply.hits)
        )
        object.__setattr__(self, "_kept", kept)
        withdrawn = Withdrawn(self.catalog.retention, self.clock, self.forget)
        object.__setattr__(self, "_withdrawn", withdrawn)
        aims = Aims(self.encoder, self.cache, library, lambda: self.revision, withdrawn)
        object.__setattr__(self, "_aims", aims)

    @property
    def revision(self) -> str:
        """The model_revision of the embeddings that are scored."""
        return self.model_revision or self.encoder.model_revision

    def score(self, request: ScoreRequest) -> ScoreReply:
        """
        Score what is embedded so far.

        Raises:
            InvalidRequest: scope `pool` without a pool, a filter that is none, parts that cancel
                out, or a picture that cannot be decoded.
            NotFound: there is no such pool or generation, or no image that is a part of the query.
            Overloaded, Unavailable, DeadlineExceeded: come back later.
        """
        started = time.perf_counter()
        where = where_of(request.filters)
        aim = self._aims.of(request.query)
        encoded = time.perf_counter()
        # Whatever has a copy of them still: of neither the library nor the cache it is asked.
        hidden = {*request.query.image_ids, *self._withdrawn()}
        reply = (
            self._everything(request, aim, where, hidden)
            if request.scope == "catalog"
            else self._pool(request, aim, where, hidden)
        )
        ended = time.perf_counter()
        return replace(reply, encode_seconds=encoded - started, score_seconds=ended - encoded)

    def has_all(self, request: ScoreRequest) -> bool:
        """Return whether it has embeddings of all that *request* asks for, as far as they go."""
        if request.scope == "catalog":
            return self._covered() == 1.0
        return all(pool.is_complete for pool in self._asked(request))

    def reach(self, request: ScoreRequest) -> int:
        """Return how many images it can score for *request*."""
        if request.scope == "catalog":
            return self.catalog.library.coverage(self.revision).embedded
        return sum(len(pool.images) for pool in self._asked(request))

    def _asked(self, request: ScoreRequest) -> list[Candidates]:
        """Return the pools that *request* names, as far as there are such."""
        named = (request.pool_id, request.generation), request.beside or (None, None)
        pools = []
        for pool_id, generation in named:
            if pool_id is not None and generation is not None:
                with suppress(NotFound):
                    pools.append(self._loaded(pool_id, generation))
        return pools

    def forget(self) -> None:
        """Forget the pools in this process: their catalog is gone, or something of it."""
        with self._lock:
            self._pools.clear()
            self._shares_covered.clear()
            self._kept.clear()

    def _pool(
        self, request: ScoreRequest, aim: Aim, where: Where, hidden: Collection[str]
    ) -> ScoreReply:
        if request.pool_id is None or request.generation is None:
            raise InvalidRequest("pool_id and generation are needed in scope pool", field="pool_id")
        pool = self._loaded(request.pool_id, request.generation)
        beside = self._loaded(*request.beside) if request.beside else None
        searched = pool.joined(beside) if beside else pool
        matching = searched.but(self._withdrawn()).matching(where)
        candidates = matching.but(hidden)
        reply = self._ranked(candidates, aim, request, [len(candidates.images)], is_whole=True)
        return replace(
            reply,
            embedded=len(pool.images),
            embedded_beside=len(beside.images) if beside else None,
            matching=len(matching.images),
        )

    def _everything(
        self, request: ScoreRequest, aim: Aim, where: Where, hidden: Collection[str]
    ) -> ScoreReply:
        """Return the answer that is kept, or one that is kept from now on."""
        filters = tuple(sorted(request.filters.items()))
        key = (request.query, request.top_k, request.offset, request.fold, filters)
        with self._lock:
            kept = self._kept.get(key)
        if kept is not None and not _shown(kept) & set(hidden):
            return kept
        reply = self._catalog(request, aim, where, hidden)
        # Own pictures come and go with their files, and nothing tells of it; nor of the first ones.
        shown = _shown(reply)
        may_be_kept = shown and not any(each.startswith(f"{OWN}-") for each in shown)
        if self.kept_seconds and request.query.is_words and reply.complete and may_be_kept:
            with self._lock:
                self._kept[key] = reply
        return reply

    def _catalog(
        self, request: ScoreRequest, aim: Aim, where: Where, hidden: Collection[str]
    ) -> ScoreReply:
        revision, named = self.revision, request.query.image_ids
        wanted = request.offset + request.top_k
        # Of whatever page, and of however many hits: the first ones are the same.
        first = _FIRST_WITH_MINUS if aim.minus or aim.unlike else _FIRST
        depths = _depths(first + len(named), wanted + len(named) + 1)
        with stage("nearest"):
            # Asked before: what comes meanwhile may be missed.
            covered = self._covered()
        with stage("tags"):
            words = words_to_look_for(request.query.text)
            tagged = self.catalog.library.tagged(words, aim.vector, _TAGGED, revision, where)
        while True:
            with stage("nearest"):
                nearest = self.catalog.library.nearest(aim.vector, depths[-1], revision, where)
            reply = self._among(nearest, tagged, aim, request, depths, hidden)
            is_all = len(nearest.hits) < depths[-1] or depths[-1] == MAX_NEAREST
            if is_all or reply.more or not request.fold:
                break
            depths.append(min(_DEEPER * depths[-1], MAX_NEAREST))  # most look the same
        saw_all = nearest.exhaustive and len(nearest.hits) < MAX_NEAREST
        exhaustive = saw_all or len(reply.hits) == request.top_k
        return replace(reply, complete=covered == 1.0, covered=covered, exhaustive=exhaustive)

    def _covered(self) -> float:
        """Return the share of all stored images that the model had embedded some seconds ago."""
        with self._lock:
            remembered = self._shares_covered.get(None)
        if remembered == 1.0:
            return remembered
        library = self.catalog.library
        if library.model_revisions() in ([], [self.revision]):  # as ever, but in a model change
            share = 1.0
        elif remembered is not None:
            return remembered
        else:
            share = library.coverage(self.revision).share
        with self._lock:
            self._shares_covered[None] = share
        return share

    def _among(
        self,
        nearest: Nearest,
        tagged: Tagged,
        aim: Aim,
        request: ScoreRequest,
        depths: Sequence[int],
        hidden: Collection[str],
    ) -> ScoreReply:
        """
        Return the page of hits among the nearest images, and the *tagged* ones.

        Those stand among the first of *depths*, see `_depths`, on whichever page.
        """
        images = [image for image, _ in nearest.hits]
        near = self._candidates(images, nearest.embeddings, aim)
        candidates = near.those(list(range(min(depths[0], len(images))))).but(hidden)
        by_tags = ByTags(
            len(candidates.images),
            {image.image_id: said for image, said in tagged.hits},
            frozenset(words_to_look_for(request.query.text)),
        )
        if tagged.hits:
            others = self._candidates([image for image, _ in tagged.hits], tagged.embeddings, aim)
            candidates = candidates.joined(others.but(hidden))
        ends = [len(candidates.images)]
        for begin, end in pairwise(depths):
            deeper = near.those(list(range(begin, min(end, len(images)))))
            candidates = candidates.joined(deeper.but(hidden))
            ends.append(len(candidates.images))
        return self._ranked(candidates, aim, request, ends, by_tags, is_whole=False)

    def _candidates(
        self, images: Sequence[Image], embeddings: Embeddings, aim: Aim | None = None
    ) -> Candidates:
        """Return candidates for *aim*, or for any."""
        is_corrected = aim is None or aim.is_text
        references = self.encoder.references
        hubnesses = (
            references.hubness(embeddings) if is_corrected else np.zeros(len(images), np.float32)
        )
        return Candidates(images, embeddings, hubnesses, hashes_of(images))

    @stage("rank")
    def _ranked(
        self,
        candidates: Candidates,
        aim: Aim,
        request: ScoreRequest,
        depths: Sequence[int],
        by_tags: ByTags | None = None,
        *,
        is_whole: bool,
    ) -> ScoreReply:
        """
        Return the hits of one page; there may be none.

        Args:
            depths: up to which of the *candidates* they are ranked together, one after the other.
            by_tags: what tags say of those up to the first of *depths*.
            is_whole: relevance is the share in all of them, and else in the hits alone: no store
                returns the whole catalog's scores.
        """
        if not candidates.images:
            return self._reply((), aim, matched=False)
        cosines = candidates.cosines(aim.vector)
        scores = self._scores(candidates, cosines, aim)
        wanted = request.offset + request.top_k
        by_tags = by_tags or ByTags(len(candidates.images), {}, frozenset())
        ranks = self._demoted(candidates, scores, aim, depths[0])
        strengths = self._strengths(scores, aim)
        # Where no match is told, what tags say changes none.
        told = words_that_say_all(request.query.text) if strengths is not None else frozenset()
        is_said = candidates.saying(told)
        says_all = candidates.saying(by_tags.words, depths[0])
        if by_tags.words:
            is_match = np.zeros(len(scores), np.bool_)
            # What is not wanted may match as well, and is to stay behind.
            if strengths is not None and not aim.minus and not aim.unlike:
                is_match = self._is_fair(strengths) | is_said
            ranks = by_tags.ranks(candidates.images, ranks, says_all, is_match)
        groups = candidates.groups(ranks, depths, wanted + 1, is_folded=request.fold)
        on_page = groups[request.offset : wanted]
        leaders = [group[0] for group in on_page]
        matches, matched = self._matches(strengths, leaders, is_said)
        shares = self._shares(cosines, leaders, is_whole=is_whole)
        scale, bias = self.encoder.logit_scale, self.encoder.logit_bias
        hits = tuple(
            SearchHit(
                candidates.images[leader],
                cosine,
                scale * cosine + bias,
                share,
                match,
                tuple(candidates.images[row].image_id for row in similar),
                by_tags.reasons(candidates.images[leader], leader, says_all),
            )
            for (leader, *similar), cosine, share, match in zip(
                on_page, cosines[leaders].tolist(), shares.tolist(), matches, strict=True
            )
        )
        return replace(self._reply(hits, aim, matched), more=len(groups) > wanted)

    def _matches(
        self,
        strengths: NDArray[np.float32] | None,
        rows: Sequence[int],
        is_said: NDArray[np.bool_],
    ) -> tuple[list[Match], bool | None]:
        """
        Return which match each of *rows* is, and whether any candidate is one, on whichever page.

        They are of what is asked for, whatever is not wanted beside it.
        """
        thresholds = self.encoder.thresholds
        if thresholds is None or strengths is None:
            return ["uncalibrated"] * len(rows), None
        matches = [
            match_of(strength, thresholds, is_said=said)
            for strength, said in zip(strengths[rows].tolist(), is_said[rows].tolist(), strict=True)
        ]
        return matches, bool((self._is_fair(strengths) | is_said).any())

    def _scores(
        self, candidates: Candidates, cosines: NDArray[np.float32], aim: Aim
    ) -> NDArray[np.float32]:
        """Return what *candidates* of *cosines*, (n,), are ranked by, (n,)."""
        thresholds = self.encoder.thresholds
        share = share_of(thresholds) if aim.is_text else 0.0
        whole = corrected(cosines, candidates.hubnesses, share)
        if thresholds is None or not aim.phrases:
            return whole
        of_phrases = [
            corrected(candidates.cosines(phrase), candidates.hubnesses, share)
            for phrase in aim.phrases
        ]
        return with_phrases(whole, of_phrases, thresholds.phrase_share)

    def _strengths(self, scores: NDArray[np.float32], aim: Aim) -> NDArray[np.float32] | None:
        """Return how well each of *scores*, (n,), matches; None where nothing tells."""
        thresholds = self.encoder.thresholds if aim.is_judged else None
        if thresholds is None:
            return None
        return self.encoder.references.strengths(
            aim.vector, scores, per_spread=thresholds.per_spread
        )

    def _is_fair(self, strengths: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return which are those of a fair match at least: (n,)."""
        thresholds = self.encoder.thresholds
        fair = thresholds.fair if thresholds else np.inf
        return strengths >= fair

    def _reply(self, hits: tuple[SearchHit, ...], aim: Aim, matched: bool | None) -> ScoreReply:
        revision = self.revision
        return ScoreReply(hits, len(hits), revision, aim.truncated, 0.0, 0.0, matched=matched)

    def _demoted(
        self, candidates: Candidates, scores: NDArray[np.float32], aim: Aim, compared: int
    ) -> NDArray[np.float32]:
        """
        Return what *candidates* are ranked by, (n,): *scores* less what is not wanted of them.

        Args:
            compared: see `picture_demotion`.
        """
        if aim.minus:
            scores = scores - self.encoder.references.demotion(candidates.embeddings, aim.minus)
        return scores - picture_demotion(candidates.embeddings, scores, aim.unlike, compared)

    def _shares(
        self, cosines: NDArray[np.float32], rows: list[int], *, is_whole: bool
    ) -> NDArray[np.float64]:
        logit_scale = self.encoder.logit_scale
        if is_whole:
            return relevances(cosines, logit_scale)[rows]
        return relevances(cosines[rows], logit_scale)

    @stage("load")
    def _loaded(self, pool_id: str, generation: int) -> Candidates:
        """Cache-aside twice: this process, the cache, then the catalog."""
        key = (pool_id, generation, self.revision)
        with self._lock:
            before = self._pools.get(key)
        if before and before.is_complete:
            return before
        packed = self.cache.get(POOL, key)
        complete = packed is not None
        if packed is None:
            packed, complete = self._from_catalog(*key)
        hubnesses = self._hubnesses(packed, before)
        hashes = hashes_of(packed.images)
        pool = Candidates(packed.images, packed.embeddings, hubnesses, hashes, complete)
        with self._lock:
            self._pools[key] = pool
        return pool

    def _hubnesses(self, packed: PackedPool, before: Candidates | None) -> NDArray[np.float32]:
        """
        Return the hubness of each image of *packed*, (n,).

        A filling pool is asked for again and again: what it had *before* is not computed anew.
        """
        embeddings = packed.embeddings
        if not before or not before.images or not packed.images:
            return self.encoder.references.hubness(embeddings)
        rows = {image.image_id: row for row, image in enumerate(before.images)}
        earlier = np.array([rows.get(image.image_id, -1) for image in packed.images], np.intp)
        is_as_before = earlier >= 0
        is_as_before &= (before.embeddings[earlier] == embeddings).all(axis=1)
        hubnesses = before.hubnesses[earlier]
        hubnesses[~is_as_before] = self.encoder.references.hubness(embeddings[~is_as_before])
        return hubnesses

    def _from_catalog(
        self, pool_id: str, number: int, model_revision: str
    ) -> tuple[PackedPool, bool]:
        """Return the packed pool, and whether it is complete and so never changes again."""
        # Read before the rows, so that a pool that becomes ready in between is not kept.
        generation = _generation(self.catalog.pool(pool_id), number)
        stored = self.catalog.packed_pool(pool_id, number, model_revision)
        packed = PackedPool(stored.images, as_cached(stored.embeddings))
        if generation is None:
            # The search may name a generation whose successor became ready a moment ago.
            if not packed.images:
                raise NotFound(f"there is no generation {number} of pool {pool_id}")
            return packed, False
        is_ready = generation.state is PoolState.READY
        complete = is_ready and len(packed.images) == generation.embedded
        if complete:
            ttl_seconds = self._seconds_left(generation)
            key = (pool_id, number, model_revision)
            self.cache.put(POOL, key, packed, ttl_seconds=ttl_seconds)
        return packed, complete

    def _seconds_left(self, generation: Generation) -> float:
        ready_at = generation.ready_at or self.clock.now()
        age_seconds = (self.clock.now() - ready_at).total_seconds()
        # A stale pool is still served while the next generation is fetched: a minute at least.
        # It is at most as long as a pool is fresh, should the clock have stepped back.
        return max(60.0, self.policy.max_age_seconds - max(0.0, age_seconds))


def _shown(reply: ScoreReply) -> set[str]:
    """Return the images that an answer names."""
    return {each for hit in reply.hits for each in (hit.image.image_id, *hit.similar)}


def _depths(first: int, wanted: int) -> list[int]:
    """
    Return how many of the nearest images are ranked together, then those up to the next number.

    A page begins where the one before ended, as what is ranked first does not depend on how much
    is looked at for a later one.
    """
    depths = [min(first, MAX_NEAREST)]
    while depths[-1] < min(wanted, MAX_NEAREST):
        depths.append(min(_DEEPER * depths[-1], MAX_NEAREST))
    return depths


def _generation(pool: Pool | None, number: int) -> Generation | None:
    if pool is None:
        return None
    known = [pool.current] + ([pool.ready] if pool.ready else [])
    return next((generation for generation in known if generation.number == number), None)
