"""From cosines to the hits of an answer: pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imagesearch.domain.images import Embedding, Image

# The functions compute nothing: numpy would be a third of the CPU that their import takes.
if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class SearchHit:
    """
    One image of an answer.

    Attributes:
        score: cosine of query and image, -1..1.
        logit: logit_scale x cosine, what CLIP calls logits_per_text.
        relevance: softmax of the logits over the pool, 0..1.
    """

    image: Image
    score: float
    logit: float
    relevance: float


def direction(parts: Sequence[tuple[Embedding, float]]) -> Embedding:
    """
    Return the unit vector, (embedding_dim,), that weighted embeddings together point to.

    One part alone is its own direction, bit for bit.
    """
    import numpy as np

    if len(parts) == 1:
        return parts[0][0]
    total = np.sum([weight * vector for vector, weight in parts], axis=0)
    unit: Embedding = (total / np.linalg.norm(total)).astype(np.float32)
    return unit


def top_k(
    images: Sequence[Image], cosines: NDArray[np.float32], k: int, logit_scale: float
) -> list[SearchHit]:
    """
    Return the *k* best of *images*, best first, ties by image_id.

    Args:
        images: n images.
        cosines: (n,) scores of the images against one query.
        k: how many; more than n gives n.
        logit_scale: exp of CLIP's learned temperature.

    Source: Radford et al. 2021, figure 3 (logits), figure 1 (softmax over candidates).
    """
    import numpy as np

    if not images:
        return []
    logits = logit_scale * cosines.astype(np.float64)  # (n,)
    weights = np.exp(logits - logits.max())
    relevances = weights / weights.sum()
    likely = np.arange(len(cosines))
    if k < len(cosines):  # whatever ties with the k-th stays in, for its image_id to decide
        likely = np.flatnonzero(cosines >= np.partition(cosines, -k)[-k])
    ids = np.array([images[i].image_id for i in likely.tolist()])
    best = likely[np.lexsort((ids, -cosines[likely]))[:k]]
    scores = np.stack([cosines, logits, relevances], axis=1)[best].tolist()  # (k, 3)
    return [SearchHit(images[i], *three) for i, three in zip(best.tolist(), scores, strict=True)]
