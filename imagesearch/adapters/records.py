"""Pools, listings and images as fields of JSON's types, which both catalogs store.

What cannot be read is damage, here and nowhere else: it is logged and costs what has to be made
anew, a pool or a listing.
"""

from __future__ import annotations

import json
import logging
import zlib
from functools import lru_cache
from typing import Any, TypeAlias

from pydantic import TypeAdapter

from imagesearch.domain.errors import InvalidRequest
from imagesearch.domain.images import Image, Listing
from imagesearch.domain.pixels import PixelFacts
from imagesearch.domain.pool_life import (
    EMBEDDED,
    PENDING,
    REJECTED,
    STATES,
    Marks,
    Members,
    Record,
    member_ids,
)
from imagesearch.domain.pools import Pool, SourceOptions

Fields: TypeAlias = dict[str, Any]

# Of the 1,048,576 bytes of a Firestore document, with the reasons beside it; SQLite takes no more,
# so that both editions know the same pools. An image has all its bounds' worth in the listing, or
# a reason. Source: firebase.google.com/docs/firestore/quotas.
MAX_LISTING_BYTES = 800_000
_UNPACKED_LISTINGS = 16  # kept in a process: each batch of a pool asks for the same one
_LISTING = TypeAdapter(Listing)
_IMAGE = TypeAdapter(Image)
_PIXELS = TypeAdapter(PixelFacts | None)
_POOL = TypeAdapter(Pool)
# Of a value as it is read; pydantic's ValidationError is a ValueError.
DAMAGE = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
    zlib.error,
)
_logger = logging.getLogger(__name__)


def record_fields(record: Record) -> Fields:
    """Return the fields of a record; those of its marks are `marks_fields`."""
    fields: Fields = _POOL.dump_python(record.pool, mode="json", exclude={"pool_id"})
    return fields


def record_of(
    pool_id: str, fields: Fields | str | None, listing: Fields | None = None
) -> Record | None:
    """
    Return the record of *fields*, or of their JSON, with the marks of *listing*, if it has some.

    None when there is none, or when it is damaged.
    """
    if not fields:
        return None
    try:
        words: Fields = json.loads(fields) if isinstance(fields, str) else fields
        # Word by word: pydantic would drop a word that is unknown.
        options = SourceOptions(**words["options"])
        pool = _POOL.validate_python({**words, "pool_id": pool_id, "options": options})
        members = members_of(pool_id, listing)
        return Record(pool, members.marks if members else None)
    except DAMAGE as error:
        _logger.warning("pool_id=%s is damaged and will be fetched anew: %r", pool_id, error)
        return None


def packed(listing: Listing) -> bytes:
    """
    Return *listing* as it is stored beside the marks; it never changes.

    Raises:
        InvalidRequest: it takes more than MAX_LISTING_BYTES, or is no Unicode.
    """
    try:
        data = zlib.compress(_LISTING.dump_json(listing, exclude_none=True))
    except ValueError as error:  # a lone surrogate, which UTF-8 cannot hold
        raise InvalidRequest(f"text of a listing is not Unicode: {error}") from error
    if len(data) > MAX_LISTING_BYTES:
        raise InvalidRequest(
            f"a listing must take at most {MAX_LISTING_BYTES} bytes packed, got {len(data)}",
            field="listing",
        )
    return data


def marks_fields(marks: Marks) -> Fields:
    """Return the fields of a generation that a batch changes."""
    reasons = json.dumps(dict(marks.reasons), ensure_ascii=False)
    return {"states": marks.states, "reasons": reasons.encode(errors="replace")}


def members_of(pool_id: str, fields: Fields | None) -> Members | None:
    """Return the members of `listing`, `states` and `reasons`; None without, or if damaged."""
    if not fields or fields.get("listing") is None:
        return None
    try:
        return _members(fields)
    except DAMAGE as error:
        _logger.warning("pool_id=%s: its listing is damaged, and recorded anew: %r", pool_id, error)
        return None


def _members(fields: Fields) -> Members:
    listing, ids = _unpacked(fields["listing"])
    members = Members(listing, Marks(ids, fields["states"], json.loads(fields["reasons"])))
    if len(ids) != len(members.marks.states) or set(members.marks.states) - STATES:
        raise ValueError(f"{len(ids)} images with the states {members.marks.states[:32]!r}")
    reasons = {**listing.rejections, **members.marks.reasons}
    is_whole = members.images.keys() >= set(members.marks.in_state(PENDING + EMBEDDED))
    if not is_whole or not reasons.keys() >= set(members.marks.in_state(REJECTED)):
        raise ValueError("an image is in a state that it cannot be in")
    return members


@lru_cache(_UNPACKED_LISTINGS)
def _unpacked(data: bytes) -> tuple[Listing, tuple[str, ...]]:
    """Return a listing and its `member_ids`."""
    listing = _LISTING.validate_json(zlib.decompress(data))
    return listing, member_ids(listing)


def image_fields(image: Image) -> Fields:
    """Return the fields of an image: without `pixels` where nothing is known of them."""
    fields: Fields = _IMAGE.dump_python(image, mode="json", exclude_none=True)
    return fields


def image_of(fields: Any) -> Image | None:
    """Return the image of *fields*, or None where it is damaged."""
    try:
        return _IMAGE.validate_python(fields)
    except DAMAGE as error:
        _logger.warning("an image is damaged: %r", error)
        return None


def pixels_of(fields: Any) -> PixelFacts | None:
    """Return what *fields* of an image say of its pixels; None if unknown or damaged."""
    try:
        return _PIXELS.validate_python(fields["pixels"]) if fields and "pixels" in fields else None
    except DAMAGE as error:
        _logger.warning("what is kept of an image's pixels is damaged: %r", error)
        return None
