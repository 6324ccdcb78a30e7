"""A picture of a collection as it was read, whatever it lies in."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from imagesearch.domain.collections import (
    CollectedFile,
    ListedFile,
    own_image_id,
    stamp_of,
)
from imagesearch.domain.picture_facts import (
    PictureFacts,
    joined,
    with_place,
    without_place,
)
from imagesearch.domain.signatures import HEAD_BYTES, is_image
from imagesearch.folders.facts import facts_of
from imagesearch.folders.formats import upright_size

_NOTHING = PictureFacts()


def collected(
    listed: ListedFile,
    read: Callable[[], bytes],
    *,
    keeps_place: bool,
    known: CollectedFile | None = None,
    edited: PictureFacts = _NOTHING,
    beside: PictureFacts = _NOTHING,
) -> tuple[CollectedFile, bytes]:
    """
    Return the file of a picture, and its bytes if they are a JPEG, PNG or WebP, else none.

    Args:
        read: returns the picture's bytes; it is not called where they are *known*.
        known: the file as it was read before.
        edited: what its owner's programs keep beside it instead of in it; it goes before what the
            picture itself says, but for when and by what it was taken.
        beside: what else is said of it, after the collection's list and the picture itself.

    Raises:
        RejectedImage: they are no picture.
    """
    picture = b""
    if known and known.image_id and known.own is not None and known.stamp == listed.stamp:
        image_id, size, own = known.image_id, known.size, known.own
    else:
        picture = read()
        image_id, size = own_image_id(hashlib.sha256(picture).hexdigest()), upright_size(picture)
        own = facts_of(picture)
    taken = PictureFacts(year=own.year, month=own.month, camera=own.camera)
    facts = PictureFacts()
    for each in (listed.facts, taken, edited, own, beside):
        facts = joined(facts, each)
    file = CollectedFile(
        listed.path,
        listed.stamp,
        stamp_of(listed),
        image_id=image_id,
        size=size,
        facts=with_place(facts) if keeps_place else without_place(facts),
        albums=listed.albums,
        own=own if keeps_place else without_place(own),
    )
    return file, picture if is_image(picture[:HEAD_BYTES]) else b""


def problem(listed: ListedFile, why: str, *, passes: bool = False) -> tuple[CollectedFile, bytes]:
    """Return the file that is no picture, and why; "" where that is as it should be."""
    known_by = stamp_of(listed)
    file = CollectedFile(
        listed.path, listed.stamp, known_by, albums=listed.albums, problem=why, passes=passes
    )
    return file, b""
