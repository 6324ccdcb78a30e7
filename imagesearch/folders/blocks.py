"""Where the metadata lies in a picture's file: its EXIF, XMP and IPTC as bytes, none of it read.

Nothing is decoded or imported for it: a file is walked from part to part as far as its pixels, a
bounded number of steps. Files are written by strangers; what is cut short or makes no sense is
left out.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

MAX_PARTS = 2_000  # segments, chunks, boxes, items: the largest harmless files have some hundred
MAX_BLOCK_BYTES = 262_144  # of what a PNG has compressed, or a file in several parts
EXIF_HEAD = b"Exif\0\0"

Format = Literal["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "JPEG2000", "AVIF", "HEIC"]

_SIGNATURES: tuple[tuple[bytes, Format], ...] = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
)
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}


@dataclass(frozen=True)
class Blocks:
    """
    The metadata of a file; b"" where it has none.

    Attributes:
        exif: a TIFF structure, of a TIFF the whole file.
        xmp: an XML document, perhaps cut.
        iptc: records of IPTC-IIM.
    """

    exif: bytes = b""
    xmp: bytes = b""
    iptc: bytes = b""


def format_of(data: bytes) -> Format | None:
    """Return the format of a picture by its first bytes, or None."""
    for signature, name in _SIGNATURES:
        if data.startswith(signature):
            return name
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    if data.startswith(b"BM") and data[6:10] == bytes(4):
        return "BMP"
    return _of_brands(data) if data[4:8] == b"ftyp" else None


def _of_brands(data: bytes) -> Format | None:
    length = min(int.from_bytes(data[:4], "big"), 256)
    brands = {data[8:12], *(data[place : place + 4] for place in range(16, length, 4))}
    if not brands.isdisjoint(_AVIF_BRANDS):
        return "AVIF"
    return None if brands.isdisjoint(_HEIC_BRANDS) else "HEIC"


def blocks_of(data: bytes) -> Blocks:
    """Return the metadata blocks of the picture in *data*; none of what is no picture."""
    walks = {"JPEG": _jpeg, "PNG": _png, "WEBP": _webp, "AVIF": _boxed, "HEIC": _boxed}
    name = format_of(data)
    if name == "TIFF":
        return Blocks(exif=data)
    if walk := walks.get(name or ""):
        with suppress(struct.error, IndexError):  # a part is shorter than what it has to hold
            return walk(data)
    return Blocks()


# --- JPEG: ITU-T T.81, annex B -------------------------------------------------------------------

_XMP_HEAD = b"http://ns.adobe.com/xap/1.0/\0"
_PHOTOSHOP_HEAD = b"Photoshop 3.0\0"
_IPTC_RESOURCE = 0x0404
_NO_FRAMES = (0xC4, 0xC8, 0xCC)  # tables, among the codes of frames
_FILLERS = re.compile(rb"\xff{2,}")


def _jpeg(data: bytes) -> Blocks:
    exif = xmp = photoshop = b""
    for code, start, end in _jpeg_segments(data):
        if code == 0xE1 and not exif and data.startswith(EXIF_HEAD, start):
            exif = data[start + len(EXIF_HEAD) : end]
        elif code == 0xE1 and not xmp and data.startswith(_XMP_HEAD, start):
            xmp = data[start + len(_XMP_HEAD) : end]
        elif code == 0xED and data.startswith(_PHOTOSHOP_HEAD, start):
            # What is too long for one segment is continued in further ones.
            photoshop += data[start + len(_PHOTOSHOP_HEAD) : end][
                : MAX_BLOCK_BYTES - len(photoshop)
            ]
    return Blocks(exif, xmp, iptc_of_photoshop(photoshop))


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Return width and height that the frame of a JPEG says; None where none is found."""
    with suppress(struct.error, IndexError):
        for code, start, _ in _jpeg_segments(data):
            if 0xC0 <= code <= 0xCF and code not in _NO_FRAMES:
                height, width = struct.unpack_from(">HH", data, start + 1)
                return width, height
    return None


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield each segment's code, where its content begins and ends, as far as the first scan."""
    place = 2
    for _ in range(MAX_PARTS):
        if fillers := _FILLERS.match(data, place):
            place = fillers.end() - 1
        marker, code, length = struct.unpack_from(">BBH", data, place)
        if marker != 0xFF or code in (0xD9, 0xDA) or place + 2 + length > len(data):
            return
        yield code, place + 4, place + 2 + length
        place += 2 + max(length, 2)


def iptc_of_photoshop(resources: bytes) -> bytes:
    """Return the IPTC among Photoshop's image *resources*; b"" where there is none."""
    place = 0
    with suppress(struct.error, IndexError):
        for _ in range(MAX_PARTS):
            if resources[place : place + 4] not in (b"8BIM", b"MeSa"):
                break
            (number,) = struct.unpack_from(">H", resources, place + 4)
            place += 6 + (resources[place + 6] // 2 + 1) * 2  # a name, with its length, is even
            (length,) = struct.unpack_from(">I", resources, place)
            if number == _IPTC_RESOURCE:
                return resources[place + 4 : place + 4 + length]
            place += 4 + length + length % 2
    return b""


# --- PNG -----------------------------------------------------------------------------------------

_PNG_XMP = b"XML:com.adobe.xmp"
_RAW_PROFILE = b"Raw profile type "  # how ImageMagick writes them, in hexadecimal digits
_PROFILES = (b"exif", b"APP1", b"iptc", b"xmp")
_HEX = re.compile(rb"\s*\w+\s+[0-9]+\s([0-9a-fA-F\s]*)")


def _png(data: bytes) -> Blocks:
    exif = xmp = b""
    profiles: dict[bytes, bytes] = {}
    for kind, start, end in _png_chunks(data):
        if kind == b"eXIf":
            exif = exif or data[start:end]
        elif kind == b"iTXt" and data.startswith(_PNG_XMP + b"\0", start):
            xmp = xmp or _international_text(data[start:end])
        elif kind in (b"tEXt", b"zTXt") and data.startswith(_RAW_PROFILE, start):
            name, _, text = data[start + len(_RAW_PROFILE) : end].partition(b"\0")
            if name in _PROFILES and name not in profiles:
                profiles[name] = _raw_profile(_inflated(text[1:]) if kind == b"zTXt" else text)
    exif = exif or profiles.get(b"exif") or profiles.get(b"APP1", b"")
    iptc = profiles.get(b"iptc", b"")
    return Blocks(
        exif.removeprefix(EXIF_HEAD),
        xmp or profiles.get(b"xmp", b""),
        iptc_of_photoshop(iptc.removeprefix(_PHOTOSHOP_HEAD)) or iptc,
    )


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield each chunk's kind, where its content begins and ends; those cut short are left out."""
    place = 8
    for _ in range(MAX_PARTS):
        length, kind = struct.unpack_from(">I4s", data, place)
        if kind == b"IEND" or place + 12 + length > len(data):
            return
        yield kind, place + 8, place + 8 + length
        place += 12 + length


def _international_text(chunk: bytes) -> bytes:
    """Return the text of an iTXt chunk: after keyword, two flags, language and translation."""
    _keyword, _, rest = chunk.partition(b"\0")
    is_compressed = rest[:1] == b"\1"
    text = rest[2:].split(b"\0", 2)[-1]
    return _inflated(text) if is_compressed else text


def _raw_profile(text: bytes) -> bytes:
    """Return the bytes whose hexadecimal digits follow a name and a length."""
    digits = _HEX.match(text[: 3 * MAX_BLOCK_BYTES])
    hexadecimal = b"".join(digits[1].split()) if digits else b""
    return bytes.fromhex(hexadecimal[: len(hexadecimal) // 2 * 2].decode())


def _inflated(data: bytes) -> bytes:
    """Return the first MAX_BLOCK_BYTES x 3 of what is compressed in *data*."""
    with suppress(zlib.error):
        return zlib.decompressobj().decompress(data, 3 * MAX_BLOCK_BYTES)
    return b""


# --- WebP: RFC 9649 ------------------------------------------------------------------------------


def _webp(data: bytes) -> Blocks:
    exif, xmp, place = b"", b"", 12
    for _ in range(MAX_PARTS):
        if place + 8 > len(data):
            break
        kind, length = struct.unpack_from("<4sI", data, place)
        if kind == b"EXIF":
            exif = exif or data[place + 8 : place + 8 + length]
        elif kind == b"XMP ":
            xmp = xmp or data[place + 8 : place + 8 + length]
        place += 8 + length + length % 2
    return Blocks(exif.removeprefix(EXIF_HEAD), xmp)


# --- AVIF and HEIC: ISO/IEC 14496-12 and 23008-12 ------------------------------------------------

_XMP_ITEM = b"application/rdf+xml\0"


def _boxed(data: bytes) -> Blocks:
    exif = xmp = b""
    meta = _first_box(data, b"meta", 0, len(data))
    if meta is None:
        return Blocks()
    start, end = meta[0] + 4, meta[1]  # after version and flags
    kinds = _metadata_items(data, start, end)
    places = _item_places(data, start, end, set(kinds))
    for item, kind in kinds.items():
        content = places.get(item, b"")
        if kind == b"Exif" and len(content) > 4:
            exif = exif or content[4 + int.from_bytes(content[:4], "big") :]
        elif kind == b"mime":
            xmp = xmp or content
    return Blocks(exif.removeprefix(EXIF_HEAD), xmp)


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the kind of each box between *start* and *end*, where its content begins and ends."""
    for _ in range(MAX_PARTS):
        if start + 8 > end:
            return
        length, kind = struct.unpack_from(">I4s", data, start)
        head = 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, start + 8)
            head = 16
        stop = end if length == 0 else start + length
        if 0 < length < head or stop > end:
            return
        yield kind, start + head, stop
        start = stop


def _first_box(data: bytes, kind: bytes, start: int, end: int) -> tuple[int, int] | None:
    return next(((a, b) for each, a, b in _boxes(data, start, end) if each == kind), None)


def _metadata_items(data: bytes, start: int, end: int) -> dict[int, bytes]:
    """Return the kind of each item that is EXIF or XMP, by its number."""
    kinds: dict[int, bytes] = {}
    if box := _first_box(data, b"iinf", start, end):
        first = box[0] + (6 if data[box[0]] == 0 else 8)
        for kind, place, stop in _boxes(data, first, box[1]):
            version = data[place]
            if kind != b"infe" or version not in (2, 3):
                continue
            number, _, name = struct.unpack_from(
                ">HH4s" if version == 2 else ">IH4s", data, place + 4
            )
            rest = data[place + (12 if version == 2 else 14) : min(stop, place + 400)]
            is_xmp = name == b"mime" and rest.partition(b"\0")[2].startswith(_XMP_ITEM)
            if name == b"Exif" or is_xmp:
                kinds[number] = name
    return kinds


def _item_places(data: bytes, start: int, end: int, wanted: set[int]) -> dict[int, bytes]:
    """Return the content of the items in *wanted*, by number; MAX_BLOCK_BYTES at most of each."""
    contents: dict[int, bytes] = {}
    box = _first_box(data, b"iloc", start, end)
    if box is None or not wanted:
        return contents
    inner = _first_box(data, b"idat", start, end) or (0, 0)
    reader = _Reader(data, box[0], box[1])
    version = reader.number(4) >> 24
    sizes = reader.number(2)
    offset_bytes, length_bytes, base_bytes = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    index_bytes = sizes & 15 if version in (1, 2) else 0
    for _ in range(min(reader.number(2 if version < 2 else 4), MAX_PARTS)):
        item = reader.number(2 if version < 2 else 4)
        method = reader.number(2) & 15 if version in (1, 2) else 0
        reader.number(2)  # where data of another file would be
        base = reader.number(base_bytes)
        content = b""
        for _ in range(min(reader.number(2), MAX_PARTS)):
            reader.number(index_bytes)
            place = base + reader.number(offset_bytes) + (inner[0] if method == 1 else 0)
            length = min(reader.number(length_bytes), MAX_BLOCK_BYTES - len(content))
            if item in wanted and method in (0, 1):
                content += data[place : place + length]
        if item in wanted:
            contents[item] = content
    return contents


class _Reader:
    """Reads whole numbers, one after another."""

    def __init__(self, data: bytes, start: int, end: int) -> None:
        self._data, self._place, self._end = data, start, end

    def number(self, size: int) -> int:
        """Return the next number of *size* bytes; IndexError where they are not all there."""
        start, self._place = self._place, self._place + size
        if self._place > self._end:
            raise IndexError
        return int.from_bytes(self._data[start : self._place], "big")
