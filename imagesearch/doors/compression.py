"""gzip, for what is sent to those who take it."""

from __future__ import annotations

import zlib

LEAST_BYTES = 1000  # a smaller answer travels in one packet, whatever it is
_GZIP = 31  # zlib's number for gzip's format, with no time in its head


def gzipped(body: bytes, level: int) -> bytes | None:
    """
    Return *body* in gzip's format; None where that would be no smaller.

    Args:
        level: from 1, quick, to 9, small.
    """
    compressed = zlib.compress(body, level=level, wbits=_GZIP)
    return compressed if len(compressed) < len(body) else None
