"""The use case `score`: one text encoding and one matrix product over a pool.

Waiting for a pool and asking for a fetch is `search.py`; the model is behind `Encoder`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from imagesearch.domain.errors import InvalidRequest, NotFound
from imagesearch.domain.filters import where_of
from imagesearch.domain.filters.declaration import Where, holds
from imagesearch.domain.images import Embeddings, Image, PackedPool
from imagesearch.domain.pools import Generation, Pool, PoolPolicy, PoolState
from imagesearch.domain.queries import Query, ScoreRequest
from imagesearch.domain.ranking import (
    SearchHit,
    best,
    corrected,
    direction,
    match_of,
    relevances,
)
from imagesearch.ports import MAX_NEAREST, Cache, Clock, Encoder, ScoreReply, TextEmbedding
from imagesearch.telemetry import stage
from imagesearch.usecases.cache_slots import POOL, TEXT
from imagesearch.usecases.pools import Catalog

_TEXTS_IN_PROCESS = 4096  # of 512 dimensions they are 8 MB
_POOLS_BYTES = 256 * 2**20  # kept in process: some 390 pools of 200 images of 512 dimensions
_IMAGE_BYTES = 1500  # of Python's objects for one image with credit, ten tags and pixel facts
# Over everything, for each image wanted: of so many nearest by cosine the best once corrected.
_EXCESS = 4


@dataclass(frozen=True)
class _Candidates:
    """What a query is held against: row i of *embeddings* and of *hubnesses* is `images[i]`."""

    images: Sequence[Image]
    embeddings: Embeddings  # (n, embedding_dim)
    hubnesses: NDArray[np.float32]  # (n,)

    def those(self, rows: list[int]) -> _Candidates:
        """Return the candidates of *rows*."""
        images = tuple(self.images[row] for row in rows)
        return _Candidates(images, self.embeddings[rows], self.hubnesses[rows])


@dataclass(frozen=True)
class Score:
    """Answers score requests; it is the port `Scorer` in process, and the service's `/score`."""

    catalog: Catalog
    cache: Cache
    encoder: Encoder
    clock: Clock
    policy: PoolPolicy
    _pools: LRUCache[tuple[str, int, str], _Candidates] = field(
        default_factory=lambda: LRUCache(_POOLS_BYTES, getsizeof=_size_bytes)
    )
    _texts: LRUCache[tuple[str, str], TextEmbedding] = field(
        default_factory=lambda: LRUCache(_TEXTS_IN_PROCESS)
    )
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def score(self, request: ScoreRequest) -> ScoreReply:
        """
        Score what is embedded so far.

        Raises:
            InvalidRequest: scope `pool` without a pool, or a filter that is none.
            NotFound: there is no such pool or generation.
            Overloaded, Unavailable, DeadlineExceeded: come back later.
        """
        started = time.perf_counter()
        where = where_of(request.filters)
        text = self._aim(Query.of_text(request.query))
        encoded = time.perf_counter()
        reply = (
            self._catalog(request, text, where)
            if request.scope == "catalog"
            else self._pool(request, text, where)
        )
        ended = time.perf_counter()
        return replace(reply, encode_seconds=encoded - started, score_seconds=ended - encoded)

    def forget(self) -> None:
        """Forget the pools in this process: their catalog is gone."""
        with self._lock:
            self._pools.clear()

    def _aim(self, query: Query) -> TextEmbedding:
        """Return the direction of *query*; truncated when any of its parts was."""
        texts = [self._text(part.text) for part in query.parts]
        weights = [part.weight for part in query.parts]
        vector = direction(
            [(text.vector, weight) for text, weight in zip(texts, weights, strict=True)]
        )
        return TextEmbedding(vector, any(text.truncated for text in texts))

    @stage("encode")
    def _text(self, query: str) -> TextEmbedding:
        """Cache-aside twice: this process, then the cache that all processes share."""
        key = (self.encoder.model_revision, query)
        with self._lock:
            known = self._texts.get(key)
        if known is not None:
            return known
        text = self.cache.get(TEXT, key)
        if text is None:
            text = self.encoder.encode_text(query)
            self.cache.put(TEXT, key, text)
        with self._lock:
            self._texts[key] = text
        return text

    def _pool(self, request: ScoreRequest, text: TextEmbedding, where: Where) -> ScoreReply:
        if request.pool_id is None or request.generation is None:
            raise InvalidRequest("pool_id and generation are needed in scope pool", field="pool_id")
        pool = self._loaded(request.pool_id, request.generation)
        rows = [row for row, image in enumerate(pool.images) if holds(where, image)]
        candidates = pool.those(rows) if where else pool
        reply = self._ranked(candidates, text, request.top_k, is_whole=True)
        return replace(reply, embedded=len(pool.images), matching=len(candidates.images))

    def _catalog(self, request: ScoreRequest, text: TextEmbedding, where: Where) -> ScoreReply:
        revision = self.encoder.model_revision
        with stage("nearest"):
            # Asked before: what comes meanwhile may be missed.
            complete = not self.catalog.library.lacks(revision)
            looked_at = min(_EXCESS * request.top_k, MAX_NEAREST)
            nearest = self.catalog.library.nearest(text.vector, looked_at, revision, where)
        candidates = self._candidates([image for image, _ in nearest.hits], nearest.embeddings)
        reply = self._ranked(candidates, text, request.top_k, is_whole=False)
        exhaustive = nearest.exhaustive or len(nearest.hits) >= request.top_k
        return replace(reply, complete=complete, exhaustive=exhaustive)

    def _candidates(self, images: Sequence[Image], embeddings: Embeddings) -> _Candidates:
        return _Candidates(images, embeddings, self.encoder.references.hubness(embeddings))

    @stage("rank")
    def _ranked(
        self, candidates: _Candidates, text: TextEmbedding, top_k: int, *, is_whole: bool
    ) -> ScoreReply:
        """
        Return the *top_k* best of *candidates*, of which there may be none.

        Args:
            is_whole: relevance is the share in all of them, and else in the hits alone: no store
                returns the whole catalog's scores.
        """
        images, thresholds = candidates.images, self.encoder.thresholds
        if not images:
            return self._reply((), text, None if thresholds is None else False)
        # Each row by itself: a matrix product's last bits depend on a row's place, and equal
        # images would not tie.
        cosines = np.vecdot(candidates.embeddings, text.vector)  # (n, d), (d,) -> (n,)
        scores = corrected(cosines, candidates.hubnesses)
        rows = best(images, scores, top_k)
        strengths = self.encoder.references.strengths(text.vector, scores[rows])
        logit_scale = self.encoder.logit_scale
        shares = (
            relevances(cosines, logit_scale)[rows]
            if is_whole
            else relevances(cosines[rows], logit_scale)
        )
        hits = tuple(
            SearchHit(images[row], cosine, logit_scale * cosine, share, match_of(each, thresholds))
            for row, cosine, share, each in zip(
                rows, cosines[rows].tolist(), shares.tolist(), strengths.tolist(), strict=True
            )
        )
        matched = None if thresholds is None else bool(strengths[0] >= thresholds.fair)
        return self._reply(hits, text, matched)

    def _reply(
        self, hits: tuple[SearchHit, ...], text: TextEmbedding, matched: bool | None
    ) -> ScoreReply:
        revision = self.encoder.model_revision
        return ScoreReply(hits, len(hits), revision, text.truncated, 0.0, 0.0, matched=matched)

    @stage("load")
    def _loaded(self, pool_id: str, generation: int) -> _Candidates:
        """Cache-aside twice: this process, the cache, then the catalog."""
        key = (pool_id, generation, self.encoder.model_revision)
        with self._lock:
            pool = self._pools.get(key)
        if pool is None:
            packed = self.cache.get(POOL, key)
            complete = packed is not None
            if packed is None:
                packed, complete = self._from_catalog(*key)
            pool = self._candidates(packed.images, packed.embeddings)
            if complete:
                with self._lock:
                    self._pools[key] = pool
        return pool

    def _from_catalog(
        self, pool_id: str, number: int, model_revision: str
    ) -> tuple[PackedPool, bool]:
        """Return the packed pool, and whether it is complete and so never changes again."""
        # Read before the rows, so that a pool that becomes ready in between is not kept.
        generation = _generation(self.catalog.pool(pool_id), number)
        packed = self.catalog.packed_pool(pool_id, number, model_revision)
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


def _size_bytes(pool: _Candidates) -> int:
    return pool.embeddings.nbytes + _IMAGE_BYTES * len(pool.images)


def _generation(pool: Pool | None, number: int) -> Generation | None:
    if pool is None:
        return None
    known = [pool.current] + ([pool.ready] if pool.ready else [])
    return next((generation for generation in known if generation.number == number), None)
