"""The rule for the names of stored images, so that what one store takes every other takes too."""

from __future__ import annotations

import re

from imagesearch.errors import InvalidRequest

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", re.ASCII)


def checked_object_name(name: str) -> str:
    """
    Return *name*, which no folder and no URL reads as anything but one name.

    Raises:
        InvalidRequest: it is not 1..200 ASCII letters, digits, `.`, `_` or `-` that begin with a
            letter or a digit.
    """
    if not _NAME.fullmatch(name):
        raise InvalidRequest(
            f"an object name must match {_NAME.pattern}, got {name!r:.220}", field="object_name"
        )
    return name
