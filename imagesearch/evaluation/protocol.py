"""How well pictures and captions find each other: pure functions of embeddings.

The protocol is that of Karpathy and Fei-Fei 2015 as CLIP_benchmark has it: of pictures by caption,
each caption is a search, and right is its own picture; of captions by picture, each picture is one,
and right is any of its captions. R@K is the share that has a right one among the first K. A tie
counts against the model: what scores as much as the right one stands before it (decision 0072).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from imagesearch.domain.images import Embedding, Embeddings
from imagesearch.domain.ranking import References, with_phrases

RECALL_AT: Final = (1, 5, 10)
POOL_SIZE: Final = 200  # of a keyword, which is what is searched most
RESAMPLES: Final = 1000
COVERAGE: Final = 0.95  # of an interval
SEED: Final = 1


def scores_of(
    query: Embedding,
    candidates: Embeddings,
    penalties: NDArray[np.float32],
    phrases: Sequence[Embedding] | Embeddings = (),
    phrase_share: float = 0.0,
) -> NDArray[np.float32]:
    """
    Return what *candidates*, (n, d), are ranked by, (n,), as a search does it.

    Args:
        penalties: (n,), taken from their cosines: the share of hubness.
        phrases: of the query, (p, d), see `with_phrases`; not looked at where their share is 0.
    """

    def score(vector: Embedding) -> NDArray[np.float32]:
        # Each pair by itself, as a search does: equal candidates are to tie.
        scores: NDArray[np.float32] = np.vecdot(candidates, vector) - penalties
        return scores

    of_phrases = [score(phrase) for phrase in phrases] if phrase_share else []
    return with_phrases(score(query), of_phrases, phrase_share)


def ranks(
    queries: Embeddings,
    candidates: Embeddings,
    truths: Sequence[Collection[int]],
    penalties: NDArray[np.float32] | None = None,
    phrases: Sequence[Embeddings] = (),
    phrase_share: float = 0.0,
) -> NDArray[np.int64]:
    """
    Return for each query, (q,), the rank from 1 on of the best candidate that is right.

    Args:
        queries: (q, d).
        candidates: (n, d).
        truths: for each query the rows of the candidates that are right, one at least.
        penalties, phrase_share: as of `scores_of`; None and 0 compare cosines.
        phrases: for each query those of its phrases, (p, d).
    """
    ranks = np.empty(len(queries), np.int64)
    if penalties is None:
        penalties = np.zeros(len(candidates), np.float32)
    for row, (query, truth) in enumerate(zip(queries, truths, strict=True)):
        apart = phrases[row] if phrases else ()
        scores = scores_of(query, candidates, penalties, apart, phrase_share)
        right = scores[list(truth)]
        before = np.count_nonzero(scores >= right.max())
        ranks[row] = 1 + before - np.count_nonzero(right == right.max())
    return ranks


def best_strengths(
    images: Embeddings,
    texts: Embeddings,
    truths: Sequence[Collection[int]],
    references: References,
    *,
    per_spread: bool,
    share: float,
    phrases: Sequence[Embeddings] = (),
    phrase_share: float = 0.0,
) -> NDArray[np.float32]:
    """
    Return the best hit's strength of each search, (q, 2): with what answers it, and without.

    Each text is searched twice in a pool of up to *POOL_SIZE* pictures drawn with a fixed seed:
    with a picture that it is true of, at least, and without those that it is true of. Both are NaN
    where it is true of all pictures, or where none is left of the pool.

    Args:
        images: (n, d).
        texts: (q, d), of captions.
        truths: for each text the rows of the pictures that it is true of.
        per_spread: as of `References.strengths`.
        share: of hubness, see `corrected`.
        phrases: for each text those of its phrases, (p, d).
        phrase_share: as of `scores_of`.
    """
    rng = np.random.default_rng(SEED)
    penalties = np.float32(share) * references.hubness(images)
    best = np.full((len(texts), 2), np.nan, np.float32)
    for row, (text, truth) in enumerate(zip(texts, truths, strict=True)):
        apart = phrases[row] if phrases else ()
        scores = scores_of(text, images, penalties, apart, phrase_share)
        strengths = references.strengths(text, scores, per_spread=per_spread)
        pool = rng.choice(len(images), min(POOL_SIZE, len(images)), replace=False)
        is_true = np.zeros(len(images), np.bool_)
        is_true[list(truth)] = True
        answer = strengths[rng.choice(np.flatnonzero(is_true))]
        others = strengths[pool[~is_true[pool]]]
        if len(others):
            best[row] = max(answer, strengths[pool].max()), others.max()
    return best


def auroc(
    positive: NDArray[np.float32],
    negative: NDArray[np.float32],
    weights: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
) -> float:
    """
    Return how often one of *positive* is above one of *negative*, a tie being half of it.

    Args:
        weights: how often each of the two counts; by default once.
    """
    of_positive, of_negative = weights or (np.ones(len(positive)), np.ones(len(negative)))
    order = np.argsort(negative, kind="stable")
    ordered, sums = negative[order], np.concatenate([[0.0], of_negative[order].cumsum()])
    below = sums[np.searchsorted(ordered, positive, "left")]
    not_above = sums[np.searchsorted(ordered, positive, "right")]
    pairs = of_positive.sum() * sums[-1]
    wins = (of_positive * (below + not_above) / 2).sum()
    return float(wins / pairs) if pairs else float("nan")


def recalls(
    ranks: NDArray[np.int64], weights: NDArray[np.float64], at: Sequence[int] = RECALL_AT
) -> list[float]:
    """Return R@K, 0..1, for each K of *at*, the searches counting by *weights*, (q,)."""
    total = weights.sum()
    if not total:
        return [float("nan")] * len(at)
    shares: list[float] = (weights @ np.less_equal.outer(ranks, at) / total).tolist()
    return shares


Statistic = Callable[[NDArray[np.float64]], Sequence[float]]
"""Figures of a set whose pictures count by weights, (pictures,)."""


def resampled(pictures: int, statistic: Statistic) -> NDArray[np.float64]:
    """
    Return *statistic* of resamples of the pictures, (*RESAMPLES*, figures).

    Pictures are drawn with replacement, each with all its captions, as those are not independent;
    ranks stay as they were among all pictures. The seed is fixed.

    Source: Efron and Tibshirani 1993, chapters 6 and 13, by clusters.
    """
    rng = np.random.default_rng(SEED)
    figures = []
    for _ in range(RESAMPLES):
        drawn = rng.integers(pictures, size=pictures)
        figures.append(statistic(np.bincount(drawn, minlength=pictures).astype(np.float64)))
    return np.array(figures)


def intervals(resamples: NDArray[np.float64]) -> list[tuple[float, float]]:
    """
    Return of each figure the percentiles between which *COVERAGE* of the *resamples* lie.

    Resamples without the figure count for nothing; where none has it, both are NaN.
    """
    return [_percentiles(figure[~np.isnan(figure)]) for figure in resamples.T]


def _percentiles(figure: NDArray[np.float64]) -> tuple[float, float]:
    if not len(figure):
        return float("nan"), float("nan")
    low, high = np.quantile(figure, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2]).tolist()
    return low, high
