"""What the pixels of an image say beside its embedding: a hash of its shapes, its main colours."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

COLOURS: Final = (
    *("red", "orange", "yellow", "green", "turquoise", "blue", "lilac"),
    *("pink", "white", "gray", "black", "brown", "grayscale"),
)
"""Pixabay's words, https://pixabay.com/api/docs/, but for `transparent`: all lie on a ground."""

_WINDOW_BITS = 48  # the others say where on the picture what is drawn lies


def _lowest(count: int) -> tuple[tuple[int, int], ...]:
    """Return the *count* lowest frequencies, vertical and horizontal, but for the zeroth."""
    pairs = ((row, column) for row in range(10) for column in range(10))
    return tuple(sorted(pairs, key=lambda pair: (sum(pair), pair[0]))[1 : count + 1])


WINDOW_FREQUENCIES: Final = _lowest(_WINDOW_BITS)
"""Of each bit of a hash about a picture's window, from the lowest on."""

WHOLE_FREQUENCIES: Final = _lowest(64 - _WINDOW_BITS)
"""Of each of the bits after those, about the whole picture."""


def _signed(bits: int) -> int:
    """Return 64 bits as databases keep them, as a signed number."""
    return bits - 2**64 if bits >= 2**63 else bits


MIRRORED: Final = _signed(
    sum(
        1 << bit
        for bit, (_, column) in enumerate((*WINDOW_FREQUENCIES, *WHOLE_FREQUENCIES))
        if column % 2
    )
)
"""The bits that differ between a picture's hash and that of its mirror image: x becomes -x."""


@dataclass(frozen=True, slots=True)
class PixelFacts:
    """
    What is kept of an image's pixels.

    Attributes:
        hash: 64 bits as a signed number: whether the cosine transform of the brightness is above
            0, at *WINDOW_FREQUENCIES* of the window that has most of the picture's edges, then at
            *WHOLE_FREQUENCIES* of all of it. Pictures that look alike differ in few.
        colours: a bit for each of *COLOURS*, from the lowest on: whether it is a main one.
    """

    hash: int
    colours: int

    @classmethod
    def of_bits(cls, hash_bits: int, colours: int) -> PixelFacts:
        """Return the facts of an unsigned hash."""
        return cls(_signed(hash_bits), colours)


@lru_cache(maxsize=4096)  # there are as many sets of them
def colour_names(colours: int) -> tuple[str, ...]:
    """Return those of *COLOURS* whose bits are set in *colours*."""
    return tuple(name for name in COLOURS if colours & colour_bit(name))


def colour_bit(name: str) -> int:
    """Return the bit of one of *COLOURS*."""
    return 1 << COLOURS.index(name)
