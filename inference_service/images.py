"""Encoded bytes of an image to the pixels that a model takes, or to the reason why there are none.

What the bytes are is read in `picture_files.py`; the model itself is in `model.py`.
"""

from __future__ import annotations

import io
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from imagesearch.domain.errors import RejectedImage
from inference_service.picture_files import PictureFile, cut_short, read, undecodable

MAX_PIXELS = 50_000_000  # once decoded; a JPEG may be decoded at a fraction of its size
MAX_WHOLE_PIXELS = 500_000_000  # of any image; cameras and telephones make up to 400 million
MAX_MEMORY_BYTES = 800_000_000  # what MAX_PIXELS take in the most costly format, WebP
MAX_DECODING_SECONDS = 5.0  # of the decoding thread alone; no harmless JPEG or PNG took 3
MAX_WORK = 5_000_000_000  # coefficients that a JPEG's scans go over; some 5 seconds
MIN_SIDE = 8  # pixels, a JPEG's own block: a thinner image shows nothing a caption could be about
MAX_ASPECT = 250  # a longer and thinner image fills the memory once its short side is 224 pixels
PREPROCESSING_VERSION = 3  # raise it whenever the same bytes come to give other arrays
_BYTES_A_PIXEL = {"JPEG": 8, "PNG": 8, "WEBP": 16}  # as measured, while it is decoded and made RGB
_BYTES_A_COEFFICIENT = 2
_JPEG_BLOCK_BYTES = 4_096  # one of Pillow's 65,536 can hold a file that takes half a minute
_QUICK_WORK = 100_000_000  # coefficients of a JPEG that does not; at a block's end decoding is slow
_STRIP_PIXELS = 1_000_000  # Pillow composes them without letting other threads go on: 10 ms
_CONTRAST = 16  # of 255; with less there is nothing to see

Pixels = NDArray[np.uint8]  # (height, width, 3)
Box: TypeAlias = tuple[float, float, float, float]  # left, top, right, bottom

warnings.filterwarnings("ignore", module=r"PIL\.")  # they are about metadata, not used here


@dataclass(frozen=True)
class Picture:
    """
    A decoded picture, upright and in mode RGB.

    Attributes:
        size: width and height of the whole, of which *image* may be a fraction.
        box: what of *image* it fills; a drafted JPEG has a part of a pixel too much.
    """

    image: Image.Image
    size: tuple[int, int]
    box: Box


@dataclass(frozen=True)
class Decoding:
    """What decoding a picture will take; `plan` makes one."""

    file: PictureFile
    draft_side: int | None
    scale: int  # the picture is decoded at 1 / scale of its size

    @property
    def memory_bytes(self) -> int:
        """About how much memory it takes."""
        pixels = self._decoded_pixels * _BYTES_A_PIXEL[self.file.format]
        coefficients = self.file.coefficients * _BYTES_A_COEFFICIENT
        return (pixels + coefficients) * (2 if self.file.is_unended else 1)

    @property
    def work(self) -> int:
        """How many coefficients the scans of a JPEG go over; see `PictureFile.work`."""
        return self.file.work * (2 if self.file.is_unended else 1)

    @property
    def _decoded_pixels(self) -> int:
        width, height = self.file.size
        return -(-width // self.scale) * -(-height // self.scale)

    def check(self) -> None:
        """Raise RejectedImage when it would take too much, or gives too thin a picture."""
        width, height = self.file.size
        size = f"{width} x {height}"
        for pixels, limit in (
            (self._decoded_pixels, MAX_PIXELS),
            (width * height, MAX_WHOLE_PIXELS),
        ):
            if pixels > limit:
                raise RejectedImage(f"the image has more than {limit} pixels: {size}")
        if min(width, height) < MIN_SIDE:
            raise RejectedImage(f"the image has a side under {MIN_SIDE} pixels: {size}")
        if max(width, height) > MAX_ASPECT * min(width, height):
            raise RejectedImage(f"the image is too long and thin: {size}")
        if self.memory_bytes > MAX_MEMORY_BYTES:
            takes = f"{self.memory_bytes} bytes of memory, of at most {MAX_MEMORY_BYTES}"
            raise RejectedImage(f"decoding a {self.file.format} of {size} pixels takes {takes}")
        if self.work > MAX_WORK:
            goes = f"goes over {self.work} coefficients, of at most {MAX_WORK}"
            raise RejectedImage(f"decoding a {self.file.format} of {size} pixels {goes}")

    def picture(self, clock: Callable[[], float] = time.thread_time) -> Picture:
        """
        Decode it.

        Args:
            clock: seconds that this thread has worked. Time in which others have the cores does
                not count, so that a harmless picture is not rejected by a busy machine.

        Raises:
            RejectedImage: it is damaged, or takes more than MAX_DECODING_SECONDS.
        """
        try:
            return self._upright(_rgb(self._load(clock), self.file.depth))
        except RejectedImage:
            raise
        except OSError as error:
            if "truncated" in str(error):
                raise cut_short(self.file.format, self.file.length) from error
            raise undecodable(error) from error
        except Exception as error:  # what hostile bytes raise in Pillow is open-ended
            raise undecodable(error) from error

    def _load(self, clock: Callable[[], float]) -> Image.Image:
        ends, data = clock() + MAX_DECODING_SECONDS, b"".join(self.file.parts)
        if not self.file.is_unended:
            return self._loaded(_Paced(data, clock, ends))
        # Where pixels are missing, they depend on what follows in their stead.
        image, other = (self._loaded(_Paced(data + rest, clock, ends)) for rest in _JPEG_ENDS)
        if ImageChops.difference(image, other).getbbox() is not None:
            raise cut_short("JPEG", self.file.length)
        return image

    def _loaded(self, file: _Paced) -> Image.Image:
        image = _FORMATS[self.file.format](file)
        if self.file.format == "JPEG" and self.file.work > _QUICK_WORK:
            image.decodermaxblock = _JPEG_BLOCK_BYTES
        if self.scale > 1:
            image.draft(None, (self.draft_side or 0, self.draft_side or 0))
        image.load()
        return image

    def _upright(self, image: Image.Image) -> Picture:
        width, height = (side / self.scale for side in self.file.size)
        method, edges = _TURNS[self.file.orientation]
        # How far the picture is from each edge of what was decoded, before and after turning.
        gaps = (0.0, 0.0, image.width - width, image.height - height)
        left, top, right, bottom = (gaps[edge] for edge in edges)
        if method is not None:
            image = image.transpose(method)
        size = self.file.size if self.file.orientation < 5 else self.file.size[::-1]
        return Picture(image, size, (left, top, image.width - right, image.height - bottom))


class _Paced(io.BytesIO):
    """A file that Pillow reads in blocks, and that ends the reading when it takes too long."""

    def __init__(self, data: bytes, clock: Callable[[], float], ends: float) -> None:
        super().__init__(data)
        self._clock = clock
        self._ends = ends

    def read(self, size: int | None = -1, /) -> bytes:
        if self._clock() > self._ends:
            limit = f"{MAX_DECODING_SECONDS:g} seconds"
            raise RejectedImage(f"decoding the image takes more than {limit}")
        return super().read(size)


_FORMATS: dict[str, type[ImageFile]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "WEBP": WebPImageFile,
}
_JPEG_ENDS = (b"\xff\xd9", bytes(range(0x55, 0xFF)) * 4 + b"\xff\xd9")
_TURNS: dict[int, tuple[Image.Transpose | None, tuple[int, int, int, int]]] = {
    1: (None, (0, 1, 2, 3)),
    2: (Image.Transpose.FLIP_LEFT_RIGHT, (2, 1, 0, 3)),
    3: (Image.Transpose.ROTATE_180, (2, 3, 0, 1)),
    4: (Image.Transpose.FLIP_TOP_BOTTOM, (0, 3, 2, 1)),
    5: (Image.Transpose.TRANSPOSE, (1, 0, 3, 2)),
    6: (Image.Transpose.ROTATE_270, (3, 0, 1, 2)),
    7: (Image.Transpose.TRANSVERSE, (3, 2, 1, 0)),
    8: (Image.Transpose.ROTATE_90, (1, 2, 3, 0)),
}  # of EXIF's orientations: how to turn it, and which edges come to be left, top, right and bottom


def plan(data: bytes, draft_side: int | None = None) -> Decoding:
    """
    Return how *data* can be decoded, having decoded none of it; arguments as in `decode`.

    Raises:
        RejectedImage: it cannot, by what its header says.
    """
    file = read(data)
    scale = _draft_scale(file.size, draft_side) if draft_side and file.format == "JPEG" else 1
    decoding = Decoding(file, draft_side, scale)
    decoding.check()
    return decoding


def _draft_scale(size: tuple[int, int], side: int) -> int:
    return next((scale for scale in (8, 4, 2) if min(size) // side >= scale), 1)


def decode(data: bytes, draft_side: int | None = None) -> Image.Image:
    """
    Return the picture in *data* in mode RGB, turned upright as its EXIF tag says.

    Of an animation it is the first frame. Transparent parts are laid on white, unless there is
    nothing to see then: a white drawing is laid on black. CMYK is converted as `transformers`'
    CLIPImageProcessor does; 16-bit grey keeps its high byte, where Pillow's own conversion would
    clip it to white.

    Args:
        data: the bytes of a JPEG, PNG or WebP file.
        draft_side: a JPEG comes at 1/2, 1/4 or 1/8 of its size if its shorter side, in pixels,
            is no less than this then; it is decoded several times faster.

    Raises:
        RejectedImage: anything else, cut short, above *MAX_PIXELS* or another limit of this file
            and of `picture_files.py`; a JPEG may lack its end marker.
    """
    return plan(data, draft_side).picture().image


def _rgb(image: Image.Image, depth: int) -> Image.Image:
    if image.mode.startswith("I;16"):
        return _on_ground(image)
    if "transparency" in image.info:
        image.info["transparency"] = _eight_bits(image, depth)
    if image.has_transparency_data:
        return _on_ground(image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _high_bytes(image: Image.Image) -> Image.Image:
    """Return 16-bit grey in mode L, or LA where a grey is transparent."""
    values = np.asarray(image)  # (H, W)
    grey = Image.fromarray((values >> 8).astype(np.uint8))
    key = image.info.get("transparency")
    if key is None:
        return grey
    alpha = np.where(values == key, np.uint8(0), np.uint8(255))
    return Image.merge("LA", (grey, Image.fromarray(alpha)))


def _eight_bits(image: Image.Image, depth: int) -> Any:
    """Return the transparent colour scaled as the samples are, which Pillow leaves to us."""
    key = image.info["transparency"]
    if image.mode == "L" and depth < 8:
        return key % 2**depth * (255 // (2**depth - 1))
    if image.mode == "RGB" and depth == 16:
        return tuple(value >> 8 for value in key)
    return key


def _on_ground(image: Image.Image) -> Image.Image:
    """Lay a transparent *image* on white, or on black if there is something to see there alone."""
    on_white = _composed(image, "white")
    if _is_flat([on_white]) and not _is_flat(_strips(image, "black")):
        del on_white
        return _composed(image, "black")
    return on_white


def _composed(image: Image.Image, ground: str) -> Image.Image:
    """Lay *image* on *ground* and return it in mode RGB."""
    composed, top = Image.new("RGB", image.size), 0
    for strip in _strips(image, ground):
        composed.paste(strip, (0, top))
        top += strip.height
    return composed


def _strips(image: Image.Image, ground: str) -> Iterator[Image.Image]:
    """Yield what *image* is on *ground* in mode RGB, some rows at a time; 16 bits become 8."""
    rows = max(1, _STRIP_PIXELS // image.width)
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        if strip.mode.startswith("I;16"):
            strip = _high_bytes(strip)
        if strip.has_transparency_data:
            below = Image.new("RGBA", strip.size, ground)
            strip = Image.alpha_composite(below, strip.convert("RGBA"))
        yield strip.convert("RGB")


def _is_flat(strips: Iterable[Image.Image]) -> bool:
    """Return whether there is nothing to see in a picture of *strips*."""
    lowest, highest = [255] * 3, [0] * 3
    for strip in strips:
        extrema: Any = strip.getextrema()
        lowest = [min(low, darkest) for low, (darkest, _) in zip(lowest, extrema, strict=True)]
        highest = [
            max(high, lightest) for high, (_, lightest) in zip(highest, extrema, strict=True)
        ]
        if any(high - low >= _CONTRAST for low, high in zip(lowest, highest, strict=True)):
            return False
    return True


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
        """
        A JPEG may be decoded at a fraction of its size, if its shorter side keeps this many.

        Of twice the side, fine stripes are left so differently that a picture that is squashed and
        not cropped came to a cosine of 0.995 (SigLIP): of four times as much, to 0.9999.
        """
        side = self.short_side if isinstance(self.short_side, int) else max(self.short_side)
        return (2 if self.crop else 4) * side

    def frame(self, picture: Picture) -> Pixels:
        """Return *picture* resized and cropped: (height, width, 3)."""
        size = self._resized(picture.size)
        resized = picture.image.resize(size, self.resample, picture.box)
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
