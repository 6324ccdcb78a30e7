"""From which score on a hit is a match: thresholds of a model, from pictures with captions.

Decision 0063 says what they mean.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from imagesearch.domain.errors import InvalidRequest
from imagesearch.domain.images import Embeddings
from imagesearch.domain.ranking import References, Thresholds
from imagesearch.evaluation.captions import FIELD, CaptionedSet, Misfit
from imagesearch.evaluation.embedding import Progress, embed_set
from imagesearch.evaluation.protocol import auroc, best_strengths
from imagesearch.ports import Encoder

SHARES = (0.0, 0.25, 0.5)  # of hubness, and of phrases
LEAST_PICTURES = 100
KEPT_AS_FAIR = 0.95  # of the searches that are answered
KEPT_AS_WEAK = 0.99
REFUSED_AS_STRONG = 0.95  # of the searches that nothing answers
# A coin has 0.5 with a standard deviation of 0.04, of 100 searches of each kind (Mann and Whitney
# 1947): thresholds of a model that tells no more would call matches what it drew.
LEAST_AUROC = 0.6


@dataclass(frozen=True)
class Calibration:
    """
    What was measured.

    Attributes:
        searches: how many were made, each with the picture that answers it and without.
        auroc: how often the best score with it is above the best score without, 0..1.
        refused: the share of searches without it whose best hit is no fair match.
        first_right: the share of searches with it whose best hit is right.
    """

    thresholds: Thresholds
    pictures: int
    searches: int
    auroc: float
    refused: float
    first_right: float


def calibrate(
    encoder: Encoder, captioned: CaptionedSet, progress: Progress
) -> tuple[Calibration, Sequence[Misfit]]:
    """
    Return the thresholds of the model of *encoder*, measured on *captioned*, and what was left out.

    Raises:
        InvalidRequest: too few pictures can be used, or the model does not tell them apart.
        Overloaded, Unavailable, DeadlineExceeded: from the encoder.
    """
    _check_enough(len(captioned.pictures))  # embedding takes minutes
    embedded = embed_set(encoder, captioned, progress, is_taken_apart=True)
    calibration = thresholds_of(
        *(embedded.images, embedded.texts, embedded.truths, encoder.references, embedded.phrases)
    )
    return calibration, [*captioned.misfits, *embedded.misfits]


def thresholds_of(
    images: Embeddings,
    texts: Embeddings,
    truths: Sequence[Collection[int]],
    references: References,
    phrases: Sequence[Embeddings] = (),
) -> Calibration:
    """
    Return the thresholds that tell searches that something answers from those that nothing does.

    They are of scores less the share of hubness, and as they are or by their query's spread
    (decision 0075), whichever tells more; but less no share by which fewer searches have a right
    hit first than without (decision 0063). Then phrases count by the share that tells most
    (decision 0100).

    Args:
        images: (n, d), of pictures.
        texts: (q, d), of captions.
        truths: for each caption the rows of the pictures that it is true of.
        phrases: for each caption those of its phrases, (p, d); by default none has any.

    Raises:
        InvalidRequest: too few pictures to say anything, or scores that are no better than a coin.
    """
    _check_enough(len(images))

    def measured(per_spread: bool, share: float, phrase_share: float = 0.0) -> Calibration:
        best = best_strengths(
            *(images, texts, truths, references),
            per_spread=per_spread,
            share=share,
            phrases=phrases,
            phrase_share=phrase_share,
        )
        return _calibration(best, len(images), (per_spread, share, phrase_share))

    by_auroc = attrgetter("auroc")
    whole = [measured(per_spread, share) for share in SHARES for per_spread in (True, False)]
    least = max(each.first_right for each in whole if not each.thresholds.hubness_share)
    best = max((each for each in whole if each.first_right >= least), key=by_auroc)
    chosen = (best.thresholds.per_spread, best.thresholds.hubness_share)
    apart = [measured(*chosen, share) for share in SHARES[1:]] if any(map(len, phrases)) else []
    calibration = max((best, *apart), key=by_auroc)
    if calibration.auroc < LEAST_AUROC:
        bound = f"the AUROC of the model's scores on them must be at least {LEAST_AUROC}"
        why = "it cannot tell searches that a picture answers from others, and nothing is kept"
        raise InvalidRequest(f"{bound}, got {calibration.auroc:.3f}: {why}", field=FIELD)
    return calibration


def _check_enough(pictures: int) -> None:
    if pictures < LEAST_PICTURES:
        bound = f"at least {LEAST_PICTURES} pictures with captions are needed"
        raise InvalidRequest(f"{bound}, got {pictures}", field=FIELD)


def _calibration(
    best: NDArray[np.float32], pictures: int, choices: tuple[bool, float, float]
) -> Calibration:
    """Return the thresholds of what `best_strengths` measured by the *choices* of `Thresholds`."""
    best = best[~np.isnan(best).any(axis=1)]
    if not len(best):
        raise InvalidRequest("every caption is true of every picture", field=FIELD)
    answered, unanswered = best.T
    weak, fair = np.quantile(answered, [1 - KEPT_AS_WEAK, 1 - KEPT_AS_FAIR]).tolist()
    strong = max(fair, float(np.quantile(unanswered, REFUSED_AS_STRONG)))
    return Calibration(
        Thresholds(strong, fair, weak, *choices),
        pictures,
        len(answered),
        auroc(answered, unanswered),
        float((unanswered < fair).mean()),
        float((answered > unanswered).mean()),  # the best of all is better than the best wrong one
    )
