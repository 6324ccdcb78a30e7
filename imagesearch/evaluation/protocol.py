"""How well pictures and captions find each other: pure functions of embeddings.

The protocol is that of Karpathy and Fei-Fei 2015 as CLIP_benchmark has it: of pictures by caption,
each caption is a search, and right is its own picture; of captions by picture, each picture is one,
and right is any of its captions. R@K is the share that has a right one among the first K. A tie
counts against the model: what scores as much as the right one stands before it (decision 0072).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from imagesearch.domain.images import Embedding, Embeddings
from imagesearch.domain.ranking import HUBNESS_SHARE, References, corrected, with_phrases

RECALL_AT: Final = (1, 5, 10)
POOL_SIZE: Final = 200  # of a keyword, which is what is searched most
RESAMPLES: Final = 1000
COVERAGE: Final = 0.95  # of an interval
SEED: Final = 1
_ROWS = 256  # of queries at once: 5 MB of scores over 5,000 candidates


def ranks(
    queries: Embeddings,
    candidates: Embeddings,
    truths: Sequence[Collection[int]],
    hubnesses: NDArray[np.float32] | None = None,
    share: float = HUBNESS_SHARE,
) -> NDArray[np.int64]:
    """
    Return for each query, (q,), the rank from 1 on of the best candidate that is right.

    Args:
        queries: (q, d).
        candidates: (n, d).
        truths: for each query the rows of the candidates that are right, one at least.
        hubnesses: (n,), by which scores are corrected as a search does; None compares cosines.
        share: of hubness, see `corrected`.
    """
    penalties = np.zeros(len(candidates), np.float32) if hubnesses is None else hubnesses
    ranks = np.empty(len(queries), np.int64)
    for scores, rows in _scores(queries, candidates, penalties, share):
        for row, of_query in zip(rows, scores, strict=True):
            right = of_query[list(truths[row])]
            before = np.count_nonzero(of_query >= right.max())
            ranks[row] = 1 + before - np.count_nonzero(right == right.max())
    return ranks


def _scores(
    queries: Embeddings, candidates: Embeddings, penalties: NDArray[np.float32], share: float
) -> Iterator[tuple[NDArray[np.float32], range]]:
    """Yield the scores of some queries, (some, n), and which ones they are of."""
    for first in range(0, len(queries), _ROWS):
        some = queries[first : first + _ROWS]
        # Each pair by itself, as a search does: equal candidates are to tie.
        cosines = np.vecdot(some[:, None], candidates)
        yield corrected(cosines, penalties, share), range(first, first + len(some))


def leaders(
    query: NDArray[np.float32],
    candidates: Embeddings,
    hubnesses: NDArray[np.float32],
    k: int,
    share: float,
) -> list[int]:
    """Return the rows of the *k* candidates, (n, d), of the highest corrected scores."""
    scores = corrected(np.vecdot(candidates, query), hubnesses, share)
    order: list[int] = np.argsort(-scores, kind="stable")[:k].tolist()
    return order


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
        phrase_share: of `with_phrases`; 0 leaves *phrases* out.
    """
    rng = np.random.default_rng(SEED)
    hubnesses = references.hubness(images)

    def of(query: Embedding) -> NDArray[np.float32]:
        scores = corrected(np.vecdot(images, query), hubnesses, share)
        return references.strengths(query, scores, per_spread=per_spread)

    best = np.full((len(texts), 2), np.nan, np.float32)
    for row, (text, truth) in enumerate(zip(texts, truths, strict=True)):
        apart = phrases[row] if phrase_share else ()
        strengths = with_phrases(of(text), [of(phrase) for phrase in apart], phrase_share)
        pool = rng.choice(len(images), min(POOL_SIZE, len(images)), replace=False)
        is_true = np.isin(np.arange(len(images)), list(truth))
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
    return [float(weights[ranks <= k].sum() / total) if total else float("nan") for k in at]


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
