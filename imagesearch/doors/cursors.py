"""A cursor as it travels: opaque to clients, of letters that a URL takes as they are."""

from __future__ import annotations

import base64
import binascii
import re

from imagesearch.domain.errors import InvalidRequest
from imagesearch.domain.queries import MAX_OFFSET, Cursor

_VERSION = "1"
MAX_CHARACTERS = 100
_PLAIN = re.compile(rf"{_VERSION}\.([1-9][0-9]{{0,3}})\.([0-9a-f]{{16}})\.([0-9a-f]{{16}})")


def encode(cursor: Cursor) -> str:
    """Return *cursor* as text for a client to give back."""
    plain = f"{_VERSION}.{cursor.offset}.{cursor.digest}.{cursor.chosen_from}"
    return base64.urlsafe_b64encode(plain.encode()).decode().rstrip("=")


def decode(text: str) -> Cursor:
    """Return the cursor that `encode` made *text* of, or raise InvalidRequest."""
    plain = _PLAIN.fullmatch(_plain(text))
    if plain is None or not 1 <= int(plain[1]) <= MAX_OFFSET:
        bound = "cursor must be the `next` of an answer, as it came"
        raise InvalidRequest(f"{bound}, got {text[:64]!r}", field="cursor")
    return Cursor(int(plain[1]), plain[2], plain[3])


def _plain(text: str) -> str:
    if len(text) > MAX_CHARACTERS or not text.isascii():
        return ""
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("latin-1")
    except binascii.Error:
        return ""
