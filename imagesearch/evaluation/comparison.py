"""What changed from one run to another, by the captions that both have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from imagesearch.domain.errors import InvalidRequest
from imagesearch.evaluation.captions import FIELD
from imagesearch.evaluation.measuring import LanguageRanks, languages_of
from imagesearch.evaluation.protocol import intervals, resampled
from imagesearch.evaluation.runs import MeasuredPicture, Run


@dataclass(frozen=True)
class Difference:
    """A figure of the later run less that of the earlier, and the interval of paired resamples."""

    value: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """True where the interval has no 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Comparison:
    """
    Two runs, by what both measured.

    Attributes:
        by_language: for each language the differences of `LanguageRanks.statistic`, in its order.
        captions: how many are compared.
        earlier_only, later_only: how many captions the other run lacks.
        earlier_pictures, later_pictures: among how many pictures each run searched.
    """

    earlier: Run
    later: Run
    by_language: dict[str, list[Difference]]
    captions: int
    earlier_only: int
    later_only: int
    earlier_pictures: int
    later_pictures: int


def compare(earlier: Run, later: Run) -> Comparison:
    """
    Return the differences, each with the interval of a bootstrap of both runs' same pictures.

    Raises:
        InvalidRequest: they have no caption in common.
    """
    both = _captions(earlier) & _captions(later)
    if not both:
        raise InvalidRequest("the runs have no caption of a picture in common", field=FIELD)
    before, after = (_those(run.measured, both) for run in (earlier, later))
    return Comparison(
        earlier,
        later,
        {each: _differences(before, after, each) for each in languages_of(before)},
        len(both),
        len(_captions(earlier) - both),
        len(_captions(later) - both),
        len(earlier.measured),
        len(later.measured),
    )


_Key = tuple[str, str, str]  # picture, text, language


def _captions(run: Run) -> set[_Key]:
    return {
        (picture.name, caption.text, caption.language)
        for picture in run.measured
        for caption in picture.captions
    }


def _those(measured: Sequence[MeasuredPicture], keys: set[_Key]) -> list[MeasuredPicture]:
    """Return the pictures with the captions in *keys*, both in an order that runs share."""
    kept = []
    for picture in sorted(measured, key=lambda each: each.name):
        captions = sorted(
            (each for each in picture.captions if (picture.name, each.text, each.language) in keys),
            key=lambda each: (each.language, each.text),
        )
        if captions:
            languages = {each.language for each in captions}
            ranks = {name: picture.caption_ranks[name] for name in sorted(languages)}
            kept.append(MeasuredPicture(picture.name, captions, ranks))
    return kept


def _differences(
    earlier: Sequence[MeasuredPicture], later: Sequence[MeasuredPicture], language: str
) -> list[Difference]:
    before, after = (LanguageRanks.of(each, language) for each in (earlier, later))

    def statistic(weights: np.ndarray) -> list[float]:
        pairs = zip(before.statistic(weights), after.statistic(weights), strict=True)
        return [new - old for old, new in pairs]

    values = statistic(np.ones(before.pictures))
    bounds = intervals(resampled(before.pictures, statistic))
    return [Difference(value, *bound) for value, bound in zip(values, bounds, strict=True)]
