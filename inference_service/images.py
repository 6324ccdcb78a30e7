"""Encoded bytes of an image to an upright RGB picture, or to the reason why there is none.

Resizing it for the model and the model itself are in `clip.py`.
"""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from imagesearch.errors import RejectedImage

FORMATS = ("JPEG", "PNG", "WEBP")
MAX_PIXELS = 50_000_000  # 150 MB once decoded; Pillow's own bound of 89 million is above it
MIN_SIDE = 8  # pixels, a JPEG's own block: a thinner image shows nothing a caption could be about
MAX_ASPECT = 250  # a longer and thinner image fills the memory once its short side is 224 pixels
PREPROCESSING_VERSION = 1  # raise it whenever the same bytes come to give other arrays

# Pillow only warns up to twice its pixel bound, and its other warnings are about metadata that
# is not used here.
warnings.filterwarnings("ignore", module=r"PIL\.")
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)


def decode(data: bytes, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """
    Return the picture in *data* in mode RGB, turned upright as its EXIF tag says.

    Of an animation it is the first frame. Transparent parts are laid on white and CMYK is
    converted as `transformers`' CLIPImageProcessor does; 16-bit grey keeps its high byte, where
    Pillow's own conversion would clip it to white.

    Args:
        data: the bytes of a JPEG, PNG or WebP file.
        max_pixels: width x height above which nothing is decoded; at most Pillow's 89 million.

    Raises:
        RejectedImage: anything else, cut short, above *max_pixels*, or with a side
            under MIN_SIDE or over MAX_ASPECT times the other.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        _check_size(image, max_pixels)
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
