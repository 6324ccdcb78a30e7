"""From which score on a hit is a match: thresholds of a model, from pictures with captions.

Decision 0063 says what they mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imagesearch.domain.errors import ImageSearchError, InvalidRequest, RejectedImage
from imagesearch.domain.images import Embedding, Embeddings
from imagesearch.domain.ranking import References, Thresholds, corrected
from imagesearch.evaluation.captions import CaptionedPicture
from imagesearch.ports import Encoder

POOL_SIZE = 200  # of a keyword, which is what is searched most
LEAST_PICTURES = 100
KEPT_AS_FAIR = 0.95  # of the searches that are answered
KEPT_AS_WEAK = 0.99
REFUSED_AS_STRONG = 0.95  # of the searches that nothing answers
_SEED = 1
_PICTURES_AT_ONCE = 64


@dataclass(frozen=True)
class Calibration:
    """
    What was measured.

    Attributes:
        searches: how many were made, each with the picture that answers it and without.
        auroc: how often the best score with it is above the best score without, 0..1.
        refused: the share of searches without it whose best hit is no fair match.
    """

    thresholds: Thresholds
    pictures: int
    searches: int
    auroc: float
    refused: float


def calibrate(
    encoder: Encoder, pictures: Sequence[CaptionedPicture], progress: Callable[[int], None]
) -> Calibration:
    """
    Return the thresholds of the model of *encoder*, measured on *pictures*.

    Args:
        progress: is told how many pictures are embedded.

    Raises:
        InvalidRequest: a picture cannot be used, naming it, or there are too few.
        Overloaded, Unavailable, DeadlineExceeded: from the encoder.
    """
    images = _embedded(encoder, pictures, progress)
    truths: dict[str, set[int]] = {}
    for row, picture in enumerate(pictures):
        for caption in picture.captions:
            truths.setdefault(caption, set()).add(row)
    texts = np.array([encoder.encode_text(caption).vector for caption in truths])
    return thresholds_of(images, texts, [*truths.values()], encoder.references)


def _embedded(
    encoder: Encoder, pictures: Sequence[CaptionedPicture], progress: Callable[[int], None]
) -> Embeddings:
    rows: list[Embedding] = []
    for first in range(0, len(pictures), _PICTURES_AT_ONCE):
        some = pictures[first : first + _PICTURES_AT_ONCE]
        outcomes = encoder.encode_images([picture.path.read_bytes() for picture in some])
        for picture, outcome in zip(some, outcomes, strict=True):
            if isinstance(outcome, RejectedImage):
                raise InvalidRequest(f"{picture.path}: {outcome}", field="FOLDER")
            if isinstance(outcome, ImageSearchError):
                raise outcome
            rows.append(outcome.vector)
        progress(len(rows))
    return np.array(rows)


def thresholds_of(
    images: Embeddings,
    texts: Embeddings,
    truths: Sequence[Set[int]],
    references: References,
) -> Calibration:
    """
    Return the thresholds that tell searches that something answers from those that nothing does.

    Each caption is searched twice in a pool of up to *POOL_SIZE* pictures drawn with a fixed seed:
    with a picture that it is true of, at least, and without those that it is true of.

    Args:
        images: (n, d), of pictures.
        texts: (q, d), of captions.
        truths: for each caption the rows of the pictures that it is true of.

    Raises:
        InvalidRequest: too few pictures to say anything.
    """
    if len(images) < LEAST_PICTURES:
        bound = f"at least {LEAST_PICTURES} pictures with captions are needed"
        raise InvalidRequest(f"{bound}, got {len(images)}", field="FOLDER")
    rng = np.random.default_rng(_SEED)
    hubnesses = references.hubness(images)
    answered, unanswered = [], []
    for text, truth in zip(texts, truths, strict=True):
        scores = corrected(np.vecdot(images, text), hubnesses)
        strengths = references.strengths(text, scores)
        is_true = np.isin(np.arange(len(images)), list(truth))
        if is_true.all():
            continue
        pool = rng.choice(len(images), min(POOL_SIZE, len(images)), replace=False)
        answer = strengths[rng.choice(np.flatnonzero(is_true))]
        answered.append(max(answer, strengths[pool].max()))
        unanswered.append(strengths[pool[~is_true[pool]]].max(initial=-np.inf))
    if not answered:
        raise InvalidRequest("every caption is true of every picture", field="FOLDER")
    return _measured(np.array(answered), np.array(unanswered), len(images))


def _measured(
    answered: NDArray[np.float32], unanswered: NDArray[np.float32], pictures: int
) -> Calibration:
    weak, fair = np.quantile(answered, [1 - KEPT_AS_WEAK, 1 - KEPT_AS_FAIR]).tolist()
    strong = max(fair, float(np.quantile(unanswered, REFUSED_AS_STRONG)))
    return Calibration(
        Thresholds(strong, fair, weak),
        pictures,
        len(answered),
        auroc(answered, unanswered),
        float((unanswered < fair).mean()),
    )


def auroc(positive: NDArray[np.float32], negative: NDArray[np.float32]) -> float:
    """Return how often one of *positive* is above one of *negative*, a tie being half of it."""
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, "left")
    ties = np.searchsorted(ordered, positive, "right") - below
    return float((below + ties / 2).mean() / len(ordered))
