"""What was measured of one model on one captioned set, and the JSON that keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from imagesearch.domain.ranking import HUBNESS_SHARE
from imagesearch.evaluation.captions import Misfit, unreadable

Found = Literal["picture", "picture by cosine", "caption"]
FOUND: tuple[Found, ...] = ("picture", "picture by cosine", "caption")


@dataclass(frozen=True)
class Figure:
    """A share, 0..1, and the interval that 95 % of the resamples lie in; None is no figure."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Figures:
    """
    What was measured in one language.

    Attributes:
        language: empty where the set says none.
        pictures, captions: how many have captions in it, and how many those are.
        recall: R@1, R@5 and R@10 of what is found: a caption's `picture` as a search ranks, the
            same `picture by cosine`, which is the standard, and a picture's `caption` by cosine.
        no_match: AUROC of the best hit with the caption's picture against without.
    """

    language: str
    pictures: int
    captions: int
    recall: dict[Found, list[Figure]]
    no_match: Figure


@dataclass(frozen=True)
class MeasuredCaption:
    """
    A caption as a search for its picture.

    Attributes:
        rank: of its picture, as a search ranks, from 1 on.
        cosine_rank: the same by cosine.
        strength, strength_without: of the best hit, see `protocol.best_strengths`.
    """

    text: str
    language: str
    rank: int
    cosine_rank: int
    strength: float | None
    strength_without: float | None


@dataclass(frozen=True)
class MeasuredPicture:
    """A picture with its captions; *caption_ranks* of its best caption are by language."""

    name: str
    captions: list[MeasuredCaption]
    caption_ranks: dict[str, int]


@dataclass(frozen=True)
class Miss:
    """A caption with what was found *first* before its picture, names of pictures, best first."""

    picture: str
    text: str
    language: str
    rank: int
    first: list[str]


@dataclass(frozen=True)
class Run:
    """
    One model on one set.

    Attributes:
        model: as it was asked for.
        source: the set, as it was given.
        form: of the set.
        split: that was read; None where the set has none.
        shared_captions: how many different captions several pictures have word for word.
        truncated_captions: how many are longer than the model reads.
        misfits: what of the set was left out.
        figures: one for each language.
        misses: the worst, each of another picture.
        measured: every picture, from which all figures can be computed anew.
        per_spread: of the model's `Thresholds`.
        hubness_share: by which its searches were corrected.
        phrase_share: of the model's `Thresholds`.
    """

    model: str
    model_revision: str
    source: str
    form: str
    split: str | None
    shared_captions: int
    truncated_captions: int
    misfits: list[Misfit]
    figures: list[Figures]
    misses: list[Miss]
    measured: list[MeasuredPicture]
    per_spread: bool = True
    hubness_share: float = HUBNESS_SHARE
    phrase_share: float = 0.0


@dataclass(frozen=True)
class RunFile:
    """What `imagesearch eval --json` prints."""

    schema_version: Literal[1]
    runs: list[Run]


_RUN_FILE = TypeAdapter(RunFile)


def as_json(runs: Sequence[Run]) -> dict[str, Any]:
    """Return the runs as what JSON has."""
    values: dict[str, Any] = _RUN_FILE.dump_python(RunFile(1, [*runs]), mode="json")
    return values


def read_runs(path: Path) -> list[Run]:
    """
    Return the runs in a file that `imagesearch eval --json` printed.

    Raises:
        InvalidRequest: it is none, naming it and the first thing that is amiss.
    """
    try:
        return _RUN_FILE.validate_json(path.read_bytes()).runs
    except OSError as error:
        raise unreadable(path, f"cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        why = f"{place}: {first['msg']}" if place else first["msg"]
        raise unreadable(path, f"is no output of `imagesearch eval --json`: {why}") from error
