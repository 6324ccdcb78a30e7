"""A picture of a collection as it was read, whatever it lies in."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from imagesearch.domain.collections import CollectedFile, ListedFile, own_image_id, stamp_of
from imagesearch.domain.picture_facts import PictureFacts, joined
from imagesearch.domain.signatures import HEAD_BYTES, is_image
from imagesearch.folders.formats import upright_size


def collected(
    listed: ListedFile, picture: bytes, facts: PictureFacts, *, keeps_place: bool
) -> tuple[CollectedFile, bytes]:
    """
    Return the file of the bytes *picture*, and those if they are a JPEG, PNG or WebP, else none.

    Args:
        facts: what the picture says of itself; what the collection says of it comes first.

    Raises:
        RejectedImage: they are no picture.
    """
    size = upright_size(picture)
    facts = joined(listed.facts, facts)
    file = CollectedFile(
        listed.path,
        listed.stamp,
        stamp_of(listed),
        image_id=own_image_id(hashlib.sha256(picture).hexdigest()),
        size=size,
        facts=facts if keeps_place else replace(facts, place=None),
        albums=listed.albums,
    )
    return file, picture if is_image(picture[:HEAD_BYTES]) else b""


def problem(listed: ListedFile, why: str) -> tuple[CollectedFile, bytes]:
    """Return the file that is no picture, and why; "" where that is as it should be."""
    file = CollectedFile(
        listed.path, listed.stamp, stamp_of(listed), albums=listed.albums, problem=why
    )
    return file, b""
