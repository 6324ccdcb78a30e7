"""Catalog files of earlier schemas to that of `sqlite.py`; images and embeddings stay as they are.

In schema 1 pools were rows of three tables. Up to schema 2 nothing was kept of pixels and dates,
up to 3 nothing of licences, up to 4 there were no collections, and up to 5 nothing was forgotten.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from imagesearch.adapters.records import DAMAGE
from imagesearch.adapters.sqlite_rows import (
    IMAGE_COLUMNS,
    Statement,
    image_of,
    listing_row,
    record_row,
)
from imagesearch.domain.collections import OWN
from imagesearch.domain.errors import InvalidRequest
from imagesearch.domain.images import ListedImage, Listing
from imagesearch.domain.pool_life import EMBEDDED, PENDING, REJECTED, Marks, Record, member_ids
from imagesearch.domain.pools import Generation, Pool, PoolState, SourceOptions

_LETTERS = {"pending": PENDING, "embedded": EMBEDDED, "rejected": REJECTED, "refused": REJECTED}
_logger = logging.getLogger(__name__)


def add_facts(connection: sqlite3.Connection) -> None:
    """Add the facts that are kept from schema 3 on: of the images that are there, unknown."""
    connection.execute("ALTER TABLE images ADD COLUMN pixel_hash INTEGER")
    for fact in ("colours", "year", "month"):
        connection.execute(f"ALTER TABLE images ADD COLUMN {fact} INTEGER NOT NULL DEFAULT 0")


def add_licence(connection: sqlite3.Connection) -> None:
    """Add what is kept from schema 4 on: no licence is named of the images that are there."""
    for column in ("licence", "licence_url"):
        connection.execute(f"ALTER TABLE images ADD COLUMN {column} TEXT NOT NULL DEFAULT ''")


def add_collected(connection: sqlite3.Connection) -> None:
    """Add what is kept of own pictures from schema 5 on: there are none."""
    connection.execute("ALTER TABLE images ADD COLUMN collected TEXT NOT NULL DEFAULT ''")


def note_all_used(connection: sqlite3.Connection) -> None:
    """Note of the images that are there that they were used today: up to schema 5 nobody did."""
    connection.execute(
        "INSERT INTO uses SELECT image_id, ? FROM images WHERE NOT image_id GLOB ?",
        (int(time.time() // 86_400), f"{OWN}-*"),
    )


def take_over_pools(connection: sqlite3.Connection) -> None:
    """Take the pools over into the tables of schema 2, which are there, and drop those of 1."""
    for row in connection.execute("SELECT pool_id, keyword, options, current, ready FROM pools"):
        try:
            statements = list(_statements(connection, *row))
        except (*DAMAGE, InvalidRequest) as error:
            _logger.warning("pool_id=%s is damaged and will be fetched anew: %r", row[0], error)
            continue
        for statement, values in statements:
            connection.execute(statement, values)
    for table in ("members", "generations", "pools"):
        connection.execute(f"DROP TABLE {table}")


def _statements(
    connection: sqlite3.Connection,
    pool_id: str,
    keyword: str,
    options: str,
    current: int,
    ready: int | None,
) -> Iterator[Statement]:
    """Yield what writes a pool and its listings. Raises one of DAMAGE."""
    if not isinstance(keyword, str):
        raise TypeError(f"its keyword is no text: {keyword!r:.50}")
    generations = {}
    for number in {current, current if ready is None else ready}:
        generations[number], listing, marks = _generation(connection, pool_id, number)
        if listing is not None:
            yield listing_row(pool_id, number, listing, marks)
    pool = Pool(
        pool_id,
        keyword,
        SourceOptions(**json.loads(options)),
        generations[current],
        None if ready is None else generations[ready],
    )
    yield record_row(Record(pool))


def _generation(
    connection: sqlite3.Connection, pool_id: str, number: int
) -> tuple[Generation, Listing | None, Marks]:
    key = (pool_id, number)
    state, is_listed, reason, *moments = connection.execute(
        "SELECT state, is_listed, reason, requested_at, lease_until, ready_at, retry_at"
        " FROM generations WHERE pool_id = ? AND number = ?",
        key,
    ).fetchone()
    rows = connection.execute(
        "SELECT members.image_id, download_url, state, reason FROM members"
        " WHERE pool_id = ? AND number = ? ORDER BY position",
        key,
    ).fetchall()
    images = {
        row[0]: ListedImage(image_of(row), row[-1])
        for row in connection.execute(
            f"SELECT {IMAGE_COLUMNS}, download_url FROM members JOIN images USING (image_id)"
            " WHERE pool_id = ? AND number = ? AND download_url IS NOT NULL ORDER BY position",
            key,
        )
    }
    states = "".join(_LETTERS[row[2]] for row in rows)
    listing = Listing(
        tuple(images.values()), {row[0]: row[3] or "" for row in rows if row[2] == "refused"}
    )
    marks = Marks(
        tuple(row[0] for row in rows),
        states,
        {row[0]: row[3] or "" for row in rows if row[2] == "rejected"},
    )
    if marks.image_ids != member_ids(listing):
        raise ValueError("images are missing from its listing")
    requested_at, lease_until, ready_at, retry_at = map(_moment, moments)
    if requested_at is None:
        raise ValueError("it was requested at no time")
    generation = Generation(
        number,
        PoolState(state),
        requested_at,
        lease_until=lease_until,
        ready_at=ready_at,
        retry_at=retry_at,
        reason=reason if isinstance(reason, str) else None,
    )
    counted = Record(Pool(pool_id, "", SourceOptions(), generation)).marked(marks).pool.current
    return counted, listing if is_listed else None, marks


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
