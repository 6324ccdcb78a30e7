"""Tokens as the rows of a tower's input, of which one may have several texts: pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_UNSEEN = np.float32(-1e9)  # added to a logit of attention, it leaves a weight of exactly 0


@dataclass(frozen=True)
class TextRows:
    """
    B rows of T tokens with P texts each, as arrays, or as what a runtime makes of them.

    Attributes:
        ids: (B, T) int32.
        positions: (B, T) int32, of each token in its text.
        places: (B, P) int32, where in its row the tower reads each text's embedding.
        mask: (B, 1, T, T) float32, added to the logits of attention: each place sees itself and
            what its text has before it; None where each sees all of its row.
    """

    ids: Any
    positions: Any
    places: Any
    mask: Any | None = None

    @classmethod
    def of(cls, ids: NDArray[np.int32], places: NDArray[np.int32], *, causal: bool) -> TextRows:
        """
        Return a row for each text of `Tokens`.

        Args:
            causal: no token sees a later one.
        """
        positions = _positions(ids)
        mask = _mask(positions) if causal else None
        return cls(ids, positions, places[:, None], mask)

    @classmethod
    def together(cls, ids: NDArray[np.int32], places: NDArray[np.int32]) -> TextRows:
        """Return one row of all texts of `Tokens`, without padding; none of them sees another."""
        positions = _positions(ids)
        is_read = positions <= places[:, None]  # (B, T)
        in_a_row = positions[is_read][None]
        ends = np.cumsum(places + 1, dtype=np.int32) - 1
        return cls(ids[is_read][None], in_a_row, ends[None], _mask(in_a_row))

    def __iter__(self) -> Iterator[Any]:
        """Yield its arrays, in the order of the fields."""
        yield from (self.ids, self.positions, self.places)
        if self.mask is not None:
            yield self.mask


def _positions(ids: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the position of each of *ids*, (B, T), in its row."""
    position = np.arange(ids.shape[1], dtype=np.int32)
    return np.repeat(position[None], len(ids), axis=0)


def _mask(positions: NDArray[np.int32]) -> NDArray[np.float32]:
    place = np.arange(positions.shape[1], dtype=np.int32)
    before = place[:, None] - place  # (T, T), how many places
    is_seen = (before >= 0) & (before <= positions[:, :, None])  # (B, T, T)
    return np.where(is_seen, np.float32(0), _UNSEEN)[:, None]
