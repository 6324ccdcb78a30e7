"""Draws pictures of seeded noise, and writes them as files, odd ones among them."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
from PIL import Image


def picture(seed: int, width: int, height: int) -> Image.Image:
    """Return soft patches of colour under fine grain, so that every filter leaves its mark."""
    rng = np.random.default_rng(seed)
    patches = Image.fromarray(rng.integers(0, 256, (5, 7, 3), dtype=np.uint8))
    soft = np.asarray(patches.resize((width, height), Image.Resampling.BICUBIC), np.int16)
    grain = rng.integers(-40, 41, soft.shape, dtype=np.int16)
    return Image.fromarray(np.clip(soft + grain, 0, 255).astype(np.uint8))


def encoded(image: Image.Image, format_name: str = "JPEG", **options: Any) -> bytes:
    """Return the bytes of *image* in a file format."""
    data = io.BytesIO()
    image.save(data, format_name, **options)
    return data.getvalue()


def jpeg(seed: int = 0, width: int = 64, height: int = 48) -> bytes:
    """Return the bytes of a picture as JPEG."""
    return encoded(picture(seed, width, height), quality=90)


def segment(code: int, body: bytes = b"") -> bytes:
    """Return a segment of a JPEG."""
    return bytes((0xFF, code)) + struct.pack(">H", len(body) + 2) + body


def run_jpeg(side: int, scans: int) -> bytes:
    """Return a flat grey JPEG whose every scan is some bytes, each code a run of 16,384 blocks."""
    runs = -(-((-(-side // 8)) ** 2) // 16_384)
    codes = bytes(-(-15 * runs // 8))  # one bit is the code, and 14 say how many more there are
    first, again = (segment(0xDA, bytes((1, 1, 0, 1, 63, bits))) + codes for bits in (1, 0x10))
    parts = (
        segment(0xC2, struct.pack(">BHHB", 8, side, side, 1) + b"\1\x11\0"),
        segment(0xDB, b"\0" + b"\1" * 64),
        segment(0xC4, bytes((0x10, 1)) + bytes(15) + b"\xe0"),
    )
    return b"".join((b"\xff\xd8", *parts, first, again * (scans - 1), b"\xff\xd9"))
