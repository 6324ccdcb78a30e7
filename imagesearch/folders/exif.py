"""The fields of EXIF that are of use, read from a TIFF structure of a stranger's.

Pillow's reader takes all of a block, which can make it copy far more than the block has; here
only the wanted tags are looked at, each with its bound. Sources: TIFF 6.0, section 2; EXIF 2.32.
"""

from __future__ import annotations

import codecs
import struct
from contextlib import suppress

MAX_ENTRIES = 1_000  # of one directory; a camera writes some 50
MAX_VALUE_BYTES = 262_144  # of the XMP of a TIFF; texts are cut to MAX_TEXT_BYTES
MAX_TEXT_BYTES = 4_000

DESCRIPTION, MAKE, MODEL, ORIENTATION = 270, 271, 272, 274
ARTIST, COPYRIGHT, RATING, RATING_PERCENT = 315, 33432, 18246, 18249
XP_TITLE, XP_COMMENT, XP_AUTHOR, XP_KEYWORDS, XP_SUBJECT = range(40091, 40096)
TAKEN, DIGITISED, USER_COMMENT = 36867, 36868, 37510
XMP, IPTC, PHOTOSHOP = 700, 33723, 34377  # of a TIFF alone
_EXIF_DIRECTORY, _GPS_DIRECTORY = 34665, 34853
_GPS = {1: "N or S", 2: "latitude", 3: "E or W", 4: "longitude"}

_WANTED = {
    *(DESCRIPTION, MAKE, MODEL, ORIENTATION, ARTIST, COPYRIGHT, RATING, RATING_PERCENT),
    *(XP_TITLE, XP_COMMENT, XP_AUTHOR, XP_KEYWORDS, XP_SUBJECT, TAKEN, DIGITISED, USER_COMMENT),
    *(XMP, IPTC, PHOTOSHOP, _EXIF_DIRECTORY, _GPS_DIRECTORY),
}
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 9: 4, 10: 8, 13: 4}  # bytes, by kind
_NUMBERS = {1: "B", 3: "H", 4: "I", 6: "b", 9: "i", 13: "I"}
_RATIONALS = {5: "II", 10: "ii"}
_UTF8 = codecs.getincrementaldecoder("utf-8")


class Exif:
    """
    What an EXIF block says, by the numbers of its tags.

    No method raises; what is missing or damaged is "", b"" or 0.
    """

    def __init__(self, tiff: bytes) -> None:
        self._tiff = tiff
        self._order = {b"II": "<", b"MM": ">"}.get(tiff[:2], "")
        self._entries: dict[int, tuple[int, bytes]] = {}
        self._gps: dict[int, tuple[int, bytes]] = {}
        if self._order:
            with suppress(struct.error):
                (place,) = struct.unpack_from(self._order + "I", tiff, 4)
                self._entries = self._directory(place, _WANTED)
            if inner := self.number(_EXIF_DIRECTORY):
                self._entries = self._directory(inner, _WANTED) | self._entries
            if gps := self.number(_GPS_DIRECTORY):
                self._gps = self._directory(gps, set(_GPS))

    def _directory(self, place: int, wanted: set[int]) -> dict[int, tuple[int, bytes]]:
        """Return kind and bytes of each of the *wanted* tags of the directory at *place*."""
        tags: dict[int, tuple[int, bytes]] = {}
        number = int.from_bytes(
            self._tiff[place : place + 2], "little" if self._order == "<" else "big"
        )
        entries = self._tiff[place + 2 : place + 2 + 12 * min(number, MAX_ENTRIES)]
        whole = entries[: len(entries) // 12 * 12]
        for tag, kind, count, value in struct.iter_unpack(self._order + "HHI4s", whole):
            if tag in wanted and tag not in tags and kind in _SIZES:
                length = min(count * _SIZES[kind], MAX_VALUE_BYTES)
                if length > 4:
                    (at,) = struct.unpack(self._order + "I", value)
                    value = self._tiff[at : at + length]
                tags[tag] = (kind, value[:length])
        return tags

    def number(self, tag: int) -> int:
        """Return the first whole number of a field."""
        kind, value = self._entries.get(tag, (0, b""))
        if kind in _NUMBERS and len(value) >= _SIZES[kind]:
            first: int = struct.unpack_from(self._order + _NUMBERS[kind], value)[0]
            return first
        return 0

    def bytes_of(self, tag: int) -> bytes:
        """Return the bytes of a field as they are."""
        return self._entries.get(tag, (0, b""))[1]

    def text(self, tag: int) -> str:
        """Return a field of texts: what comes before its first NUL."""
        kind, value = self._entries.get(tag, (0, b""))
        return decoded(value.partition(b"\0")[0]) if kind in (1, 2, 7) else ""

    def wide_text(self, tag: int) -> str:
        """Return one of the XP fields, which are UTF-16 with the low byte first."""
        value = self.bytes_of(tag)[:MAX_TEXT_BYTES]
        return value.decode("utf-16-le", "ignore").partition("\0")[0]

    def comment(self) -> str:
        """Return UserComment, whose first 8 bytes name its code; a Japanese one is left out."""
        value = self.bytes_of(USER_COMMENT)[: MAX_TEXT_BYTES + 8]
        code, text = value[:8].rstrip(b"\0 ").upper(), value[8:]
        if code == b"UNICODE":
            return text.decode(self._wide_code(text), "ignore").strip("\ufeff\0 ")
        return decoded(text.partition(b"\0")[0]) if code in (b"ASCII", b"") else ""

    def _wide_code(self, text: bytes) -> str:
        """Return the code of a UTF-16 *text*: many programs write another order than the file's."""
        if text[:2] in (b"\xff\xfe", b"\xfe\xff"):
            return "utf-16-le" if text[:1] == b"\xff" else "utf-16-be"
        high, low = text[::2].count(0), text[1::2].count(0)
        is_big = high > low if high != low else self._order == ">"
        return "utf-16-be" if is_big else "utf-16-le"

    @property
    def place(self) -> tuple[float, float] | None:
        """Latitude and longitude in degrees, whatever they are, or None."""
        latitude, longitude = self._degrees(2, 1, b"S"), self._degrees(4, 3, b"W")
        return None if latitude is None or longitude is None else (latitude, longitude)

    def _degrees(self, tag: int, side: int, negative: bytes) -> float | None:
        kind, value = self._gps.get(tag, (0, b""))
        if kind not in _RATIONALS or len(value) < 8:
            return None
        whole = value[: min(len(value), 24) // 8 * 8]
        parts = list(struct.iter_unpack(self._order + _RATIONALS[kind], whole))
        if parts[0][1] == 0:
            return None
        # Minutes and seconds that are not known are 0 / 0.
        degrees: float = sum(
            over / under / unit
            for (over, under), unit in zip(parts, (1, 60, 3_600), strict=False)
            if under
        )
        return -degrees if self._gps.get(side, (0, b""))[1][:1].upper() == negative else degrees


def decoded(text: bytes) -> str:
    """Return the first MAX_TEXT_BYTES of *text*, which is UTF-8 or else Windows-1252."""
    text = text[:MAX_TEXT_BYTES]
    with suppress(UnicodeDecodeError):
        return _UTF8().decode(text)  # a character that is cut at the end is left out
    return text.decode("cp1252", "replace")
