"""The fields of IPTC-IIM that are of use. Source: IPTC-IIM 4.2, chapters 1 and 3."""

from __future__ import annotations

import struct
from contextlib import suppress

from imagesearch.folders.exif import decoded

MAX_RECORDS = 1_000
MAX_RECORD_BYTES = 32_767  # a longer one has a length of several bytes: pictures, no texts

TITLE, KEYWORD, CREATED, BYLINE, HEADLINE, COPYRIGHT, CAPTION = 5, 25, 55, 80, 105, 116, 120
CITY, PROVINCE, COUNTRY = 90, 95, 101
_WANTED = {TITLE, KEYWORD, CREATED, BYLINE, HEADLINE, COPYRIGHT, CAPTION, CITY, PROVINCE, COUNTRY}


def iptc_fields(data: bytes) -> dict[int, list[str]]:
    """Return the texts of each wanted field of record 2, by number, in their order."""
    fields: dict[int, list[str]] = {}
    place = 0
    with suppress(struct.error):
        for _ in range(MAX_RECORDS):
            marker, record, number, length = struct.unpack_from(">BBBH", data, place)
            if marker != 0x1C or length > MAX_RECORD_BYTES:
                break
            place += 5
            if record == 2 and number in _WANTED:
                fields.setdefault(number, []).append(decoded(data[place : place + length]))
            place += length
    return fields
