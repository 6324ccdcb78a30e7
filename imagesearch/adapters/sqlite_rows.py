"""The rows of the SQLite file, as its pools, its library and its migration write and read them."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Sequence
from typing import Any, TypeAlias, TypeVar

from pydantic import TypeAdapter

from imagesearch.adapters.records import DAMAGE, marks_fields, packed, record_fields
from imagesearch.domain.images import Collected, Credit, Image, Listing
from imagesearch.domain.pixels import PixelFacts
from imagesearch.domain.pool_life import Marks, Record

Statement: TypeAlias = tuple[str, tuple[object, ...]]  # with the values of its parameters

IMAGE_COLUMNS = (
    "images.image_id, object_name, page_url, width, height, credit_user, credit_source, tags,"
    " pixel_hash, colours, year, month, licence, licence_url, collected"
)
_COLLECTED = TypeAdapter(Collected)
_logger = logging.getLogger(__name__)
_Value = TypeVar("_Value", str, int)


def record_row(record: Record) -> Statement:
    """Return what writes a record, but for its marks."""
    pool = record.pool
    return (
        "INSERT OR REPLACE INTO records (pool_id, state, record) VALUES (?, ?, ?)",
        (pool.pool_id, pool.current.state, json.dumps(record_fields(record), ensure_ascii=False)),
    )


def listing_row(pool_id: str, number: int, listing: Listing, marks: Marks) -> Statement:
    """Return what writes a generation's listing with its marks; InvalidRequest if too big."""
    fields = marks_fields(marks)
    columns = (fields["states"], fields["reasons"].decode(), json.dumps(marks.image_ids))
    return (
        "INSERT OR REPLACE INTO listings"
        " (pool_id, number, states, reasons, image_ids, listing) VALUES (?, ?, ?, ?, ?, ?)",
        (pool_id, number, *columns, packed(listing)),
    )


def last_embedding_ever(connection: sqlite3.Connection) -> int:
    """
    Return the largest id that an embedding ever had, 0 when there was none.

    Unlike the largest that there is, it does not fall when the newest embedding is deleted: what
    has been read up to it may still have that row.
    """
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'embeddings'").fetchone()
    return 0 if row is None else int(row[0])


def image_row(image: Image) -> tuple[object, ...]:
    """Return the values of IMAGE_COLUMNS."""
    credit = image.credit
    about = (image.page_url, image.width, image.height, credit.user, credit.source)
    pixels = (image.pixels.hash, image.pixels.colours) if image.pixels else (None, 0)
    rest = (image.year, image.month, credit.licence, credit.licence_url)
    own = "" if image.collected is None else _COLLECTED.dump_json(image.collected).decode()
    return image.image_id, image.object_name, *about, json.dumps(image.tags), *pixels, *rest, own


def image_of(row: Sequence[Any]) -> Image:
    """Return the image of a row that begins with IMAGE_COLUMNS; damaged values are left empty."""
    image_id, object_name, page_url, width, height, user, source, tags, *facts = row[:15]
    return Image(
        image_id,
        _of_type(str, object_name),
        _of_type(str, page_url),
        _of_type(int, width),
        _of_type(int, height),
        Credit(*(_of_type(str, text) for text in (user, source, *facts[4:6]))),
        tags_of(tags),
        pixels_of(*facts[:2]),
        year=_of_type(int, facts[2]),
        month=_of_type(int, facts[3]),
        collected=collected_of(facts[6]),
    )


def pixels_of(pixel_hash: object, colours: object) -> PixelFacts | None:
    """Return what two columns say of pixels; None where it is unknown or damaged."""
    if isinstance(pixel_hash, int) and isinstance(colours, int):
        return PixelFacts(pixel_hash, colours)
    return None


def collected_of(column: object) -> Collected | None:
    """Return what a column says of an own picture; None of any other, and where it is damaged."""
    if not column or not isinstance(column, str):
        return None
    try:
        return _COLLECTED.validate_json(column)
    except DAMAGE as error:
        _logger.warning("what is kept of an own picture is damaged: %r", error)
        return None


def _of_type(kind: type[_Value], value: object) -> _Value:
    """Return *value* where it has the type of its column, which SQLite only prefers, or nothing."""
    return value if isinstance(value, kind) else kind()


def tags_of(column: object) -> tuple[str, ...]:
    """Return the tags of a column; none where it is damaged."""
    try:
        tags = json.loads(_of_type(str, column))
    except (RecursionError, ValueError):
        return ()
    return tuple(tag for tag in tags if isinstance(tag, str)) if isinstance(tags, list) else ()
