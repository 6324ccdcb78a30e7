"""Who scores while stored images have embeddings of several models: decision 0073.

Scoring by one model is `score.py`; having all that is stored embedded by the new one is
`reembed.py`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from cachetools import TTLCache

from imagesearch.domain.errors import ImageSearchError, NotFound
from imagesearch.domain.images import weights_of
from imagesearch.domain.queries import ScoreRequest
from imagesearch.ports import Clock, Encoder, Library, ScoreReply
from imagesearch.usecases.score import Score

_REMEMBERED_SECONDS = 5.0  # which models there are embeddings of, and who scores a pool
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scorers:
    """
    The port `Scorer`: each question is answered by the one model that has most of what it asks.

    Cosines of two models do not compare. A model of which another version of the preprocessing
    embedded what is stored reads texts as it did, so that it scores that, too.

    Attributes:
        encoders: of the model that embeds, then of those that did so before it.
        score_by: returns who scores the embeddings of a model_revision by an encoder.
    """

    encoders: Sequence[Encoder]
    library: Library
    clock: Clock
    score_by: Callable[[Encoder, str], Score]
    _scores: dict[str, Score] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stored: TTLCache[None, list[str]] = field(init=False)
    _ahead: TTLCache[object, Score] = field(init=False)  # by what is asked, who has most

    def __post_init__(self) -> None:
        timer = self.clock.monotonic
        object.__setattr__(self, "_stored", TTLCache(1, _REMEMBERED_SECONDS, timer=timer))
        object.__setattr__(self, "_ahead", TTLCache(10_000, _REMEMBERED_SECONDS, timer=timer))

    @property
    def own(self) -> Score:
        """Who scores by the model that embeds."""
        return self._by(self.encoders[0], self.encoders[0].model_revision)

    def score(self, request: ScoreRequest) -> ScoreReply:
        """Answer *request* as `Score` does, by the model that has embedded most of what it asks."""
        other = self._other(request)
        if other is not None:
            try:
                reply = other.score(request)
            except NotFound as error:  # an image of the query, or what was deleted just now
                _logger.debug("the model before is left out: %s", error)
            else:
                if reply.embedded:
                    return replace(reply, embeds=self.own.revision)
        try:
            return self.own.score(request)
        except NotFound:
            # An image of the query may be of a pool that the model before alone has embedded.
            for other in self._others(self._looked_up()):
                with suppress(NotFound):
                    return replace(other.score(request), embeds=self.own.revision)
            raise

    def has_before(self) -> bool:
        """Return whether it can score what another model embedded, or a preprocessing before."""
        return bool(self._others(self._looked_up()))

    def forget(self) -> None:
        """Forget the pools in this process: their catalog is gone."""
        with self._lock:
            self._stored.clear()
            self._ahead.clear()
            scores = list(self._scores.values())
        for score in scores:
            score.forget()

    def _other(self, request: ScoreRequest) -> Score | None:
        """Return who has more of what is asked than the model that embeds, if anybody has."""
        asked = (request.scope, request.pool_id, request.generation, request.beside)
        with self._lock:
            remembered = self._ahead.get(asked)
        own = self.own
        if remembered is not None:
            return None if remembered is own else remembered
        with self._lock:
            stored = self._stored.get(None)
        # What has all is asked for nothing more: the catalog may be down.
        if stored is None and not own.has_all(request):
            stored = self._looked_up()
        others = self._others(stored or ())
        if not others or own.has_all(request):
            return None
        best = max((own, *others), key=lambda score: score.reach(request))  # own among equals
        with self._lock:
            self._ahead[asked] = best
        return None if best is own else best

    def _looked_up(self) -> list[str]:
        """Return the models of which embeddings are stored, and remember them."""
        try:
            stored = self.library.model_revisions()
        except ImageSearchError as error:  # what is in memory is answered all the same
            _logger.warning("the model that embeds scores alone: %s", error)
            return []
        with self._lock:
            self._stored[None] = stored
        return stored

    def _others(self, stored: Sequence[str]) -> list[Score]:
        """Return who scores what other models, or versions of the preprocessing, embedded."""
        own = self.encoders[0].model_revision
        by_weights = {weights_of(each.model_revision): each for each in reversed(self.encoders)}
        return [
            self._by(by_weights[weights_of(revision)], revision)
            for revision in stored
            if revision != own and weights_of(revision) in by_weights
        ]

    def _by(self, encoder: Encoder, model_revision: str) -> Score:
        with self._lock:
            if model_revision not in self._scores:
                self._scores[model_revision] = self.score_by(encoder, model_revision)
            return self._scores[model_revision]
