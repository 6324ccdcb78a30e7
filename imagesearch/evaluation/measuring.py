"""Measures a model on a captioned set: how well pictures and captions find each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from imagesearch.domain.picture_facts import Caption
from imagesearch.domain.ranking import share_of
from imagesearch.evaluation import protocol
from imagesearch.evaluation.captions import CaptionedSet
from imagesearch.evaluation.embedding import EmbeddedSet, Progress, embed_set
from imagesearch.evaluation.protocol import auroc, intervals, recalls, resampled
from imagesearch.evaluation.runs import (
    FOUND,
    Figure,
    Figures,
    MeasuredCaption,
    MeasuredPicture,
    Miss,
    Run,
)
from imagesearch.ports import Encoder

MISSES = 24
_LEADERS = 3


def measure(
    encoder: Encoder, captioned: CaptionedSet, source: str, model: str, progress: Progress
) -> Run:
    """
    Return what is measured of the model of *encoder* on *captioned*.

    Args:
        source, model: how the two are called.

    Raises:
        InvalidRequest: not one picture can be used.
        Overloaded, Unavailable, DeadlineExceeded: from the encoder.
    """
    phrase_share = encoder.thresholds.phrase_share if encoder.thresholds else 0.0
    embedded = embed_set(encoder, captioned, progress, is_taken_apart=phrase_share > 0)
    share = share_of(encoder.thresholds)
    penalties = np.float32(share) * encoder.references.hubness(embedded.images)
    measured = _measured(encoder, embedded, penalties, phrase_share)
    return Run(
        model,
        encoder.model_revision,
        source,
        captioned.form,
        captioned.split,
        sum(len(truth) > 1 for truth in embedded.truths),
        embedded.truncated,
        [*captioned.misfits, *embedded.misfits],
        figures_of(measured),
        _misses(embedded, measured, penalties, phrase_share),
        measured,
        _is_per_spread(encoder),
        share,
        phrase_share,
    )


def _measured(
    encoder: Encoder, embedded: EmbeddedSet, penalties: NDArray[np.float32], phrase_share: float
) -> list[MeasuredPicture]:
    entries = [
        (row, caption)
        for row, picture in enumerate(embedded.pictures)
        for caption in picture.captions
    ]
    texts = [embedded.rows[caption.text] for _, caption in entries]
    queries, phrases = embedded.texts[texts], [embedded.phrases[text] for text in texts]
    truths = [[row] for row, _ in entries]
    by_search = protocol.ranks(
        queries, embedded.images, truths, penalties, phrases, phrase_share
    ).tolist()
    by_cosine = protocol.ranks(queries, embedded.images, truths).tolist()
    strengths = protocol.best_strengths(
        embedded.images,
        embedded.texts,
        embedded.truths,
        encoder.references,
        per_spread=_is_per_spread(encoder),
        share=share_of(encoder.thresholds),
        phrases=embedded.phrases,
        phrase_share=phrase_share,
    )
    measured = [MeasuredPicture(picture.name, [], {}) for picture in embedded.pictures]
    for (row, caption), rank, cosine_rank in zip(entries, by_search, by_cosine, strict=True):
        best = [_number(each) for each in strengths[embedded.rows[caption.text]].tolist()]
        measured[row].captions.append(
            MeasuredCaption(caption.text, caption.language, rank, cosine_rank, *best)
        )
    for language in dict.fromkeys(caption.language for _, caption in entries):
        for row, rank in _caption_ranks(embedded, language):
            measured[row].caption_ranks[language] = rank
    return measured


def _is_per_spread(encoder: Encoder) -> bool:
    return encoder.thresholds is None or encoder.thresholds.per_spread


def _caption_ranks(embedded: EmbeddedSet, language: str) -> list[tuple[int, int]]:
    """Return by its row each picture's rank of its best caption among all of *language*."""
    own: dict[int, set[int]] = {}
    for row, picture in enumerate(embedded.pictures):
        if texts := {embedded.rows[each.text] for each in _of(picture.captions, language)}:
            own[row] = texts
    columns = sorted(set().union(*own.values()))
    place = {text: column for column, text in enumerate(columns)}
    truths = [[place[text] for text in texts] for texts in own.values()]
    ranks = protocol.ranks(embedded.images[[*own]], embedded.texts[columns], truths)
    return list(zip(own, ranks.tolist(), strict=True))


def _of(captions: Sequence[Caption], language: str) -> list[Caption]:
    return [caption for caption in captions if caption.language == language]


@dataclass
class LanguageRanks:
    """
    What the figures of one language are computed from; all arrays have a row for each search.

    Attributes:
        caption_owners: (c,), the picture, a row of all, of each caption.
        ranks, cosine_ranks: (c,).
        strengths: (c, 2), with and without; NaN where there is none.
        picture_owners, caption_ranks: (p,), of the pictures that have a caption.
    """

    language: str
    pictures: int
    caption_owners: NDArray[np.int64]
    ranks: NDArray[np.int64]
    cosine_ranks: NDArray[np.int64]
    strengths: NDArray[np.float32]
    picture_owners: NDArray[np.int64]
    caption_ranks: NDArray[np.int64]
    _answered: tuple[NDArray[np.float32], NDArray[np.int64]] = field(init=False)
    _unanswered: tuple[NDArray[np.float32], NDArray[np.int64]] = field(init=False)

    def __post_init__(self) -> None:
        self._answered, self._unanswered = map(self._sorted, self.strengths.T)

    def _sorted(
        self, strengths: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return the strengths that there are, and their owners: each resample looks for places."""
        order = np.argsort(strengths)[: np.count_nonzero(~np.isnan(strengths))]  # NaN comes last
        return strengths[order], self.caption_owners[order]

    @classmethod
    def of(cls, measured: Sequence[MeasuredPicture], language: str) -> LanguageRanks:
        """Return those of *language*."""
        captions = [
            (owner, each)
            for owner, picture in enumerate(measured)
            for each in picture.captions
            if each.language == language
        ]
        strengths = [[each.strength, each.strength_without] for _, each in captions]
        of_pictures = [
            (owner, picture.caption_ranks[language])
            for owner, picture in enumerate(measured)
            if language in picture.caption_ranks
        ]
        owners, ranks = np.array(of_pictures, np.int64).reshape(-1, 2).T
        return cls(
            language,
            len(measured),
            np.array([owner for owner, _ in captions], np.int64),
            np.array([each.rank for _, each in captions], np.int64),
            np.array([each.cosine_rank for _, each in captions], np.int64),
            np.array(strengths, np.float32).reshape(-1, 2),  # None becomes NaN
            owners,
            ranks,
        )

    def statistic(self, weights: NDArray[np.float64]) -> list[float]:
        """Return R@K of each of `FOUND`, one after the other, and the AUROC of no match."""
        of_captions = weights[self.caption_owners]
        (positive, owners), (negative, of_negative) = self._answered, self._unanswered
        return [
            *recalls(self.ranks, of_captions),
            *recalls(self.cosine_ranks, of_captions),
            *recalls(self.caption_ranks, weights[self.picture_owners]),
            auroc(positive, negative, (weights[owners], weights[of_negative])),
        ]


def languages_of(measured: Sequence[MeasuredPicture]) -> list[str]:
    """Return the languages that captions are in, by name."""
    return sorted({caption.language for picture in measured for caption in picture.captions})


def figures_of(measured: Sequence[MeasuredPicture]) -> list[Figures]:
    """Return what the ranks of *measured* come to, for each language."""
    return [_figures(LanguageRanks.of(measured, each)) for each in languages_of(measured)]


def _figures(ranks: LanguageRanks) -> Figures:
    values = ranks.statistic(np.ones(ranks.pictures))
    bounds = intervals(resampled(ranks.pictures, ranks.statistic))
    figures = [
        Figure(*map(_number, (value, *bound))) for value, bound in zip(values, bounds, strict=True)
    ]
    count = len(protocol.RECALL_AT)
    return Figures(
        ranks.language,
        len(ranks.picture_owners),
        len(ranks.caption_owners),
        {
            direction: figures[place * count : (place + 1) * count]
            for place, direction in enumerate(FOUND)
        },
        figures[-1],
    )


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 6)


def _misses(
    embedded: EmbeddedSet,
    measured: Sequence[MeasuredPicture],
    penalties: NDArray[np.float32],
    phrase_share: float,
) -> list[Miss]:
    """Return the captions whose picture comes last, the worst of each picture, the worst first."""
    worst: list[tuple[int, MeasuredCaption]] = []
    for row, picture in enumerate(measured):
        # What several pictures show word for word is no fault of the model's.
        own = [
            each for each in picture.captions if embedded.truths[embedded.rows[each.text]] == {row}
        ]
        if own:
            worst.append((row, max(own, key=lambda each: each.rank)))
    worst.sort(key=lambda each: -each[1].rank)
    misses = []
    for row, caption in worst[:MISSES]:
        if caption.rank == 1:
            break
        text = embedded.rows[caption.text]
        scores = protocol.scores_of(
            *(embedded.texts[text], embedded.images, penalties),
            *(embedded.phrases[text], phrase_share),
        )
        first = np.argsort(-scores, kind="stable")[:_LEADERS].tolist()
        names = [embedded.pictures[each].name for each in first]
        misses.append(
            Miss(embedded.pictures[row].name, caption.text, caption.language, caption.rank, names)
        )
    return misses
