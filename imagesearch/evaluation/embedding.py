"""A captioned set in the space of a model, by the decoder and the model that searches have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from imagesearch.domain.errors import ImageSearchError, InvalidRequest, NotFound, RejectedImage
from imagesearch.domain.images import Embedding, Embeddings, as_cached
from imagesearch.domain.phrases import phrases_of
from imagesearch.evaluation.captions import (
    FIELD,
    UNUSABLE,
    CaptionedPicture,
    CaptionedSet,
    Misfit,
    Misfits,
)
from imagesearch.ports import Encoder

_PICTURES_AT_ONCE = 64

Progress = Callable[[int, str], None]
"""Is told how many of what, `pictures` or `captions`, are embedded."""


@dataclass(frozen=True)
class EmbeddedSet:
    """
    A captioned set, embedded.

    Attributes:
        pictures: those that could be used.
        images: (n, d), of each of the *pictures*.
        rows: of each different caption the row in *texts*.
        texts: (t, d), of the different captions.
        truths: of each row of *texts* the rows of the pictures that have this caption.
        phrases: of each row of *texts* the embeddings of what the caption asks for together, see
            `phrases_of`: (p, d), of which p may be 0.
        truncated: how many of the different captions are longer than the model reads.
        misfits: pictures that could not be used.
    """

    pictures: Sequence[CaptionedPicture]
    images: Embeddings
    rows: dict[str, int]
    texts: Embeddings
    truths: Sequence[set[int]]
    phrases: Sequence[Embeddings]
    truncated: int
    misfits: Sequence[Misfit]


def embed_set(
    encoder: Encoder, captioned: CaptionedSet, progress: Progress, *, is_taken_apart: bool
) -> EmbeddedSet:
    """
    Embed a set.

    Args:
        is_taken_apart: whether the phrases of captions are embedded too, or none.

    Raises:
        InvalidRequest: not one of its pictures can be used.
        Overloaded, Unavailable, DeadlineExceeded: from the encoder.
    """
    misfits = Misfits()
    known = captioned.embedded(encoder.model_revision)
    pictures, images = _pictures(encoder, captioned.pictures, known, misfits, progress)
    if not pictures:
        what = "; ".join(map(str, misfits))
        raise InvalidRequest(f"not one picture can be used: {what}", field=FIELD)
    truths: dict[str, set[int]] = {}
    for row, picture in enumerate(pictures):
        for caption in picture.captions:
            truths.setdefault(caption.text, set()).add(row)
    texts, phrases, truncated = _texts(encoder, list(truths), progress, is_taken_apart)
    rows = {text: row for row, text in enumerate(truths)}
    return EmbeddedSet(
        *(pictures, images, rows, texts, [*truths.values()], phrases, truncated, [*misfits])
    )


def _pictures(
    encoder: Encoder,
    listed: Sequence[CaptionedPicture],
    known: Mapping[str, Embedding],
    misfits: Misfits,
    progress: Progress,
) -> tuple[list[CaptionedPicture], Embeddings]:
    """Return the pictures that can be used, those that are *known* first, and a row for each."""
    pictures = [picture for picture in listed if picture.name in known]
    vectors = [known[picture.name] for picture in pictures]
    listed = [picture for picture in listed if picture.name not in known]
    for first in range(0, len(listed), _PICTURES_AT_ONCE):
        some = dict(_read(listed[first : first + _PICTURES_AT_ONCE], misfits))
        outcomes = encoder.encode_images([*some.values()])
        for picture, outcome in zip(some, outcomes, strict=True):
            if isinstance(outcome, RejectedImage):
                misfits.add(UNUSABLE, f"{picture.name}: {outcome}")
            elif isinstance(outcome, ImageSearchError):
                raise outcome
            else:
                pictures.append(picture)
                vectors.append(outcome.vector)
        progress(min(first + _PICTURES_AT_ONCE, len(listed)), "pictures")
    return pictures, as_cached(np.array(vectors, np.float32))


def _read(
    pictures: Sequence[CaptionedPicture], misfits: Misfits
) -> list[tuple[CaptionedPicture, bytes]]:
    data = []
    for picture in pictures:
        try:
            data.append((picture, picture.read()))
        except (OSError, NotFound, RejectedImage) as error:
            why = error.strerror if isinstance(error, OSError) else error
            misfits.add(UNUSABLE, f"{picture.name}: {why}")
    return data


def _texts(
    encoder: Encoder, texts: Sequence[str], progress: Progress, is_taken_apart: bool
) -> tuple[Embeddings, list[Embeddings], int]:
    """Return the embeddings of *texts*, those of the phrases of each, and how many are too long."""

    @cache
    def of_phrase(phrase: str) -> Embedding:
        [embedding] = encoder.encode_texts([phrase])
        return embedding.vector

    vectors, phrases, truncated = [], [], 0
    for number, text in enumerate(texts, start=1):
        [embedding] = encoder.encode_texts([text])
        vectors.append(embedding.vector)
        apart = phrases_of(text) if is_taken_apart else ()
        of_phrases = np.array([of_phrase(phrase) for phrase in apart], np.float32)
        phrases.append(of_phrases.reshape(len(apart), len(embedding.vector)))
        truncated += embedding.truncated
        if not number % 100 or number == len(texts):
            progress(number, "captions")
    return np.array(vectors, np.float32), phrases, truncated
