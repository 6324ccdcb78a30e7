"""Encoded bytes of an image to the pixels that a model takes, or to the reason why there are none.

The model itself is in `clip.py`.
"""

from __future__ import annotations

import io
import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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

    @classmethod
    def read(cls, folder: Path) -> Framing:
        """
        Read processor_config.json or preprocessor_config.json of the checkpoint in *folder*.

        Raises:
            OSError: there is neither.
            ValueError: it asks for what this class does not do.
        """
        told = _processor_config(folder)
        if not (told["do_resize"] and told["do_rescale"] and told["do_normalize"]):
            raise ValueError("its image processor does not resize, rescale and normalise")
        std = np.array(told["image_std"], np.float64)
        return cls(
            _short_side(told["size"]),
            _crop(told["crop_size"]) if told["do_center_crop"] else None,
            Image.Resampling(told["resample"]),
            tuple(told["rescale_factor"] / std),
            tuple(-np.array(told["image_mean"]) / std),
        )

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
        if min(left, top) < 0:
            raise ValueError(f"the crop {self.crop} is larger than the image, {resized.size}")
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


_CLIP_PROCESSOR = {
    "do_resize": True,
    "do_rescale": True,
    "do_normalize": True,
    "do_center_crop": True,
    "size": 224,
    "crop_size": 224,
    "resample": Image.Resampling.BICUBIC,
    "rescale_factor": 1 / 255,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}  # what `transformers` takes for a key that the file leaves out


def _processor_config(folder: Path) -> dict[str, Any]:
    whole = folder / "processor_config.json"
    told = json.loads(whole.read_text()).get("image_processor") if whole.exists() else None
    if told is None:
        told = json.loads((folder / "preprocessor_config.json").read_text())
    return _CLIP_PROCESSOR | {name: value for name, value in told.items() if value is not None}


def _short_side(size: Any) -> int | tuple[int, int]:
    if isinstance(size, int):  # as the oldest checkpoints have it
        return size
    if "shortest_edge" in size:
        return int(size["shortest_edge"])
    return int(size["width"]), int(size["height"])


def _crop(size: Any) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size["width"], size["height"])
