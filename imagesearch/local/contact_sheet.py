"""A contact sheet: the pictures of an answer in one PNG, best first.

Where the bytes come from is `client.py`.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

CELL = (320, 240)  # pixels of one picture
CAPTION = 28
GAP = 12
INK, PAPER, FRAME = (40, 42, 54), (250, 250, 248), (228, 228, 224)


def write_contact_sheet(path: Path, pictures: Sequence[tuple[bytes, str]]) -> None:
    """
    Write *pictures*, (encoded image, caption) pairs, as one PNG to *path*.

    Raises:
        OSError: the file cannot be written, or a picture cannot be read.
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
    with Image.open(io.BytesIO(data)) as picture:
        cell = ImageOps.pad(ImageOps.exif_transpose(picture).convert("RGB"), CELL, color=FRAME)
    sheet.paste(cell, at)
    draw = ImageDraw.Draw(sheet)
    draw.text((at[0], at[1] + CELL[1] + 6), caption, INK, ImageFont.load_default(size=15))
