"""Pictures as they lie in a folder: what the encoder takes of them, and what a page shows.

Pillow is given bytes of a format that is known by their beginning, and by that format's plugin
alone; it is imported when the first picture is decoded. Limits are explicit, as decoding is the
one thing here that a small file can make large.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from imagesearch.domain.errors import RejectedImage
from imagesearch.folders.blocks import EXIF_HEAD, Format, blocks_of, format_of, jpeg_size
from imagesearch.folders.exif import ORIENTATION, Exif
from imagesearch.installation import pip_install

if TYPE_CHECKING:
    from PIL import Image
    from PIL.ImageFile import ImageFile

MAX_PIXELS = 50_000_000  # of what is decoded, as the encoder has it; a telephone's have 48 million
MAX_WHOLE_PIXELS = 500_000_000  # of a JPEG, which is decoded at a fraction of its size
MAX_PROGRESSIVE_PIXELS = 125_000_000  # of one in several scans: all of it is kept until the last
MAX_SCANS = 100  # of a JPEG with what is within it; of harmless ones none had 12
PREVIEW_SIDE = 960  # pixels, of an own picture: as large as what is stored of others
PREVIEW_QUALITY = 85

_READ_AS_THEY_ARE = ("JPEG", "PNG", "WEBP")  # by inference_service
_MEDIA_TYPES: dict[Format, str] = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "BMP": "image/bmp",
    "TIFF": "image/tiff",
    "JPEG2000": "image/jp2",
    "AVIF": "image/avif",
    "HEIC": "image/heic",
}
_PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
_JPEG_ENDS = (b"\xff\xd9", bytes(range(0x55, 0xFF)) * 4 + b"\xff\xd9")
warnings.filterwarnings("ignore", module=r"PIL\.")  # they are about metadata, not used here

_FIRST_TURNED = 5  # of EXIF's orientations, from which on width and height change places
_TURNS = {  # of EXIF's orientations, names of Pillow's; 1 is upright
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}


def media_type(data: bytes) -> str:
    """Return the media type of the picture in *data*; RejectedImage where its format is unknown."""
    return _MEDIA_TYPES[_format(data)]


def upright_size(data: bytes) -> tuple[int, int]:
    """
    Return width and height of the picture in *data*, upright; none of it is decoded.

    Raises:
        RejectedImage: *data* is no picture, has no sound header, or is a HEIC without the extra.
    """
    name = _format(data)
    if name == "JPEG" and (size := jpeg_size(data)) and min(size):
        # As Pillow does, in an eighth of its time: most pictures are such, and each is asked.
        exif = blocks_of(data).exif
        return size[::-1] if Exif(exif).number(ORIENTATION) >= _FIRST_TURNED else size
    try:
        image = _plugin(name)(io.BytesIO(data))
        width, height = image.size
        is_turned = _orientation(image) >= _FIRST_TURNED
    except RejectedImage:
        raise
    except Exception as error:  # what hostile bytes raise in Pillow is open-ended
        why = str(error) or type(error).__name__
        raise RejectedImage(f"the image cannot be decoded: {why}") from error
    return (height, width) if is_turned else (width, height)


def readable(data: bytes, draft_side: int = 1024) -> bytes:
    """
    Return bytes that the encoder takes: JPEG, PNG and WebP as they are, of others a PNG.

    That has the first picture, or the primary one, upright and with its transparency; it is
    reduced by a whole number as long as its shorter side has *draft_side* pixels.

    Raises:
        RejectedImage: *data* is no picture, cut short, of too many pixels, or a HEIC without the
            extra; a JPEG, PNG or WebP is not looked at.
    """
    name = _format(data)
    if name in _READ_AS_THEY_ARE:
        return data
    with _rejecting(name, len(data)):
        image = _upright(_loaded(data, name, None))
        if (factor := min(image.size) // draft_side) > 1:
            image = _in_full_colour(image).reduce(factor)
        return _encoded(image, "PNG", compress_level=1)


def preview(data: bytes, side: int) -> bytes:
    """
    Return a JPEG of the picture in *data*, without metadata, whose longer side is at most *side*.

    It is upright, on white where it was transparent, and no larger than it was.

    Raises:
        RejectedImage: *data* is no picture, cut short, of too many pixels, or a HEIC without the
            extra; a JPEG may lack its end marker.
    """
    from PIL import Image

    name = _format(data)
    with _rejecting(name, len(data)):
        image = _in_full_colour(_upright(_loaded(data, name, side)))
        longer = max(image.size)
        if longer > side:
            width, height = (max(1, round(each * side / longer)) for each in image.size)
            image = image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=2.0)
        if image.mode == "RGBA":
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        return _encoded(image.convert("RGB"), "JPEG", quality=PREVIEW_QUALITY)


def _format(data: bytes) -> Format:
    name = format_of(data)
    if name is None:
        raise RejectedImage(f"{len(data)} bytes that are no picture in a format that is read")
    return name


@contextmanager
def _rejecting(name: Format, length: int) -> Iterator[None]:
    """Raise RejectedImage for whatever is raised while a file of *length* bytes is decoded."""
    try:
        yield
    except RejectedImage:
        raise
    except Exception as error:  # what hostile bytes raise in Pillow is open-ended
        why = str(error) or type(error).__name__
        if isinstance(error, EOFError) or (isinstance(error, OSError) and "truncated" in why):
            why = f"the {name} is truncated, after {length} bytes"
        raise RejectedImage(f"the image cannot be decoded: {why}") from error


def _loaded(data: bytes, name: Format, side: int | None) -> Image.Image:
    """Return the picture; a JPEG's longer side may come with as few pixels as *side*."""
    if name == "JPEG" and data.count(b"\xff\xda") > MAX_SCANS:
        raise RejectedImage(f"more than {MAX_SCANS} scans in a JPEG, which no harmless one has")
    try:
        return _load(data, name, side)
    except OSError as error:
        if name != "JPEG" or "truncated" not in str(error):
            raise
        # It may lack its end marker alone: where pixels are missing, they depend on what follows.
        left, right = (_load(data + end, name, side) for end in _JPEG_ENDS)
        if left.tobytes() != right.tobytes():
            raise
        return left


def _load(data: bytes, name: Format, side: int | None) -> Image.Image:
    image = _plugin(name)(io.BytesIO(data))
    whole = image.width * image.height
    if name == "JPEG" and side:
        scale = side / max(image.size)
        image.draft(None, (max(1, round(image.width * scale)), max(1, round(image.height * scale))))
    limit = MAX_PROGRESSIVE_PIXELS if image.info.get("progressive") else MAX_WHOLE_PIXELS
    tile = _tile_pixels(image)
    for pixels, most in (
        (whole, limit),
        (image.width * image.height, MAX_PIXELS),
        (tile, MAX_PIXELS),
    ):
        if pixels > most:
            raise RejectedImage(f"the image has more than {most} pixels: {pixels}")
    image.load()
    return image


def _tile_pixels(image: Any) -> int:
    """Return how many pixels a tile of a TIFF has: each is decoded whole, be the picture small."""
    tags = getattr(image, "tag_v2", {})
    return int(tags.get(322, 1)) * int(tags.get(323, 1))


def _upright(image: Image.Image) -> Image.Image:
    from PIL import Image

    turn = _TURNS.get(_orientation(image))
    return image.transpose(Image.Transpose[turn]) if turn else image


def _orientation(image: Image.Image) -> int:
    """Return EXIF's orientation, 0 where none is said."""
    # Of a TIFF and a HEIC the plugin has done it, and says so by leaving the tag out.
    exif = image.info.get("exif") or b""  # a HEIC may have None
    return Exif(exif.removeprefix(EXIF_HEAD)).number(ORIENTATION)


def _in_full_colour(image: Image.Image) -> Image.Image:
    """Return *image* in mode RGB or RGBA; of 16 bits the high ones, of a colour key its alpha."""
    if image.mode == "F":
        raise RejectedImage("the image has samples of 32 bits with a fraction, which are not read")
    if image.mode.startswith("I"):
        image = _eight_bits(image)
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    import numpy as np
    from PIL import Image

    values = np.asarray(image).clip(0, 65_535)  # (height, width)
    return Image.fromarray((values >> 8).astype(np.uint8))


def _encoded(image: Image.Image, name: str, **options: Any) -> bytes:
    if name == "PNG" and (image.mode not in _PNG_MODES or "transparency" in image.info):
        image = _in_full_colour(image)
    image.info = {}  # comments and profiles, which Pillow would write again
    file = io.BytesIO()
    image.save(file, name, **options)
    return file.getvalue()


@cache
def _plugin(name: Format) -> type[ImageFile]:
    """Return Pillow's reader of the format alone; imported at its first picture."""
    from PIL import (
        AvifImagePlugin,
        BmpImagePlugin,
        GifImagePlugin,
        Jpeg2KImagePlugin,
        JpegImagePlugin,
        PngImagePlugin,
        TiffImagePlugin,
        WebPImagePlugin,
    )

    if name == "HEIC":
        return _heic_plugin()
    return {
        "JPEG": JpegImagePlugin.JpegImageFile,
        "PNG": PngImagePlugin.PngImageFile,
        "WEBP": WebPImagePlugin.WebPImageFile,
        "GIF": GifImagePlugin.GifImageFile,
        "BMP": BmpImagePlugin.BmpImageFile,
        "TIFF": TiffImagePlugin.TiffImageFile,
        "JPEG2000": Jpeg2KImagePlugin.Jpeg2KImageFile,
        "AVIF": AvifImagePlugin.AvifImageFile,
    }[name]


def _heic_plugin() -> type[ImageFile]:
    try:
        import pillow_heif
    except ImportError as error:
        command = pip_install("imagesearch[heic]")
        needs = f"the image is HEIC, which needs: {command} (its wheel is under the GPL)"
        raise RejectedImage(needs) from error
    plugin: type[ImageFile] = pillow_heif.HeifImageFile
    return plugin
