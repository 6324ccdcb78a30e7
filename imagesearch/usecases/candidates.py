"""What a query is held against, and what tags say of it: the images of a pool, or the nearest."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from imagesearch.domain.filters.declaration import Where, holds
from imagesearch.domain.folding import fold
from imagesearch.domain.images import Embedding, Embeddings, Image
from imagesearch.domain.ranking import Reason, best, fused
from imagesearch.domain.tag_words import said_by

# Of Python's objects for one image: its credit, ten tags with their words, and pixel facts.
_IMAGE_BYTES = 2900


@dataclass(frozen=True)
class Candidates:
    """What a query is held against: row i of each of the arrays is of `images[i]`."""

    images: Sequence[Image]
    embeddings: Embeddings  # (n, embedding_dim)
    hubnesses: NDArray[np.float32]  # (n,)
    hashes: NDArray[np.int64]  # (n,), see `hashes_of`
    is_complete: bool = False  # a pool that never changes again

    def cosines(self, query: Embedding) -> NDArray[np.float32]:
        """Return those with *query*, (embedding_dim,): (n,)."""
        # Each row by itself: a matrix product's last bits depend on a row's place, and equal
        # images would not tie.
        cosines: NDArray[np.float32] = np.vecdot(self.embeddings, query)
        return cosines

    def saying(self, words: frozenset[str], most: int | None = None) -> NDArray[np.bool_]:
        """
        Return whose tags have all of *words*, if there are any: (n,).

        Args:
            most: only so many, the first, are looked at, (most,).
        """
        images = self.images[:most]
        if not words:  # nothing need be read
            return np.zeros(len(images), np.bool_)
        said = self._said if most is None else [said_by(image.texts) for image in images]
        return np.array([words <= each for each in said], np.bool_)

    @property
    def size_bytes(self) -> int:
        """What it takes in memory, roughly."""
        return self.embeddings.nbytes + _IMAGE_BYTES * len(self.images)

    @cached_property
    def _said(self) -> list[frozenset[str]]:
        """The words of the tags of each image."""
        return [said_by(image.texts) for image in self.images]

    def those(self, rows: list[int]) -> Candidates:
        """Return the candidates of *rows*."""
        images = tuple(self.images[row] for row in rows)
        arrays = (self.embeddings[rows], self.hubnesses[rows], self.hashes[rows])
        return Candidates(images, *arrays)

    def joined(self, others: Candidates) -> Candidates:
        """Return these and *others*, each image once."""
        if not self.images:  # without rows there is no telling how long they are
            return others
        if not others.images:
            return self
        more = others.but({image.image_id for image in self.images})
        if not more.images:
            return self
        return Candidates(
            (*self.images, *more.images),
            np.concatenate([self.embeddings, more.embeddings]),
            np.concatenate([self.hubnesses, more.hubnesses]),
            np.concatenate([self.hashes, more.hashes]),
        )

    def matching(self, where: Where) -> Candidates:
        """Return the candidates that *where* leaves."""
        if not where:
            return self
        return self.those([row for row, image in enumerate(self.images) if holds(where, image)])

    def but(self, image_ids: Collection[str]) -> Candidates:
        """Return the candidates without *image_ids*."""
        if not image_ids:
            return self
        rows = [row for row, image in enumerate(self.images) if image.image_id not in image_ids]
        return self if len(rows) == len(self.images) else self.those(rows)

    def groups(
        self, scores: NDArray[np.float32], depths: Sequence[int], wanted: int, *, is_folded: bool
    ) -> list[list[int]]:
        """
        Return the rows of the *wanted* best by *scores*, each with those that are folded under it.

        Those up to each of *depths* come before the others.
        """
        if not is_folded:
            return [[row] for row in self._order(scores, depths, wanted)]
        order = self._order(scores, depths, len(self.images))
        return fold(self.embeddings, self.hashes, order, wanted)

    def _order(self, scores: NDArray[np.float32], depths: Sequence[int], wanted: int) -> list[int]:
        order: list[int] = []
        for begin, end in pairwise((0, *depths)):
            rows = best(self.images[begin:end], scores[begin:end], wanted - len(order))
            order += [begin + row for row in rows]
        return order


@dataclass(frozen=True)
class ByTags:
    """
    What tags say of candidates that are ranked together.

    Attributes:
        near: how many of the candidates, the first, are there because they are near to the query.
        said: by image_id what the tags say, see `Tagged`.
        words: all that a tag may say of what is asked for.
    """

    near: int
    said: Mapping[str, float]
    words: frozenset[str]

    def ranks(
        self,
        images: Sequence[Image],
        scores: NDArray[np.float32],
        says_all: NDArray[np.bool_],
        is_match: NDArray[np.bool_],
    ) -> NDArray[np.float32]:
        """
        Return what *images* are ranked by, (n,): the first by both, the others by *scores*.

        Args:
            says_all: of the first, whether their tags have all of `words`.
            is_match: (n,), which of them are fair matches at least: these come before the others.
        """
        end = len(says_all)
        near = np.full(end, np.inf, np.float32)
        near[best(images[: self.near], scores[: self.near], self.near)] = 1 + np.arange(self.near)
        said = [self.said.get(image.image_id, 0.0) for image in images[:end]]
        falling = sorted(-each for each in said if each)
        places = [bisect_right(falling, -each) if each else np.inf for each in said]
        both = fused(near, np.array(places, np.float32), says_all)
        # Among equals the nearer comes first, whatever its id.
        ids = np.array([image.image_id for image in images[:end]])
        order = np.lexsort((ids, -scores[:end], -both, ~is_match[:end]))
        ranks = scores.copy()
        ranks[order] = -np.arange(end, dtype=np.float32)
        return ranks

    def reasons(self, image: Image, place: int, says_all: NDArray[np.bool_]) -> tuple[Reason, ...]:
        """Return why the image at *place* is there; those after the first are near, too."""
        is_first = place < len(says_all)
        picture: tuple[Reason, ...] = ("picture",) if place < self.near or not is_first else ()
        is_said = image.image_id in self.said or (is_first and says_all[place])
        return (*picture, "tags") if is_said else picture
