"""From cosines to the hits of an answer: pure functions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from imagesearch.domain.errors import InvalidRequest
from imagesearch.domain.images import Embedding, Embeddings, Image

# The functions compute nothing: numpy would be a third of the CPU that their import takes.
if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FUSION_CONSTANT: Final = 60  # how little the first ranks of a ranking are above the next ones
ALL_WORDS_SHARE: Final = 0.25  # of the first rank's score, for tags that have all the words
HUBNESS_REFERENCES: Final = 16  # of an image's reference cosines, the highest
HUBNESS_SHARE: Final = 0.5  # of its hubness, taken from a cosine where calibration found none
LEAST_LENGTH: Final = 1e-3  # of the sum of parts, in what they had if all were alike
LEAST_SPREAD: Final = 0.5  # of a query's reference cosines, in what is usual for a reference

Weighted: TypeAlias = tuple[Embedding, float]
"""A part's embedding, and its weight."""

Reason: TypeAlias = Literal["picture", "tags"]

Match: TypeAlias = Literal["strong", "fair", "weak", "none", "uncalibrated"]


@dataclass(frozen=True)
class Thresholds:
    """
    From which strength on, see `References.strengths`, a hit is a match of each kind.

    Attributes:
        per_spread: whether strengths are scores by their query's spread, or scores as they are.
        hubness_share: of its hubness, taken from an image's cosine, 0..1.
        phrase_share: of an image's score, what the least of the sentence's phrases counts, 0..1,
            see `with_phrases`.

    Raises:
        TypeError: *per_spread* is no bool, or a share no number.
        ValueError: they do not fall from strong over fair to weak, or a share is no such one.
    """

    strong: float
    fair: float
    weak: float
    per_spread: bool = True
    hubness_share: float = HUBNESS_SHARE
    phrase_share: float = 0.0

    def __post_init__(self) -> None:
        if not math.inf > self.strong >= self.fair >= self.weak > -math.inf:
            levels = f"strong {self.strong}, fair {self.fair}, weak {self.weak}"
            raise ValueError(f"thresholds must be numbers that fall from strong on, got {levels}")
        if not isinstance(self.per_spread, bool):
            raise TypeError(f"per_spread must be true or false, got {self.per_spread!r}")
        for name in ("hubness_share", "phrase_share"):
            share = getattr(self, name)
            if not 0 <= share <= 1:
                raise ValueError(f"{name} must be between 0 and 1, got {share!r}")


@dataclass(frozen=True)
class References:
    """
    Captions about anything, in one model's space: what any query is like, and any image to it.

    Attributes:
        embeddings: (m, embedding_dim); without any, nothing is corrected.
    """

    embeddings: Embeddings

    def hubness(self, images: Embeddings) -> NDArray[np.float32]:
        """
        Return how near each of *images*, (n, d), is to whatever is asked: (n,).

        It is the mean of an image's highest cosines with the references.

        Source: Chowdhury et al. 2024, arXiv 2410.24114, who correct by the nearest of a bank.
        """
        import numpy as np

        count = min(HUBNESS_REFERENCES, len(self.embeddings))
        if not len(images) or not count:
            return np.zeros(len(images), np.float32)
        # Not a matrix product: its last bits depend on a row's place, and equal images are to tie;
        # and the threads that it starts keep a core busy for a tenth of a second once it is done.
        # Reference by reference, as a search's images stay in a core's cache meanwhile.
        cosines = np.vecdot(self.embeddings[:, None], images).T  # (m, 1, d), (n, d) -> (n, m)
        highest = np.partition(np.ascontiguousarray(cosines), -count, axis=1)[:, -count:]
        hubness: NDArray[np.float32] = np.sort(highest, axis=1).mean(axis=1)
        return hubness

    def strengths(
        self, query: Embedding, scores: NDArray[np.float32], *, per_spread: bool
    ) -> NDArray[np.float32]:
        """
        Return how well images of the corrected *scores*, (n,), answer *query*, (d,): (n,).

        The more a query says, the further apart are its cosines with anything, and the higher is
        the score of what it means: scores of several queries compare once divided by the spread of
        the query's reference cosines (z-norm, as speaker verification has it; decision 0063). Those
        of a model that learned to judge each pair alone compare as they are (decision 0075).
        """
        import numpy as np

        if not per_spread or not len(self.embeddings):
            return scores
        cosines = np.vecdot(self.embeddings, query)  # as in `hubness`: no threads
        aside = cosines - cosines.mean()
        spread = math.sqrt(np.dot(aside, aside) / len(aside))  # in half of the time of `std`
        strengths: NDArray[np.float32] = scores / np.float32(max(spread, self._least_spread))
        return strengths

    def demotion(self, images: Embeddings, minus: Sequence[Weighted]) -> NDArray[np.float32]:
        """
        Return how far *images*, (n, d), are put back for what is not wanted of them, (n,).

        An image is held against each unwanted thing, both seen from the middle of the references:
        what is no nearer to it than to anything is not touched (decision 0064). Without references
        nothing is.
        """
        import numpy as np

        total = np.zeros(len(images), np.float32)
        if not len(self.embeddings):
            return total
        for vector, weight in minus:
            aside = vector - self._middle
            nearness = np.vecdot(images, aside) - np.vecdot(self._middle, aside)
            total += np.float32(weight) * np.maximum(nearness, 0)
        return total

    @cached_property
    def _middle(self) -> Embedding:
        """(embedding_dim,), of one reference at least."""
        middle: Embedding = self.embeddings.mean(axis=0)
        return middle

    @cached_property
    def _least_spread(self) -> float:
        """Words that mean nothing to the model have hardly any spread."""
        import numpy as np

        spreads = (self.embeddings @ self.embeddings.T).std(axis=1)
        return max(LEAST_SPREAD * float(np.median(spreads)), 1e-6)


@dataclass(frozen=True)
class SearchHit:
    """
    One image of an answer.

    Attributes:
        score: cosine of query and image, -1..1; hits are ranked by what `corrected` makes of it.
        logit: logit_scale x cosine + logit_bias, what `transformers` calls logits_per_text.
        relevance: softmax of the logits over the pool, 0..1.
        match: how well it answers the query, see `match_of`.
        reasons: why it is there: `picture`, it is near to the query; `tags`, they have its words.
        similar: image_ids of those that look the same and rank after it, best first.
    """

    image: Image
    score: float
    logit: float
    relevance: float
    match: Match = "uncalibrated"
    similar: tuple[str, ...] = ()
    reasons: tuple[Reason, ...] = ("picture",)


def direction(parts: Sequence[Weighted]) -> Embedding:
    """
    Return the unit vector, (embedding_dim,), that weighted embeddings together point to.

    One part alone is its own direction, bit for bit.

    Raises:
        InvalidRequest: they cancel out.
    """
    import numpy as np

    if len(parts) == 1:
        return parts[0][0]
    total = np.sum([weight * vector for vector, weight in parts], axis=0)
    length = float(np.linalg.norm(total)) / sum(weight for _, weight in parts)
    if length < LEAST_LENGTH:
        bound = f"together they must point somewhere, by at least {LEAST_LENGTH}"
        message = f"s_query, like and picture cancel out: {bound}, got {length:.6f}"
        raise InvalidRequest(message, field="like")
    unit: Embedding = (total / np.linalg.norm(total)).astype(np.float32)
    return unit


def share_of(thresholds: Thresholds | None) -> float:
    """Return the share of hubness that a model of these *thresholds* is corrected by, 0..1."""
    return HUBNESS_SHARE if thresholds is None else thresholds.hubness_share


def corrected(
    cosines: NDArray[np.float32], hubnesses: NDArray[np.float32], share: float = HUBNESS_SHARE
) -> NDArray[np.float32]:
    """
    Return what images are ranked by, (n,): their cosines less a *share* of their hubness.

    What is near to every query says less about this one (decision 0063).
    """
    import numpy as np

    scores: NDArray[np.float32] = cosines - np.float32(share) * hubnesses
    return scores


def with_phrases(
    whole: NDArray[np.float32], of_phrases: Sequence[NDArray[np.float32]], share: float
) -> NDArray[np.float32]:
    """
    Return the scores of images for a sentence of which they have to show each phrase, (n,).

    A sentence is near to what shows most of it, and a word that the model never learned moves it
    little: "a horse in the rain" finds horses. By itself the phrase that an image does not show is
    far from it (decision 0100).

    Args:
        whole: (n,), the corrected scores for the sentence.
        of_phrases: (n,) each, for its phrases, see `phrases_of`; without any, *whole* is returned.
        share: what the least of an image's scores for phrases counts, 0..1.
    """
    import numpy as np

    if not of_phrases:
        return whole
    least = np.min(of_phrases, axis=0)
    scores: NDArray[np.float32] = whole + np.float32(share) * (least - whole)
    return scores


def picture_demotion(
    images: Embeddings, scores: NDArray[np.float32], unlike: Sequence[Weighted], compared: int
) -> NDArray[np.float32]:
    """
    Return how far *images*, (n, d), are put back for the pictures they are not to be like, (n,).

    All are seen from the middle of the images that are compared: what those have in common, as
    their keyword, puts none back. A spread of their nearness counts as one of their *scores*, (n,),
    as pictures are nearer to each other than to words; of several pictures the nearest one counts
    (decision 0070).

    Args:
        compared: so many of *images*, the first, tell middle and spreads.
    """
    import numpy as np

    total = np.zeros(len(images), np.float32)
    if not unlike:
        return total
    middle = images[:compared].mean(axis=0)
    for vector, weight in unlike:
        aside = vector - middle
        nearness = np.vecdot(images, aside) - np.vecdot(middle, aside)
        spread = nearness[:compared].std()
        if spread > 1e-6:  # else they are all alike
            scale = np.float32(weight * scores[:compared].std() / spread)
            total = np.maximum(total, scale * nearness)
    return total


def fused(
    near: NDArray[np.float32], words: NDArray[np.float32], says_all: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """
    Return the scores, (n,), of images by two rankings, in which infinity is the rank of what is
    in none.

    Nothing is before the nearest for its tags alone. What is near goes ahead a little where tags
    say all that is asked for: by a share of what is above all.

    Args:
        near: (n,), ranks by how near they are, from 1 on.
        words: (n,), ranks by what their tags say; of those that say the same, the last one's.
        says_all: (n,), whether the tags have all the words.

    Source: Cormack, Clarke and Büttcher 2009, "Reciprocal rank fusion", with their constant; that
    the two are not added up is decision 0066.
    """
    import numpy as np

    ahead = np.float32(ALL_WORDS_SHARE / (FUSION_CONSTANT + 1)) * (says_all & np.isfinite(near))
    nearness = 1 / (FUSION_CONSTANT + near) + ahead
    scores: NDArray[np.float32] = np.maximum(nearness, 1 / (FUSION_CONSTANT + words))
    return scores


def best(images: Sequence[Image], scores: NDArray[np.float32], k: int) -> list[int]:
    """Return the places of the *k* images of the highest *scores*, (n,), ties by image_id."""
    import numpy as np

    likely = np.arange(len(scores))
    if k < len(scores):  # whatever ties with the k-th stays in, for its image_id to decide
        likely = np.flatnonzero(scores >= np.partition(scores, -k)[-k])
    order = likely[np.argsort(-scores[likely], kind="stable")]
    sorted_scores = scores[order]
    if (sorted_scores[1:] == sorted_scores[:-1]).any():  # else no image_id need be looked at
        ids = np.array([images[place].image_id for place in likely.tolist()], dtype=np.str_)
        order = likely[np.lexsort((ids, -scores[likely]))]
    ranked: list[int] = order[:k].tolist()
    return ranked


def relevances(cosines: NDArray[np.float32], logit_scale: float) -> NDArray[np.float64]:
    """
    Return the share of each image, (n,), in all of them: the softmax of their logits.

    Args:
        logit_scale: exp of the model's learned temperature; its bias, the same in all logits,
            changes no share.

    Source: Radford et al. 2021, figure 3 (logits), figure 1 (softmax over candidates).
    """
    import numpy as np

    logits = logit_scale * cosines.astype(np.float64)
    weights = np.exp(logits - logits.max(initial=-np.inf))
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares


def match_of(strength: float, thresholds: Thresholds, *, is_said: bool = False) -> Match:
    """
    Return which match a hit of *strength* is.

    Args:
        is_said: its source says itself that it shows what is asked for, so that it is fair at
            least (decision 0063).
    """
    if strength >= thresholds.strong:
        return "strong"
    if is_said or strength >= thresholds.fair:
        return "fair"
    return "weak" if strength >= thresholds.weak else "none"
