"""How pictures are laid out: in rows of equal height that fill the width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from imagesearch.client import Hit

NARROWEST, WIDEST = 0.5, 2.6  # width / height, beyond which a part of a picture is shown
USUAL = 640 / 427  # of a picture whose size is not known


@dataclass(frozen=True)
class Tile:
    """A picture's place in a row: its index in the answer, and its size in logical pixels."""

    index: int
    width: float
    height: float


def ratio(hit: Hit) -> float:
    """Return width / height of the place of *hit*."""
    whole = hit.width / hit.height if hit.width > 0 and hit.height > 0 else USUAL
    return min(WIDEST, max(NARROWEST, whole))


def rows(hits: Sequence[Hit], width: float, height: float, gap: float) -> list[list[Tile]]:
    """
    Return *hits* in their order, in rows that are *width* wide with *gap* between pictures.

    A row takes pictures until it would be lower than *height* with the next; the last one keeps
    that height where its pictures do not fill it. All in logical pixels.
    """
    laid: list[list[Tile]] = []
    row: list[int] = []
    for index in range(len(hits)):
        row.append(index)
        if _height(hits, row, width, gap) <= height:
            laid.append(_tiles(hits, row, _height(hits, row, width, gap)))
            row = []
    if row:
        laid.append(_tiles(hits, row, min(height, _height(hits, row, width, gap))))
    return laid


def _height(hits: Sequence[Hit], row: Sequence[int], width: float, gap: float) -> float:
    return (width - gap * (len(row) - 1)) / sum(ratio(hits[index]) for index in row)


def _tiles(hits: Sequence[Hit], row: Sequence[int], height: float) -> list[Tile]:
    return [Tile(index, ratio(hits[index]) * height, height) for index in row]
