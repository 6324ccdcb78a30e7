"""The rule for the names of stored images, so that what one store takes every other takes too."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from imagesearch.domain.errors import InvalidRequest

_MEDIA_TYPES = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", re.ASCII)


def image_id_of(name: str) -> str:
    """Return the image that is stored as *name*: its id, a dot and a suffix."""
    return name.partition(".")[0]


def media_type_of(name: str) -> str:
    """Return what an image that is stored as *name* is served as, by its suffix."""
    return _MEDIA_TYPES.get(PurePosixPath(name).suffix, "application/octet-stream")


def is_object_name(name: str) -> bool:
    """Return whether a store takes *name*: see `checked_object_name`."""
    return _NAME.fullmatch(name) is not None


def checked_object_name(name: str) -> str:
    """
    Return *name*, which no folder and no URL reads as anything but one name.

    Raises:
        InvalidRequest: it is not 1..200 ASCII letters, digits, `.`, `_` or `-` that begin with a
            letter or a digit.
    """
    if not is_object_name(name):
        raise InvalidRequest(
            f"an object name must match {_NAME.pattern}, got {name!r:.220}", field="object_name"
        )
    return name
