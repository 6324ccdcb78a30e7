"""A contact sheet: the pictures of an answer in one PNG, best first.

Where the bytes come from is `client.py`.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError

CELL = (320, 240)  # pixels of one picture
CAPTION = 28
GAP = 12
INK, PAPER, FRAME = (40, 42, 54), (250, 250, 248), (228, 228, 224)
FORMATS = ("JPEG", "PNG", "WEBP")  # those that are stored; Pillow reads others by running programs


def write_contact_sheet(path: Path, pictures: Sequence[tuple[bytes, str]]) -> None:
    """
    Write *pictures*, (encoded image, caption) pairs, as one PNG to *path*.

    Raises:
        OSError: the file cannot be written, or a picture, which is named, cannot be read.
    """
    columns = min(4, max(1, math.ceil(math.sqrt(len(pictures)))))
    rows = max(1, math.ceil(len(pictures) / columns))
    step = (CELL[0] + GAP, CELL[1] + CAPTION + GAP)
    sheet = Image.new("RGB", (columns * step[0] + GAP, rows * step[1] + GAP), PAPER)
    for index, (data, caption) in enumerate(pictures):
        row, column = divmod(index, columns)
        _paste(sheet, data, caption, (GAP + column * step[0], GAP + row * step[1]))
    sheet.save(path, format="PNG")


def _paste(sheet: Image.Image, data: bytes, caption: str, at: tuple[int, int]) -> None:
    try:
        cell = thumbnail(data)
    except Exception as error:  # a broken picture makes Pillow raise what it likes
        raise OSError(f"the picture of {caption} cannot be read: {_reason(error)}") from error
    sheet.paste(cell, at)
    draw = ImageDraw.Draw(sheet)
    draw.text((at[0], at[1] + CELL[1] + 6), caption, INK, ImageFont.load_default(size=15))


def _reason(error: Exception) -> str:
    # Pillow's own words are of objects in memory and of attacks.
    if isinstance(error, UnidentifiedImageError):
        return "it is no whole JPEG, PNG or WebP image"
    if isinstance(error, Image.DecompressionBombWarning | Image.DecompressionBombError):
        return f"it has more than {Image.MAX_IMAGE_PIXELS} pixels"
    return "it is damaged"


def thumbnail(data: bytes) -> Image.Image:
    """
    Return an encoded image upright and padded to *CELL*; Pillow raises what it likes.

    What is transparent is white, as a model mostly sees it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)  # from 89 megapixels on
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            upright = ImageOps.exif_transpose(picture)
            if upright.has_transparency_data:
                ground = Image.new("RGBA", upright.size, "white")
                upright = Image.alpha_composite(ground, upright.convert("RGBA"))
    return ImageOps.pad(upright.convert("RGB"), CELL, color=FRAME)
