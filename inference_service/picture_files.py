"""The bytes of a JPEG, PNG or WebP file to what its pixels depend on, without decoding any.

What is in a file is counted here, in bounded time, before a decoder reads it, and what does not
change the pixels is left out: profiles, texts, previews, further pictures, all of which a decoder
may choke on. The pixels are decoded in `images.py`.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, NoReturn

from imagesearch.domain.errors import RejectedImage

# Of some 1,800 harmless pictures none had more than 12 scans, and 290 segments or chunks.
MAX_SCANS = 64
MAX_SEGMENTS = 2_000
MAX_CHUNKS = 20_000  # 20 MB in the smallest pieces of any common encoder, 1 kB
MAX_TABLE_BYTES = 65_536  # of a JPEG's first tables; it takes 2,000, and Python reads them
MAX_EXIF_ENTRIES = 1_000

Format = Literal["JPEG", "PNG", "WEBP"]


@dataclass(frozen=True)
class PictureFile:
    """
    What a decoder has to know of a picture; of an animation, its first frame.

    Attributes:
        parts: of a file of the same format that has the same pixels and little else.
        length: of the file that it was read from, in bytes.
        size: width and height in pixels, before it is turned upright.
        orientation: EXIF's, 1 to 8; 1 is upright.
        coefficients: of a JPEG that comes in several scans, how many have to be kept until the
            last one is read; otherwise none.
        work: how many coefficients a JPEG's decoder goes over: all of them in each scan, be the
            scan empty; it does some 1,000 million in a second.
        depth: bits of a PNG's sample, otherwise 8.
        is_unended: a JPEG that lacks its end marker; its last scan may lack more.
        is_animated: it says that more pictures follow.
    """

    format: Format
    parts: tuple[bytes | memoryview, ...]
    length: int
    size: tuple[int, int]
    orientation: int = 1
    coefficients: int = 0
    work: int = 0
    depth: int = 8
    is_unended: bool = False
    is_animated: bool = False


def read(data: bytes) -> PictureFile:
    """
    Return what is needed of the JPEG, PNG or WebP file in *data*.

    Raises:
        RejectedImage: it is none, its header makes no sense, it is cut short before its pixels
            begin, or it has more parts than any harmless one; the message says which.
    """
    try:
        if data.startswith(b"\xff\xd8\xff"):
            return _Jpeg(data).read()
        if data.startswith(_PNG):
            return _png(data)
        if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            return _webp(data)
    except (struct.error, IndexError) as error:  # a part is shorter than what it has to hold
        raise undecodable("its header is damaged") from error
    name = _name(data)
    if name is None:
        raise RejectedImage(f"{len(data)} bytes that are no JPEG, PNG or WebP image")
    raise RejectedImage(f"{name}, no JPEG, PNG or WebP image; only those are read")


def undecodable(why: object) -> RejectedImage:
    """Return the rejection of a picture in a format that is read."""
    return RejectedImage(f"the image cannot be decoded: {str(why) or type(why).__name__}")


def cut_short(name: str, length: int) -> RejectedImage:
    """Return the rejection of a file in the format *name* whose *length* bytes are not all."""
    return undecodable(f"the {name} is truncated: it was cut short after {length} bytes")


def _too_many(most: int, parts: str) -> NoReturn:
    raise RejectedImage(f"more than {most} {parts}, which no harmless picture has")


# --- JPEG ----------------------------------------------------------------------------------------

# After ff: 00 is a data byte, ff a filler, d0 to d7 restarts a scan; else it ends what came before.
_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")
_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_TABLES = (0xC4, 0xCC, 0xDB, 0xDD)  # Huffman, arithmetic, quantisation; the restart interval
_COLOURS = {0xE0: b"JFIF\0", 0xEE: b"Adobe"}  # which decide what the components mean
_FRAMES = (0xC0, 0xC1, 0xC2, 0xC9, 0xCA)  # what is decoded; the others no browser shows either
_OTHER_FRAMES = (0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF)
_PROGRESSIVE = (0xC2, 0xCA)
_EXIF = b"Exif\0\0"


class _Jpeg:
    """One walk through a JPEG, from marker to marker. Source: ITU-T T.81, annex B."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._frame: bytes | None = None
        self._is_progressive = False
        self._kept = [b"\xff\xd8"]
        self._orientation = 1

    def read(self) -> PictureFile:
        first_scan, scans, end = 0, 0, None
        for code, start, body in self._segments():
            if code == _EOI:
                end = start
                break
            if code == _SOS:
                scans += 1
                first_scan = first_scan or start
                if scans > MAX_SCANS:
                    _too_many(MAX_SCANS, "scans in a JPEG")
            elif not first_scan:
                self._keep(code, start, body)
        if not first_scan or self._frame is None:
            raise cut_short("JPEG", len(self._data))
        if sum(map(len, self._kept)) > MAX_TABLE_BYTES:
            _too_many(MAX_TABLE_BYTES, "bytes of tables in a JPEG")
        return self._file(first_scan, scans, end)

    def _segments(self) -> Iterator[tuple[int, int, bytes]]:
        """Yield each marker's code, where it is, and what its segment holds."""
        place, number = 2, 0
        while marker := _MARKER.search(self._data, place):
            number += 1
            if number > MAX_SEGMENTS:
                _too_many(MAX_SEGMENTS, "segments in a JPEG")
            code, start, place = marker[1][0], marker.start(), marker.end()
            body = b""
            if code >= 0xC0 and code not in (_SOI, _EOI):
                length = struct.unpack_from(">H", self._data, place)[0]
                body = self._data[place + 2 : place + length]
                place += max(length, 2)
                if place > len(self._data):
                    raise cut_short("JPEG", len(self._data))
            yield code, start, body

    def _keep(self, code: int, start: int, body: bytes) -> None:
        if code in _OTHER_FRAMES:
            raise undecodable(f"a JPEG of the rare kind SOF{code - 0xC0}")
        if code in _FRAMES:
            if self._frame is not None:
                raise undecodable("a JPEG with two frames")
            self._frame, self._is_progressive = body, code in _PROGRESSIVE
        elif code == 0xE1 and body.startswith(_EXIF) and self._orientation == 1:
            self._orientation = _orientation(body)
        if code in _TABLES or code in _FRAMES or body.startswith(_COLOURS.get(code, b"\xff")):
            self._kept.append(self._data[start : start + 4] + body)

    def _file(self, first_scan: int, scans: int, end: int | None) -> PictureFile:
        assert self._frame is not None  # noqa: S101 - there is none without
        _, height, width, number = struct.unpack_from(">BHHB", self._frame)
        if number not in (1, 3, 4):
            raise undecodable(f"a JPEG with {number} components")
        factors = [divmod(self._frame[7 + 3 * i], 16) for i in range(number)]
        in_scan = self._data[first_scan + 4]
        in_one_scan = not self._is_progressive and in_scan == number
        coefficients = _coefficients(width, height, factors)
        # At the end of an unended file there may be the first half of a marker.
        last = len(self._data.rstrip(b"\xff")) if end is None else end + 2
        return PictureFile(
            "JPEG",
            (*self._kept, memoryview(self._data)[first_scan:last]),
            len(self._data),
            (width, height),
            self._orientation,
            0 if in_one_scan else coefficients,
            coefficients * (1 if in_one_scan else scans),
            is_unended=end is None,
        )


def _coefficients(width: int, height: int, factors: list[tuple[int, int]]) -> int:
    """Return how many there are in all components, of *factors* as many samples as pixels."""
    largest = max(h for h, _ in factors) * max(v for _, v in factors)
    return width * height * sum(h * v for h, v in factors) // max(largest, 1)


# --- PNG -----------------------------------------------------------------------------------------

_PNG = b"\x89PNG\r\n\x1a\n"
_PALETTE = 3  # a colour type
_KEY_BYTES = {0: 2, 2: 6}  # of the transparent colour, by colour type: grey and RGB
_PNG_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"IEND")


def _png(data: bytes) -> PictureFile:
    whole = memoryview(data)
    kept, seen, orientation = [whole[:8]], set[bytes](), 1
    for number, (kind, start, end) in enumerate(_png_chunks(data)):
        if number == 0 and kind != b"IHDR":
            raise undecodable("the PNG does not begin with its header")
        if number >= MAX_CHUNKS:
            _too_many(MAX_CHUNKS, "chunks in a PNG")
        if kind == b"tRNS" and not _is_fitting(kept, end - start - 12):
            continue  # libpng, and so a browser, shows it opaque
        if kind == b"IDAT" or (kind in _PNG_KEPT and kind not in seen):
            kept.append(whole[start:end])
        elif kind == b"eXIf" and kind not in seen:
            orientation = _orientation(data[start + 8 : end - 4])
        if kind == b"IEND":
            break
        seen.add(kind)
    if b"IDAT" not in seen:
        raise cut_short("PNG", len(data))
    width, height, depth, colour = struct.unpack_from(">IIBB", data, 16)
    if colour == _PALETTE and b"PLTE" not in seen:
        raise undecodable("the PNG has colours of a palette, and none")
    return PictureFile(
        "PNG",
        tuple(kept),
        len(data),
        (width, height),
        orientation,
        depth=depth,
        is_animated=b"acTL" in seen,
    )


def _is_fitting(kept: list[memoryview], length: int) -> bool:
    """Return whether a tRNS of *length* bytes belongs to a PNG that begins with *kept* chunks."""
    colour = kept[1][17]
    if colour == _PALETTE:
        colours = sum((len(part) - 12) // 3 for part in kept[2:] if bytes(part[4:8]) == b"PLTE")
        return 0 < length <= colours
    return length == _KEY_BYTES.get(colour)


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield each chunk's kind, where it starts and where it ends, which may be past *data*."""
    place = 8
    while place + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        yield kind, place, place + 12 + length
        place += 12 + length


# --- WebP ----------------------------------------------------------------------------------------

_PICTURES = (b"VP8 ", b"VP8L", b"ANMF")
_WEBP_KEPT = (b"VP8X", b"ANIM", b"ALPH", *_PICTURES)
_KEPT_FLAGS = 0x12  # of VP8X: an animation, transparency


def _webp(data: bytes) -> PictureFile:
    whole, orientation = memoryview(data), 1
    kept: dict[bytes, bytes | memoryview] = {}
    for number, (kind, start, end) in enumerate(_riff_chunks(data)):
        if number >= MAX_CHUNKS:
            _too_many(MAX_CHUNKS, "chunks in a WebP")
        is_after_picture = any(picture in kept for picture in _PICTURES)
        if kind in _WEBP_KEPT and not is_after_picture and kind not in kept:
            if end > len(data):
                raise cut_short("WebP", len(data))
            kept[kind] = whole[start:end]
        elif kind == b"EXIF":
            orientation = _orientation(data[start + 8 : end])
            break
    if not any(picture in kept for picture in _PICTURES):
        raise cut_short("WebP", len(data))
    if b"VP8X" in kept:
        head = bytes(kept[b"VP8X"])
        kept[b"VP8X"] = head[:8] + bytes([head[8] & _KEPT_FLAGS]) + head[9:]
    parts = [part for chunk in kept.values() for part in (chunk, bytes(len(chunk) % 2))]
    header = b"RIFF" + struct.pack("<I", 4 + sum(map(len, parts))) + b"WEBP"
    return PictureFile(
        "WEBP",
        (header, *parts),
        len(data),
        _webp_size(kept),
        orientation,
        is_animated=b"ANMF" in kept,
    )


def _riff_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield each chunk's kind, where it starts and where it ends, which may be past *data*."""
    place, end = 12, min(len(data), 8 + struct.unpack_from("<I", data, 4)[0])
    while place + 8 <= end:
        kind, length = struct.unpack_from("<4sI", data, place)
        yield kind, place, place + 8 + length
        place += 8 + length + length % 2


def _webp_size(kept: dict[bytes, bytes | memoryview]) -> tuple[int, int]:
    """Source: RFC 9649, sections 2.5 to 2.7 and 3.4."""
    if head := kept.get(b"VP8X"):
        width, height = (int.from_bytes(head[place : place + 3], "little") for place in (12, 15))
        return width + 1, height + 1
    if lossless := kept.get(b"VP8L"):
        (bits,) = struct.unpack_from("<I", lossless, 9)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", kept.get(b"VP8 ", b""), 14)
    return width & 0x3FFF, height & 0x3FFF


# --- EXIF ----------------------------------------------------------------------------------------


def _orientation(exif: bytes) -> int:
    """
    Return what the EXIF block says of the orientation; 1 where it is damaged or says nothing.

    Pillow reads the whole block: a small one can make it copy gigabytes.
    """
    tiff = exif.removeprefix(_EXIF)
    if tiff[:2] not in (b"II", b"MM"):
        return 1
    order = "<" if tiff.startswith(b"II") else ">"
    with suppress(struct.error):
        (place,) = struct.unpack_from(order + "I", tiff, 4)
        (entries,) = struct.unpack_from(order + "H", tiff, place)
        for i in range(min(entries, MAX_EXIF_ENTRIES)):
            entry = struct.unpack_from(order + "HHIH", tiff, place + 2 + 12 * i)
            if entry[:3] == (0x0112, 3, 1):  # a single short
                return entry[3] if 1 <= entry[3] <= 8 else 1
    return 1


# --- what is none of these -----------------------------------------------------------------------

_SIGNATURES = (
    (b"GIF8", "a GIF image"),
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"II+\0", "a TIFF image"),
    (b"MM\0+", "a TIFF image"),
    (b"\xff\x0a", "a JPEG XL image"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL image"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 image"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (b"II\xbc", "a JPEG XR image"),
    (b"8BPS", "a Photoshop document"),
    (b"\0\0\1\0", "an ICO icon"),
    (b"\0\0\2\0", "a cursor"),
    (b"icns", "an ICNS icon"),
    (b"DDS ", "a DDS texture"),
    (b"qoif", "a QOI image"),
    (b"\x76\x2f\x31\x01", "an OpenEXR image"),
    (b"#?RADIANCE", "a Radiance HDR image"),
    (b"\x8aMNG", "an MNG animation"),
    (b"%PDF", "a PDF document"),
    (b"%!PS", "a PostScript document"),
    (b"\x1a\x45\xdf\xa3", "a WebM or Matroska video"),
    (b"OggS", "an Ogg file"),
    (b"PK\3\4", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
)
_TEXTS = (
    (b"<!doctype html", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"<svg", "an SVG drawing"),
    (b"<?xml", "an XML document"),
)
_BRANDS = (  # of ISO base media files, in the order in which they count
    ((b"avif", b"avis"), "an AVIF image"),
    ((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "a HEIC image"),
    ((b"crx ",), "a Canon raw image"),
)


def _name(data: bytes) -> str | None:
    """Return what *data* is, with its article, or None."""
    for signature, name in _SIGNATURES:
        if data.startswith(signature):
            return name
    if data.startswith(b"BM") and data[6:10] == bytes(4):
        return "a BMP image"
    if re.match(rb"P[1-7]\s", data):
        return "a PNM image"
    if data.startswith(b"RIFF"):
        return "an AVI video" if data[8:12] == b"AVI " else "a RIFF file"
    if data[4:8] == b"ftyp":
        return _media(data)
    begins = data[:1024].lower()
    texts = [name for text, name in _TEXTS if text in begins]
    return texts[0] if texts else None


def _media(data: bytes) -> str:
    length = min(int.from_bytes(data[:4], "big"), 256)
    brands = {data[8:12], *(data[place : place + 4] for place in range(16, length, 4))}
    for known, name in _BRANDS:
        if not brands.isdisjoint(known):
            return name
    return "a QuickTime video" if data[8:12] == b"qt  " else "an MP4 video"
