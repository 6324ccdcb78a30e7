"""The rows of the SQLite catalog: its schema, and the statements that several methods share.

Transactions, threads and the port's methods are in `sqlite.py`.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias, TypeVar

import numpy as np

from imagesearch.adapters.vectors import sound_matrix
from imagesearch.domain.errors import Bug
from imagesearch.domain.images import Credit, Embedding, Image, ListedImage, Listing
from imagesearch.domain.object_names import image_id_of
from imagesearch.domain.pools import Generation, Pool, PoolState, SourceOptions

Connection: TypeAlias = sqlite3.Connection
Advance: TypeAlias = Callable[[Connection, Pool], None]
_Value = TypeVar("_Value", str, int)

SCHEMA_VERSION = 1
# Of a value as it is read; JSON that is nested too deeply is a RecursionError.
_DAMAGE = (ArithmeticError, LookupError, OSError, RecursionError, TypeError, ValueError)
_ROWS_AT_ONCE = 4096  # embeddings that are read at a time: 8 MB at 512 dimensions
# What a source lists stays, but for its state: `pending`, then `embedded` or `rejected`;
# `refused` is what the listing itself rejected, with no download_url when it is no image at all.
_SCHEMA = """
CREATE TABLE pools (
    pool_id TEXT PRIMARY KEY,
    keyword TEXT NOT NULL,
    options TEXT NOT NULL,
    current INTEGER NOT NULL,
    ready INTEGER
) WITHOUT ROWID;
CREATE TABLE generations (
    pool_id TEXT NOT NULL REFERENCES pools,
    number INTEGER NOT NULL,
    state TEXT NOT NULL,
    is_listed INTEGER NOT NULL DEFAULT 0,
    requested_at REAL NOT NULL,
    lease_until REAL,
    ready_at REAL,
    retry_at REAL,
    reason TEXT,
    PRIMARY KEY (pool_id, number)
) WITHOUT ROWID;
CREATE TABLE members (
    pool_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    position INTEGER NOT NULL,
    image_id TEXT NOT NULL,
    download_url TEXT,
    state TEXT NOT NULL,
    reason TEXT,
    PRIMARY KEY (pool_id, number, position),
    UNIQUE (pool_id, number, image_id),
    FOREIGN KEY (pool_id, number) REFERENCES generations ON DELETE CASCADE
) WITHOUT ROWID;
CREATE TABLE images (
    image_id TEXT PRIMARY KEY,
    object_name TEXT NOT NULL,
    page_url TEXT NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    credit_user TEXT NOT NULL,
    credit_source TEXT NOT NULL,
    tags TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE embeddings (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    image_id TEXT NOT NULL REFERENCES images,
    model_revision TEXT NOT NULL,
    vector BLOB NOT NULL,
    UNIQUE (model_revision, image_id)
);
"""
_logger = logging.getLogger(__name__)
IMAGE_COLUMNS = (
    "images.image_id, object_name, page_url, width, height, credit_user, credit_source, tags"
)


def create_schema(connection: Connection) -> None:
    """Create the tables in an empty file."""
    # One by one: `executescript` would commit, and another process see half a schema.
    for statement in _SCHEMA.split(";"):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def advance(connection: Connection, pool_id: str, generation: int, change: Advance) -> Pool | None:
    """Apply *change* when the generation is the current one and in progress."""
    pool = find_pool(connection, pool_id)
    if pool is None or pool.current.number != generation or not pool.current.state.in_progress:
        return None
    change(connection, pool)
    return known_pool(connection, pool_id)


def set_columns(connection: Connection, pool: Pool, **columns: object) -> None:
    """Change *columns* of the pool's current generation."""
    assignments = ", ".join(f"{name} = ?" for name in columns)
    connection.execute(
        f"UPDATE generations SET {assignments} WHERE pool_id = ? AND number = ?",
        (*columns.values(), pool.pool_id, pool.current.number),
    )


def finish_when_done(connection: Connection, pool: Pool, now: datetime) -> None:
    """Mark the current generation ready when it is listed and nothing is pending."""
    pool_id, number = pool.pool_id, pool.current.number
    pending = connection.execute(
        "SELECT 1 FROM members WHERE pool_id = ? AND number = ? AND state = 'pending'",
        (pool_id, number),
    )
    if pending.fetchone() or not is_listed(connection, pool_id, number):
        return
    set_columns(
        connection,
        pool,
        state=PoolState.READY,
        ready_at=epoch_seconds(now),
        lease_until=None,
        reason=None,
    )
    connection.execute("UPDATE pools SET ready = ? WHERE pool_id = ?", (number, pool_id))
    # Searches under way may still read the generation that was ready until now.
    oldest = pool.ready.number if pool.ready else number
    connection.execute(
        "DELETE FROM generations WHERE pool_id = ? AND number < ?", (pool_id, oldest)
    )


def find_pool(connection: Connection, pool_id: str) -> Pool | None:
    """Return the pool, or None, also when its rows are damaged: it is then to be fetched anew."""
    row = connection.execute(
        "SELECT keyword, options, current, ready FROM pools WHERE pool_id = ?", (pool_id,)
    ).fetchone()
    if row is None:
        return None
    try:
        return _pool(connection, pool_id, *row)
    except _DAMAGE as error:
        _logger.warning("pool_id=%s is damaged and will be fetched anew: %s", pool_id, error)
        return None


def forget_pool(connection: Connection, pool_id: str) -> int:
    """
    Delete what is left of a damaged pool; its images and their embeddings stay.

    Returns:
        the number of its next generation, which no cache knows: 1 where nothing was left.
    """
    (number,) = connection.execute(
        "SELECT ifnull(max(number), 0) + 1 FROM generations"
        " WHERE pool_id = ? AND typeof(number) = 'integer'",
        (pool_id,),
    ).fetchone()
    for table in ("members", "generations", "pools"):  # children first, whatever they still have
        connection.execute(f"DELETE FROM {table} WHERE pool_id = ?", (pool_id,))
    return int(number)


def _pool(
    connection: Connection, pool_id: str, keyword: str, options: str, current: int, ready: int
) -> Pool:
    if not isinstance(keyword, str):
        raise TypeError(f"its keyword is no text: {keyword!r:.50}")
    return Pool(
        pool_id,
        keyword,
        SourceOptions(**json.loads(options)),
        _generation(connection, pool_id, current),
        None if ready is None else _generation(connection, pool_id, ready),
    )


def known_pool(connection: Connection, pool_id: str) -> Pool:
    """Return the pool of a row that is known to be there."""
    pool = find_pool(connection, pool_id)
    if pool is None:
        raise Bug(f"pool {pool_id} vanished within a transaction")
    return pool


def _generation(connection: Connection, pool_id: str, number: int) -> Generation:
    """Read a generation; its counts are those of its rows. Raises one of _DAMAGE."""
    state, requested_at, lease_until, ready_at, retry_at, reason = connection.execute(
        "SELECT state, requested_at, lease_until, ready_at, retry_at, reason"
        " FROM generations WHERE pool_id = ? AND number = ?",
        (pool_id, number),
    ).fetchone()
    images, embedded, rejected, pending, linkless = connection.execute(
        "SELECT COUNT(*), TOTAL(state = 'embedded'), TOTAL(state IN ('rejected', 'refused')),"
        " TOTAL(state = 'pending'),"
        " TOTAL(state IN ('pending', 'embedded') AND download_url IS NULL)"
        " FROM members WHERE pool_id = ? AND number = ?",
        (pool_id, number),
    ).fetchone()
    lost = images - embedded - rejected - pending + linkless
    if lost:
        raise ValueError(f"{lost:g} of {images} images are in no state that can be")
    return Generation(
        number=number,
        state=PoolState(state),
        requested_at=datetime.fromtimestamp(requested_at, UTC),
        images=images,
        embedded=int(embedded),
        rejected=int(rejected),
        lease_until=_moment(lease_until),
        ready_at=_moment(ready_at),
        retry_at=_moment(retry_at),
        reason=reason if isinstance(reason, str) else None,
    )


def is_listed(connection: Connection, pool_id: str, number: int) -> bool:
    """True when the generation's listing is recorded."""
    row = connection.execute(
        "SELECT is_listed FROM generations WHERE pool_id = ? AND number = ?", (pool_id, number)
    ).fetchone()
    return row is not None and bool(row[0])


def insert_listing(connection: Connection, pool: Pool, listing: Listing) -> None:
    """Insert the images in their order, then what was refused and is no image at all."""
    images: dict[str, ListedImage] = {}
    for listed in listing.images:
        images.setdefault(listed.image.image_id, listed)
    connection.executemany(
        "INSERT INTO images VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (image_id) DO UPDATE SET"
        " object_name = excluded.object_name, page_url = excluded.page_url,"
        " width = excluded.width, height = excluded.height, tags = excluded.tags,"
        " credit_user = excluded.credit_user, credit_source = excluded.credit_source",
        [_image_row(listed.image) for listed in images.values()],
    )
    connection.executemany(
        "INSERT INTO members (pool_id, number, position, image_id, download_url, state, reason)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (
                pool.pool_id,
                pool.current.number,
                position,
                image_id,
                images[image_id].download_url if image_id in images else None,
                "refused" if image_id in listing.rejections else "pending",
                listing.rejections.get(image_id),
            )
            for position, image_id in enumerate(dict.fromkeys([*images, *listing.rejections]))
        ],
    )


def listed_images(
    connection: Connection, pool_id: str, number: int, condition: str
) -> tuple[ListedImage, ...]:
    """Return the listed images that meet the SQL *condition*, in listing order."""
    rows = connection.execute(
        f"SELECT {IMAGE_COLUMNS}, download_url FROM members JOIN images USING (image_id)"
        f" WHERE pool_id = ? AND number = ? AND {condition} ORDER BY position",
        (pool_id, number),
    )
    return tuple(ListedImage(image_of(row), row[-1]) for row in rows)


def insert_embeddings(
    connection: Connection, vectors: Mapping[str, bytes], model_revision: str
) -> None:
    """Store vectors by image_id; a newer one of the same model replaces an older."""
    # A replaced row gets a new id, which is how every index in memory learns of it.
    connection.executemany(
        "INSERT OR REPLACE INTO embeddings (image_id, model_revision, vector)"
        " SELECT image_id, ?, ? FROM images WHERE image_id = ?",
        [(model_revision, vector, image_id) for image_id, vector in vectors.items()],
    )


def mark_embedded(
    connection: Connection, pool: Pool, image_ids: Collection[str], model_revision: str
) -> None:
    """Mark pending images that have an embedding of the model embedded."""
    connection.execute(
        "UPDATE members SET state = 'embedded' WHERE pool_id = ? AND number = ?"
        " AND state = 'pending' AND image_id IN (SELECT value FROM json_each(?))"
        " AND EXISTS (SELECT 1 FROM embeddings AS e"
        "  WHERE e.image_id = members.image_id AND e.model_revision = ?)",
        (pool.pool_id, pool.current.number, id_list(image_ids), model_revision),
    )


def mark_rejected(connection: Connection, pool: Pool, rejections: Mapping[str, str]) -> None:
    """Mark pending images rejected, each with its reason."""
    connection.executemany(
        "UPDATE members SET state = 'rejected', reason = ?"
        " WHERE pool_id = ? AND number = ? AND image_id = ? AND state = 'pending'",
        [
            (reason, pool.pool_id, pool.current.number, image_id)
            for image_id, reason in rejections.items()
        ],
    )


def has_lost_images(connection: Connection, pool_id: str, number: int) -> bool:
    """True when images of the generation are listed of which there is no row."""
    row = connection.execute(
        "SELECT 1 FROM members WHERE pool_id = ? AND number = ?"
        " AND state IN ('pending', 'embedded') AND NOT EXISTS"
        " (SELECT 1 FROM images WHERE images.image_id = members.image_id)",
        (pool_id, number),
    ).fetchone()
    return row is not None


def mark_lost(connection: Connection, pool_id: str, number: int) -> None:
    """Give listed images of which there is no row a state that cannot be: see `find_pool`."""
    connection.execute(
        "UPDATE members SET state = 'lost' WHERE pool_id = ? AND number = ?"
        " AND state IN ('pending', 'embedded') AND NOT EXISTS"
        " (SELECT 1 FROM images WHERE images.image_id = members.image_id)",
        (pool_id, number),
    )


def mark_pending(connection: Connection, pool: Pool, model_revision: str) -> int:
    """Return how many embedded images lack *model_revision* and so are pending again."""
    return connection.execute(
        "UPDATE members SET state = 'pending' WHERE pool_id = ? AND number = ?"
        " AND state = 'embedded' AND NOT EXISTS (SELECT 1 FROM embeddings AS e"
        "  WHERE e.image_id = members.image_id AND e.model_revision = ?)",
        (pool.pool_id, pool.current.number, model_revision),
    ).rowcount


def embeddings_after(
    connection: Connection, model_revision: str, last_id: int
) -> tuple[list[tuple[int, bytes]], int, bool]:
    """
    Return what was stored after row *last_id*, or the oldest of it.

    Returns:
        (id, vector) of embeddings of the model, the id to go on from, and whether there is more.
    """
    # The + keeps SQLite from its index by model, where it would look at all rows of the model.
    rows = connection.execute(
        "SELECT id, vector FROM embeddings WHERE +model_revision = ? AND id > ?"
        " ORDER BY id LIMIT ?",
        (model_revision, last_id, _ROWS_AT_ONCE),
    ).fetchall()
    if len(rows) == _ROWS_AT_ONCE:
        return rows, rows[-1][0], True
    # Other models' rows are not gone through again, either.
    return rows, newest_embedding(connection), False


def embeddings_of(
    connection: Connection, row_ids: Collection[int], model_revision: str
) -> list[tuple[int, bytes]]:
    """Return (id, vector) of those rows that are there and of the model."""
    return connection.execute(
        "SELECT id, vector FROM embeddings WHERE id IN (SELECT value FROM json_each(?))"
        " AND +model_revision = ?",
        (json.dumps(list(row_ids)), model_revision),
    ).fetchall()


def last_embedding_ever(connection: Connection) -> int:
    """Return the largest id that an embedding ever had, 0 when there was none."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'embeddings'").fetchone()
    return 0 if row is None else int(row[0])


def model_revisions(connection: Connection) -> list[str]:
    """Return the models that embeddings are of, each found by one step through the index."""
    rows = connection.execute(
        "WITH RECURSIVE model(revision) AS (SELECT min(model_revision) FROM embeddings UNION ALL"
        " SELECT (SELECT min(model_revision) FROM embeddings WHERE model_revision > revision)"
        "  FROM model WHERE revision IS NOT NULL)"
        " SELECT revision FROM model WHERE revision IS NOT NULL"
    )
    return [revision for (revision,) in rows if isinstance(revision, str)]


def newest_embedding(connection: Connection) -> int:
    """Return the id of the newest embedding of any model, 0 when there is none."""
    newest: int = connection.execute("SELECT ifnull(max(id), 0) FROM embeddings").fetchone()[0]
    return newest


def row_that_lacks(
    connection: Connection, model_revision: str, *, at: int = 0, after: int = 0
) -> int | None:
    """
    Return another model's embedding whose image has none of *model_revision*, or None.

    An image that was rejected is not waited for. Looked at are the row *at*, else those *after*.
    """
    others = "e.id > :after AND e.model_revision <> :model"
    if at:
        others = "e.id = :at AND e.model_revision <> :model"
    elif after == 0:  # an index without the vectors is gone through, not the table
        others = "(e.model_revision < :model OR e.model_revision > :model)"
    row = connection.execute(
        f"SELECT e.id FROM embeddings AS e WHERE {others} AND NOT EXISTS"
        " (SELECT 1 FROM embeddings AS own"
        "  WHERE own.model_revision = :model AND own.image_id = e.image_id)"
        " AND NOT EXISTS (SELECT 1 FROM members"
        "  WHERE members.image_id = e.image_id AND members.state = 'rejected') LIMIT 1",
        {"model": model_revision, "at": at, "after": after},
    ).fetchone()
    return None if row is None else int(row[0])


def exact_cosines(
    connection: Connection, row_ids: Sequence[int], query: Embedding
) -> dict[int, tuple[str, float]]:
    """Return by row id the image_id and the cosine with *query*; what is gone or damaged is not."""
    cosines = {}
    found = connection.execute(
        "SELECT id, image_id, vector FROM embeddings"
        " WHERE id IN (SELECT value FROM json_each(?)) AND typeof(image_id) = 'text'",
        (json.dumps(row_ids),),
    )
    while some := found.fetchmany(_ROWS_AT_ONCE):
        sound, matrix, _ = sound_matrix(some, len(query))
        # Each row by itself: a matrix product's last bits depend on a row's place, and equal
        # images would not tie.
        # (m, d) * (d,) -> (m,)
        products = (matrix.astype(np.float64) * query).sum(axis=1).tolist()
        for (row_id, image_id, _), cosine in zip(sound, products, strict=True):
            cosines[row_id] = (image_id, cosine)
    return cosines


def forget_embeddings(connection: Connection, row_ids: Collection[int]) -> list[str]:
    """Delete embeddings by the ids of their rows; return the image_ids that have lost theirs."""
    rows = connection.execute(
        "DELETE FROM embeddings WHERE id IN (SELECT value FROM json_each(?)) RETURNING image_id",
        (json.dumps(list(row_ids)),),
    )
    return [image_id for (image_id,) in rows.fetchall()]


def find_listed(
    connection: Connection, object_name: str
) -> tuple[str, SourceOptions, ListedImage] | None:
    """Return a keyword and its options whose pool listed the original, and as what; or None."""
    row = connection.execute(
        f"SELECT {IMAGE_COLUMNS}, download_url, keyword, options FROM members"
        " JOIN images USING (image_id) JOIN pools USING (pool_id)"
        " WHERE images.image_id = ? AND object_name = ? AND state IN ('pending', 'embedded')"
        " AND download_url IS NOT NULL ORDER BY number DESC LIMIT 1",
        (image_id_of(object_name), object_name),
    ).fetchone()
    if row is None:
        return None
    *_, download_url, keyword, options = row
    try:
        source_options = SourceOptions(**json.loads(options))
    except _DAMAGE:  # the next search on the keyword begins it anew
        return None
    return keyword, source_options, ListedImage(image_of(row), download_url)


def unused_images(connection: Connection) -> set[str]:
    """Return the images that are neither embedded, by whatever model, nor on their way to be."""
    rows = connection.execute(
        "SELECT image_id FROM images WHERE image_id NOT IN (SELECT image_id FROM embeddings)"
        " AND image_id NOT IN"
        " (SELECT image_id FROM members WHERE state IN ('pending', 'embedded'))"
    )
    return {image_id for (image_id,) in rows}


def object_names(connection: Connection, image_ids: Collection[str]) -> dict[str, str]:
    """Return by image_id under which names the images are stored; the unknown are left out."""
    rows = connection.execute(
        "SELECT image_id, object_name FROM images"
        " WHERE image_id IN (SELECT value FROM json_each(?))",
        (id_list(image_ids),),
    )
    return dict(rows.fetchall())


def images_of(connection: Connection, image_ids: Collection[str]) -> dict[str, Image]:
    """Return the images by image_id; those that are unknown are left out."""
    rows = connection.execute(
        f"SELECT {IMAGE_COLUMNS} FROM images WHERE image_id IN (SELECT value FROM json_each(?))",
        (id_list(image_ids),),
    )
    return {row[0]: image_of(row) for row in rows}


def image_of(row: Sequence[Any]) -> Image:
    """Return the image of a row that begins with IMAGE_COLUMNS; damaged values are left empty."""
    image_id, object_name, page_url, width, height, user, source, tags = row[:8]
    return Image(
        image_id,
        _of_type(str, object_name),
        _of_type(str, page_url),
        _of_type(int, width),
        _of_type(int, height),
        Credit(_of_type(str, user), _of_type(str, source)),
        _tags(tags),
    )


def _of_type(kind: type[_Value], value: object) -> _Value:
    """Return *value* where it has the type of its column, which SQLite only prefers, or nothing."""
    return value if isinstance(value, kind) else kind()


def _tags(column: object) -> tuple[str, ...]:
    try:
        tags = json.loads(_of_type(str, column))
    except _DAMAGE:
        return ()
    return tuple(tag for tag in tags if isinstance(tag, str)) if isinstance(tags, list) else ()


def _image_row(image: Image) -> tuple[object, ...]:
    return (
        image.image_id,
        image.object_name,
        image.page_url,
        image.width,
        image.height,
        image.credit.user,
        image.credit.source,
        json.dumps(image.tags),
    )


def id_list(image_ids: Collection[str]) -> str:
    """Return ids as the one parameter of an IN list, which may be longer than SQLite's limit."""
    return json.dumps(list(image_ids))


def epoch_seconds(moment: datetime) -> float:
    """Return the time as it is stored: seconds since 1970, UTC."""
    return moment.timestamp()


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
