"""Encoded bytes of an image to the pixels that a model takes, or to the reason why there are none.

The model itself is in `clip.py`.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from imagesearch.errors import RejectedImage

FORMATS = ("JPEG", "PNG", "WEBP")
MAX_PIXELS = 50_000_000  # 150 MB once decoded; Pillow's own bound of 89 million is above it
MIN_SIDE = 8  # pixels, a JPEG's own block: a thinner image shows nothing a caption could be about
MAX_ASPECT = 250  # a longer and thinner image fills the memory once its short side is 224 pixels
PREPROCESSING_VERSION = 2  # raise it whenever the same bytes come to give other arrays

Pixels = NDArray[np.uint8]  # (height, width, 3)

# Pillow only warns up to twice its pixel bound, and its other warnings are about metadata that
# is not used here.
warnings.filterwarnings("ignore", module=r"PIL\.")
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)


def decode(data: bytes, max_pixels: int = MAX_PIXELS, draft_side: int | None = None) -> Image.Image:
    """
    Return the picture in *data* in mode RGB, turned upright as its EXIF tag says.

    Of an animation it is the first frame. Transparent parts are laid on white and CMYK is
    converted as `transformers`' CLIPImageProcessor does; 16-bit grey keeps its high byte, where
    Pillow's own conversion would clip it to white.

    Args:
        data: the bytes of a JPEG, PNG or WebP file.
        max_pixels: width x height above which nothing is decoded; at most Pillow's 89 million.
        draft_side: a JPEG comes at 1/2, 1/4 or 1/8 of its size if its shorter side, in pixels,
            is no less than this then; it is decoded several times faster.

    Raises:
        RejectedImage: anything else, cut short, above *max_pixels*, or with a side
            under MIN_SIDE or over MAX_ASPECT times the other.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        _check_size(image, max_pixels)
        if draft_side is not None:
            image.draft(None, (draft_side, draft_side))  # does nothing but to a JPEG
        image.load()
        return _rgb(_upright(image))
    except RejectedImage:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise RejectedImage(f"the image has more than {max_pixels} pixels") from error
    except UnidentifiedImageError as error:
        raise RejectedImage(f"{len(data)} bytes that are no JPEG, PNG or WebP image") from error
    except Exception as error:  # what hostile bytes raise in Pillow is open-ended
        raise RejectedImage(f"the image cannot be decoded: {error}") from error


def _check_size(image: Image.Image, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise RejectedImage(f"the image has more than {max_pixels} pixels: {width} x {height}")
    if min(width, height) < MIN_SIDE:
        raise RejectedImage(f"the image has a side under {MIN_SIDE} pixels: {width} x {height}")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise RejectedImage(f"the image is too long and thin: {width} x {height}")


def _upright(image: Image.Image) -> Image.Image:
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except Exception:  # noqa: BLE001 - a corrupt EXIF block may raise anything; the pixels are fine
        return image
    return image


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        high_bytes = (np.asarray(image) >> 8).astype(np.uint8)  # (H, W)
        return Image.fromarray(high_bytes).convert("RGB")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert("RGB")


@dataclass(frozen=True)
class Framing:
    """
    How a checkpoint wants its pictures: resized, cropped to a square and normalised.

    Attributes:
        short_side: what the shorter side is resized to; (width, height) when both are given.
        crop: width and height of what is cut out of the middle; None leaves all.
        scale, offset: a normalised value is pixel x scale + offset, for each colour.
    """

    short_side: int | tuple[int, int]
    crop: tuple[int, int] | None
    resample: Image.Resampling
    scale: tuple[float, ...]
    offset: tuple[float, ...]

    @property
    def shape(self) -> tuple[int, int] | None:
        """Width and height of every picture that it gives; None when they vary."""
        return self.crop or (None if isinstance(self.short_side, int) else self.short_side)

    @property
    def draft_side(self) -> int:
        """A JPEG may be decoded at a fraction of its size, if its shorter side keeps this many."""
        side = self.short_side if isinstance(self.short_side, int) else max(self.short_side)
        return 2 * side

    def frame(self, image: Image.Image) -> Pixels:
        """Return *image*, in mode RGB, resized and cropped: (height, width, 3)."""
        resized = image.resize(self._resized(image.size), self.resample)
        if self.crop is None:
            return np.asarray(resized)
        # Not with resize's own `box`, which rounds in another order than `transformers` does.
        left, top = ((side - kept) // 2 for side, kept in zip(resized.size, self.crop, strict=True))
        return np.asarray(resized.crop((left, top, left + self.crop[0], top + self.crop[1])))

    def _resized(self, size: tuple[int, int]) -> tuple[int, int]:
        if not isinstance(self.short_side, int):
            return self.short_side
        short = min(size)
        width, height = (
            self.short_side if side == short else int(self.short_side * side / short)
            for side in size
        )
        return width, height
