"""What is kept of a decoded picture's pixels beside its embedding, see `domain/pixels.py`.

Colours are those of the picture at 32 x 32: what is smaller is none of its main ones. Its hash is
for the most part about the window in which its edges are, at 32 x 32 of its own: small things on a
wide ground differ by what they are, and a window moves with them when a picture is cropped.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imagesearch.domain.pixels import (
    COLOURS,
    WHOLE_FREQUENCIES,
    WINDOW_FREQUENCIES,
    PixelFacts,
)
from inference_service.images import Box, Picture

SIDE = 32
FINE_SIDE = 64  # at which edges are looked for
WINDOW_SPREADS = 1.5  # standard deviations of a picture's edges, to each side of their middle
LEAST_SPREAD = 2.0  # pixels at FINE_SIDE: a window of fewer would show noise
MAIN_SHARE = 0.15  # of the pixels, from which on a colour is a main one
GREY_SHARE = 0.99  # of the pixels that are white, gray or black in what is `grayscale`

_Floats = NDArray[np.float32]

# Source: Ahmed, Natarajan, Rao 1974, the discrete cosine transform; a row a frequency.
_WAVES = np.cos(np.pi * np.outer(np.arange(10), 2 * np.arange(SIDE) + 1) / (2 * SIDE))
# Source: Ottosson 2020, https://bottosson.github.io/posts/oklab, from linear sRGB.
_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ],
    np.float32,
).T
_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ],
    np.float32,
).T
_VALUES = np.arange(256) / 255
# Source: IEC 61966-2-1, sRGB's transfer function.
_LINEAR = np.where(_VALUES <= 0.04045, _VALUES / 12.92, ((_VALUES + 0.055) / 1.055) ** 2.4).astype(
    np.float32
)
# Degrees of OKLCh at which a hue's name begins to be another one.
_HUE_ENDS = np.array([14, 42, 84, 118, 168, 215, 285, 332])
_HUES = ("pink", "red", "orange", "yellow", "green", "turquoise", "blue", "lilac", "pink")
_NUMBER = {name: number for number, name in enumerate(COLOURS)}
_HUE_NUMBERS = np.array([_NUMBER[name] for name in _HUES])
_NO_NAME = len(COLOURS)  # cream and beige, which nobody looks for as yellow or orange
_GREYS = [_NUMBER[name] for name in ("white", "gray", "black")]


def pixel_facts(picture: Picture) -> PixelFacts:
    """Return the facts of *picture*, all of it, not of what a model's framing leaves."""
    # `reducing_gap` halves what a large picture costs, and moves no bit that is not a coin's toss.
    side = (FINE_SIDE, FINE_SIDE)
    fine = picture.image.resize(side, Image.Resampling.BOX, picture.box, reducing_gap=2.0)
    whole = _small(fine, (0, 0, *side))
    window = _small(fine, _window(np.asarray(fine)))
    signs = (_signs(window, WINDOW_FREQUENCIES), _signs(whole, WHOLE_FREQUENCIES))
    bits = np.packbits(np.concatenate(signs), bitorder="little")
    return PixelFacts.of_bits(int.from_bytes(bits.tobytes(), "little"), _main_colours(whole))


def _small(fine: Image.Image, box: Box) -> Image.Image:
    return fine.resize((SIDE, SIDE), Image.Resampling.BOX, box)


def _window(pixels: NDArray[np.uint8]) -> Box:
    """
    Return where the edges of a picture at FINE_SIDE are, all of it where it has none.

    Contrasts are squared: a thing before its ground counts more than what is all over the picture.
    """
    channels = pixels.transpose(2, 0, 1).astype(np.float32, order="C")
    contrast = np.zeros(pixels.shape[:2], np.float32)
    contrast[:, 1:-1] += np.abs(channels[:, :, 2:] - channels[:, :, :-2]).sum(axis=0)
    contrast[1:-1] += np.abs(channels[:, 2:] - channels[:, :-2]).sum(axis=0)
    weights = contrast**2
    left, right = _span(weights.sum(axis=0))
    top, bottom = _span(weights.sum(axis=1))
    return left, top, right, bottom


def _span(weights: _Floats) -> tuple[float, float]:
    """Return from where to where a window goes along one side, (n,)."""
    places, total = np.arange(len(weights)) + 0.5, float(weights.sum())
    if not total:
        return 0.0, float(len(weights))
    middle = float(weights @ places) / total
    spread = float(np.sqrt(weights @ (places - middle) ** 2 / total))
    reach = WINDOW_SPREADS * max(spread, LEAST_SPREAD)
    return max(middle - reach, 0.0), min(middle + reach, float(len(weights)))


def _signs(small: Image.Image, frequencies: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
    """Return whether the cosine transform of the brightness is above 0 at *frequencies*, (n,)."""
    brightness = np.asarray(small.convert("L"), np.float64)
    spectrum = _WAVES @ brightness @ _WAVES.T
    rows, columns = np.array(frequencies).T
    signs: NDArray[np.bool_] = spectrum[rows, columns] > 0
    return signs


def _main_colours(small: Image.Image) -> int:
    names = colour_numbers(np.asarray(small).reshape(-1, 3))
    shares = np.bincount(names, minlength=len(COLOURS) + 1)[:-1] / len(names)
    main = shares >= MAIN_SHARE
    main[_NUMBER["grayscale"]] = shares[_GREYS].sum() >= GREY_SHARE
    return sum(1 << number for number in np.flatnonzero(main).tolist())


def colour_numbers(pixels: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Return the place in *COLOURS* of each of *pixels*, (n, 3), or the place after all: (n,)."""
    lightness, chroma, hue = _lch(pixels)
    numbers = _HUE_NUMBERS[np.searchsorted(_HUE_ENDS, hue, side="right")]
    is_red, is_orange = numbers == _NUMBER["red"], numbers == _NUMBER["orange"]
    is_lilac = numbers == _NUMBER["lilac"]
    numbers[is_red & (lightness > 0.72)] = _NUMBER["pink"]
    numbers[is_lilac & (hue > 318) & (lightness > 0.66)] = _NUMBER["pink"]
    numbers[(is_orange & (lightness < 0.58)) | (is_red & (lightness < 0.4))] = _NUMBER["brown"]
    is_pale = (is_orange | (numbers == _NUMBER["yellow"])) & (lightness > 0.8) & (chroma < 0.085)
    numbers[is_pale] = _NO_NAME
    is_grey = (chroma < 0.04) | ((chroma < 0.06) & (lightness > 0.9))
    grey = np.where(lightness > 0.88, _NUMBER["white"], _NUMBER["gray"])
    numbers = np.where(is_grey, grey, numbers)
    numbers[(lightness < 0.22) | (is_grey & (lightness < 0.3))] = _NUMBER["black"]
    return numbers


def _lch(pixels: NDArray[np.uint8]) -> tuple[_Floats, _Floats, _Floats]:
    """Return lightness, chroma and hue in degrees, as OKLCh has them."""
    lightness, a, b = (np.cbrt(_LINEAR[pixels] @ _LMS) @ _LAB).T
    return lightness, np.hypot(a, b), np.degrees(np.arctan2(b, a)) % 360
