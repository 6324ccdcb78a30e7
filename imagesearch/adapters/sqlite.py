"""The catalog of the one-machine edition: one SQLite file, exact search over all it holds.

What the states and durations mean is in `model.py`; Firestore, the same port in the cloud, has a
file of its own beside this one.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from imagesearch.errors import Bug, InvalidRequest, Unavailable
from imagesearch.model import (
    Credit,
    Embedding,
    Embeddings,
    Generation,
    Image,
    ListedImage,
    Listing,
    PackedPool,
    Pool,
    PoolKey,
    PoolPolicy,
    PoolRequest,
    PoolState,
    SourceOptions,
)

_SCHEMA_VERSION = 1
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
_IMAGE = "images.image_id, object_name, page_url, width, height, credit_user, credit_source, tags"
_BUSY_SECONDS = 10.0  # how long a transaction waits for another process's

_Connection: TypeAlias = sqlite3.Connection
_Advance: TypeAlias = Callable[[_Connection, Pool], None]


class SqliteCatalog:
    """
    The port `Catalog` over the file *path*, which is made when it is absent.

    Threads share one connection, in turn; processes share the file. Killing a process leaves
    whole transactions; a loss of power may take the last of them, which leaves unfinished work
    that is published again. The embeddings of a revision are also kept in memory once they
    have been searched: 4 x embedding_dim bytes an image.

    Raises:
        Unavailable: the file cannot be opened, is no catalog or is one of another version.
    """

    def __init__(self, path: Path, policy: PoolPolicy) -> None:
        self._path = path
        self._policy = policy
        self._lock = threading.Lock()
        self._indexes: dict[str, _Index] = {}
        self._indexes_lock = threading.Lock()
        with _translated(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Close the file; every later call raises Unavailable."""
        with self._lock:
            self._connection.close()

    def request_pool(self, key: PoolKey, now: datetime) -> PoolRequest:
        """Return the pool of *key*, created or due to be worked on: see the port."""
        pool = self.pool(key.pool_id)
        if pool is not None and pool.due_generation(now, self._policy) is None:
            return PoolRequest(pool, created=False)  # the common case takes no write lock
        with self._writing() as connection:
            created = self._request(connection, key, now)
            return PoolRequest(_known_pool(connection, key.pool_id), created)

    def pool(self, pool_id: str) -> Pool | None:
        """Return the pool, or None."""
        with self._reading() as connection:
            return _find_pool(connection, pool_id)

    def unfinished(self) -> list[Pool]:
        """Return the pools whose current generation is in progress, for a start to resume."""
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT pools.pool_id FROM pools JOIN generations AS g"
                " ON g.pool_id = pools.pool_id AND g.number = pools.current"
                " WHERE g.state NOT IN (?, ?) ORDER BY g.requested_at, pools.pool_id",
                (PoolState.READY, PoolState.FAILED),
            ).fetchall()
            return [_known_pool(connection, pool_id) for (pool_id,) in rows]

    def begin_fetch(self, pool_id: str, generation: int, now: datetime) -> Pool | None:
        """Mark the generation `fetching` when `requested` and renew its lease."""

        def begin(connection: _Connection, pool: Pool) -> None:
            if pool.current.state is PoolState.REQUESTED:
                _set(connection, pool, state=PoolState.FETCHING)
            self._renew(connection, pool, now)

        return self._advance(pool_id, generation, begin)

    def record_listing(
        self, pool_id: str, generation: int, listing: Listing, now: datetime
    ) -> Pool | None:
        """Record what the source offers; an image listed twice counts once."""

        def record(connection: _Connection, pool: Pool) -> None:
            self._renew(connection, pool, now)
            if not _is_listed(connection, pool_id, generation):
                _insert_listing(connection, pool, listing)
                _set(connection, pool, is_listed=1)
            _finish_when_done(connection, pool, now)

        return self._advance(pool_id, generation, record)

    def listing(self, pool_id: str, generation: int) -> Listing | None:
        """Return the listing as it was recorded, or None."""
        with self._reading() as connection:
            if not _is_listed(connection, pool_id, generation):
                return None
            images = _listed(connection, pool_id, generation, "download_url IS NOT NULL")
            refused = connection.execute(
                "SELECT image_id, reason FROM members WHERE pool_id = ? AND number = ?"
                " AND state = 'refused' ORDER BY position",
                (pool_id, generation),
            )
            return Listing(images, dict(refused.fetchall()))

    def rejections(self, pool_id: str, generation: int) -> Mapping[str, str]:
        """Return the reason of each image that was rejected, by image_id."""
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT image_id, reason FROM members"
                " WHERE pool_id = ? AND number = ? AND state IN ('rejected', 'refused')"
                " ORDER BY position",
                (pool_id, generation),
            )
            return dict(rows.fetchall())

    def pending(self, pool_id: str, generation: int) -> Sequence[ListedImage]:
        """Return the listed images that are neither embedded nor rejected, in listing order."""
        with self._reading() as connection:
            return _listed(connection, pool_id, generation, "state = 'pending'")

    def finish_fetch(self, pool_id: str, generation: int, now: datetime) -> Pool | None:
        """Mark a `fetching` generation `embedding` and renew its lease."""

        def finish(connection: _Connection, pool: Pool) -> None:
            if pool.current.state is PoolState.FETCHING:
                _set(connection, pool, state=PoolState.EMBEDDING)
            self._renew(connection, pool, now)

        return self._advance(pool_id, generation, finish)

    def record_batch(
        self,
        pool_id: str,
        generation: int,
        *,
        model_revision: str,
        embeddings: Mapping[str, Embedding],
        rejections: Mapping[str, str],
        reused: Collection[str] = (),
        now: datetime,
    ) -> Pool | None:
        """
        Store *embeddings*, mark them, the *reused* and the *rejections* done: see the port.

        What comes first about an image stays. Embeddings of images that no pool ever listed
        are left out, and so are *reused* images that have no embedding of *model_revision*.
        """
        vectors = {image_id: _packed(image_id, one) for image_id, one in embeddings.items()}

        def record(connection: _Connection, pool: Pool) -> None:
            done = [*embeddings, *reused]
            _mark_embedded(connection, pool, done, model_revision)
            _mark_rejected(connection, pool, rejections)
            self._renew(connection, pool, now)
            _finish_when_done(connection, pool, now)

        with self._writing() as connection:
            _insert_embeddings(connection, vectors, model_revision)
            return _advance(connection, pool_id, generation, record)

    def embedded(self, image_ids: Collection[str], model_revision: str) -> set[str]:
        """Return those of *image_ids* that have an embedding of *model_revision*."""
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT image_id FROM embeddings WHERE model_revision = ?"
                " AND image_id IN (SELECT value FROM json_each(?))",
                (model_revision, _json(image_ids)),
            )
            return {image_id for (image_id,) in rows}

    def packed_pool(self, pool_id: str, generation: int, model_revision: str) -> PackedPool:
        """Return the generation's images that have an embedding, but for the rejected ones."""
        with self._reading() as connection:
            rows = connection.execute(
                f"SELECT {_IMAGE}, vector FROM members"
                " JOIN images USING (image_id)"
                " JOIN embeddings ON embeddings.image_id = members.image_id"
                " AND model_revision = ?"
                " WHERE pool_id = ? AND number = ? AND state IN ('pending', 'embedded')"
                " ORDER BY position",
                (model_revision, pool_id, generation),
            ).fetchall()
        return PackedPool(tuple(_image(row) for row in rows), _matrix([row[-1] for row in rows]))

    def reopen(
        self, pool_id: str, generation: int, model_revision: str, now: datetime
    ) -> Pool | None:
        """Put a ready current generation back to `embedding` when images lack an embedding."""
        with self._writing() as connection:
            pool = _find_pool(connection, pool_id)
            if pool is None or pool.current.number != generation:
                return None
            if pool.current.state is not PoolState.READY:
                return None
            if _mark_pending(connection, pool, model_revision) == 0:
                return None
            _set(connection, pool, state=PoolState.EMBEDDING, ready_at=None)
            self._renew(connection, pool, now)
            connection.execute("UPDATE pools SET ready = NULL WHERE pool_id = ?", (pool_id,))
            return _known_pool(connection, pool_id)

    def record_error(self, pool_id: str, generation: int, reason: str) -> None:
        """Keep *reason* as why the last attempt on a generation in progress failed."""
        self._advance(
            pool_id, generation, lambda connection, pool: _set(connection, pool, reason=reason)
        )

    def fail(self, pool_id: str, generation: int, reason: str, now: datetime) -> Pool | None:
        """Mark a generation in progress failed until the policy's retry time."""
        retry_at = _seconds(now) + self._policy.retry_seconds

        def give_up(connection: _Connection, pool: Pool) -> None:
            kept = pool.current.reason or reason
            _set(
                connection,
                pool,
                state=PoolState.FAILED,
                reason=kept,
                retry_at=retry_at,
                lease_until=None,
            )

        return self._advance(pool_id, generation, give_up)

    def nearest(
        self, query: Embedding, k: int, model_revision: str
    ) -> Sequence[tuple[Image, float]]:
        """Return the *k* images nearest to *query* with their cosines: see the port."""
        with self._indexes_lock:
            index = self._indexes.setdefault(model_revision, _Index())
            with self._reading() as connection:
                index.extend(_embeddings_after(connection, model_revision, index.last_id))
            found = index.nearest(query, k)
        with self._reading() as connection:
            images = _images(connection, [image_id for image_id, _ in found])
        return [(images[image_id], cosine) for image_id, cosine in found]

    def check(self) -> None:
        """Return when the catalog answers, else raise Unavailable."""
        with self._reading() as connection:
            connection.execute("SELECT 1 FROM pools LIMIT 1").fetchall()

    def _prepare(self) -> None:
        with self._writing() as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version == 0 and not connection.execute("SELECT 1 FROM sqlite_schema").fetchone():
                _create_schema(connection)
            elif version != _SCHEMA_VERSION:
                raise Unavailable(
                    f"{self._path} has catalog schema {version}, this program needs"
                    f" {_SCHEMA_VERSION}: move the file away to begin anew"
                )
        with _translated(self._path):
            self._use_write_ahead_log()
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.execute("PRAGMA foreign_keys = ON")

    def _use_write_ahead_log(self) -> None:
        """Have readers and a writer of other processes not wait for each other."""
        deadline = time.monotonic() + _BUSY_SECONDS
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode = WAL").fetchall()
            except sqlite3.OperationalError as error:
                # For this lock SQLite itself does not wait, and a new file may be opened twice.
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.005)
            else:
                return

    @contextmanager
    def _reading(self) -> Iterator[_Connection]:
        """Hold the connection in a transaction that sees one state of the file."""
        with self._transaction("DEFERRED") as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[_Connection]:
        """Hold the connection in a transaction that no other writer can get between."""
        with self._transaction("IMMEDIATE") as connection:
            yield connection

    @contextmanager
    def _transaction(self, kind: str) -> Iterator[_Connection]:
        # The connection as a context commits, or rolls back when anything is raised.
        with _translated(self._path), self._lock, self._connection:
            self._connection.execute(f"BEGIN {kind}")
            yield self._connection

    def _advance(self, pool_id: str, generation: int, change: _Advance) -> Pool | None:
        with self._writing() as connection:
            return _advance(connection, pool_id, generation, change)

    def _request(self, connection: _Connection, key: PoolKey, now: datetime) -> bool:
        """Create the pool or what is due of it; True when the caller must publish."""
        pool = _find_pool(connection, key.pool_id)
        if pool is None:
            connection.execute(
                "INSERT INTO pools (pool_id, keyword, options, current) VALUES (?, ?, ?, 1)",
                (key.pool_id, key.keyword, json.dumps(asdict(key.options))),
            )
            self._begin_generation(connection, key.pool_id, 1, now)
            return True
        due = pool.due_generation(now, self._policy)
        if due is None:
            return False
        if due == pool.current.number:
            self._renew(connection, pool, now)
        else:
            self._begin_generation(connection, key.pool_id, due, now)
        return True

    def _begin_generation(
        self, connection: _Connection, pool_id: str, number: int, now: datetime
    ) -> None:
        connection.execute(
            "INSERT INTO generations (pool_id, number, state, requested_at, lease_until)"
            " VALUES (?, ?, ?, ?, ?)",
            (pool_id, number, PoolState.REQUESTED, _seconds(now), self._lease_until(now)),
        )
        connection.execute("UPDATE pools SET current = ? WHERE pool_id = ?", (number, pool_id))

    def _renew(self, connection: _Connection, pool: Pool, now: datetime) -> None:
        _set(connection, pool, lease_until=self._lease_until(now))

    def _lease_until(self, now: datetime) -> float:
        return _seconds(now) + self._policy.lease_seconds


class _Index:
    """The embeddings of one model revision in memory, kept up with the rows of the file."""

    def __init__(self) -> None:
        self.last_id = 0
        self._positions: dict[str, int] = {}
        self._image_ids: list[str] = []
        self._rows: Embeddings = np.empty((0, 0), np.float32)  # (capacity, embedding_dim)

    def extend(self, rows: Iterable[tuple[int, str, bytes]]) -> None:
        """Take over *rows* of (id, image_id, vector); the newest of an image counts."""
        for row_id, image_id, vector in rows:
            row = np.frombuffer(vector, "<f4")
            position = self._positions.get(image_id, len(self._image_ids))
            if position == len(self._rows):
                room = np.empty((position + 1024, len(row)), np.float32)
                self._rows = np.concatenate([self._rows.reshape(-1, len(row)), room])
            self._rows[position] = row
            if position == len(self._image_ids):
                self._positions[image_id] = position
                self._image_ids.append(image_id)
            self.last_id = row_id

    def nearest(self, query: Embedding, k: int) -> list[tuple[str, float]]:
        """Return the *k* nearest image_ids with their cosines, best first, ties by image_id."""
        rows = self._rows[: len(self._image_ids)]  # (n, d)
        k = min(k, len(rows))
        if k <= 0:
            return []
        if query.shape != rows.shape[1:]:
            raise Bug(f"a query must have shape {rows.shape[1:]}, got {query.shape}")
        rough = rows @ query  # (n, d) @ (d,) -> (n,)
        # A product's last bits depend on a row's place: equal images would not tie. So all near
        # the k-th are computed again, each row by itself.
        threshold = np.partition(rough, len(rough) - k)[len(rough) - k] - 1e-4
        near = np.flatnonzero(rough >= threshold)  # (m,), m >= k
        cosines = (rows[near].astype(np.float64) * query).sum(axis=1)  # (m,)
        image_ids = np.array([self._image_ids[i] for i in near])
        best = np.lexsort((image_ids, -cosines))[:k]
        return [(str(image_ids[i]), float(cosines[i])) for i in best]


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise Unavailable(f"the catalog {path} failed: {error}") from error
    except UnicodeEncodeError as error:  # a lone surrogate, which UTF-8 cannot hold
        raise InvalidRequest(f"text for the catalog is not Unicode: {error}") from error


def _create_schema(connection: _Connection) -> None:
    # One by one: `executescript` would commit, and another process see half a schema.
    for statement in _SCHEMA.split(";"):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")


def _advance(
    connection: _Connection, pool_id: str, generation: int, change: _Advance
) -> Pool | None:
    """Apply *change* when the generation is the current one and in progress."""
    pool = _find_pool(connection, pool_id)
    if pool is None or pool.current.number != generation or not pool.current.state.in_progress:
        return None
    change(connection, pool)
    return _known_pool(connection, pool_id)


def _set(connection: _Connection, pool: Pool, **columns: object) -> None:
    """Change *columns* of the pool's current generation."""
    assignments = ", ".join(f"{name} = ?" for name in columns)
    connection.execute(
        f"UPDATE generations SET {assignments} WHERE pool_id = ? AND number = ?",
        (*columns.values(), pool.pool_id, pool.current.number),
    )


def _finish_when_done(connection: _Connection, pool: Pool, now: datetime) -> None:
    """Mark the current generation ready when it is listed and nothing is pending."""
    pool_id, number = pool.pool_id, pool.current.number
    pending = connection.execute(
        "SELECT 1 FROM members WHERE pool_id = ? AND number = ? AND state = 'pending'",
        (pool_id, number),
    )
    if pending.fetchone() or not _is_listed(connection, pool_id, number):
        return
    _set(
        connection,
        pool,
        state=PoolState.READY,
        ready_at=_seconds(now),
        lease_until=None,
        reason=None,
    )
    connection.execute("UPDATE pools SET ready = ? WHERE pool_id = ?", (number, pool_id))
    # Searches under way may still read the generation that was ready until now.
    oldest = pool.ready.number if pool.ready else number
    connection.execute(
        "DELETE FROM generations WHERE pool_id = ? AND number < ?", (pool_id, oldest)
    )


def _find_pool(connection: _Connection, pool_id: str) -> Pool | None:
    row = connection.execute(
        "SELECT keyword, options, current, ready FROM pools WHERE pool_id = ?", (pool_id,)
    ).fetchone()
    if row is None:
        return None
    keyword, options, current, ready = row
    return Pool(
        pool_id,
        keyword,
        SourceOptions(**json.loads(options)),
        _generation(connection, pool_id, current),
        None if ready is None else _generation(connection, pool_id, ready),
    )


def _known_pool(connection: _Connection, pool_id: str) -> Pool:
    pool = _find_pool(connection, pool_id)
    if pool is None:
        raise Bug(f"pool {pool_id} vanished within a transaction")
    return pool


def _generation(connection: _Connection, pool_id: str, number: int) -> Generation:
    """Read a generation; its counts are those of its rows."""
    state, requested_at, lease_until, ready_at, retry_at, reason = connection.execute(
        "SELECT state, requested_at, lease_until, ready_at, retry_at, reason"
        " FROM generations WHERE pool_id = ? AND number = ?",
        (pool_id, number),
    ).fetchone()
    images, embedded, rejected = connection.execute(
        "SELECT COUNT(*), TOTAL(state = 'embedded'), TOTAL(state IN ('rejected', 'refused'))"
        " FROM members WHERE pool_id = ? AND number = ?",
        (pool_id, number),
    ).fetchone()
    return Generation(
        number=number,
        state=PoolState(state),
        requested_at=datetime.fromtimestamp(requested_at, UTC),
        images=images,
        embedded=int(embedded),
        rejected=int(rejected),
        lease_until=_time(lease_until),
        ready_at=_time(ready_at),
        retry_at=_time(retry_at),
        reason=reason,
    )


def _is_listed(connection: _Connection, pool_id: str, number: int) -> bool:
    row = connection.execute(
        "SELECT is_listed FROM generations WHERE pool_id = ? AND number = ?", (pool_id, number)
    ).fetchone()
    return row is not None and bool(row[0])


def _insert_listing(connection: _Connection, pool: Pool, listing: Listing) -> None:
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


def _listed(
    connection: _Connection, pool_id: str, number: int, condition: str
) -> tuple[ListedImage, ...]:
    """Return the listed images that meet the SQL *condition*, in listing order."""
    rows = connection.execute(
        f"SELECT {_IMAGE}, download_url FROM members JOIN images USING (image_id)"
        f" WHERE pool_id = ? AND number = ? AND {condition} ORDER BY position",
        (pool_id, number),
    )
    return tuple(ListedImage(_image(row), row[-1]) for row in rows)


def _insert_embeddings(
    connection: _Connection, vectors: Mapping[str, bytes], model_revision: str
) -> None:
    # A replaced row gets a new id, which is how every index in memory learns of it.
    connection.executemany(
        "INSERT OR REPLACE INTO embeddings (image_id, model_revision, vector)"
        " SELECT image_id, ?, ? FROM images WHERE image_id = ?",
        [(model_revision, vector, image_id) for image_id, vector in vectors.items()],
    )


def _mark_embedded(
    connection: _Connection, pool: Pool, image_ids: Collection[str], model_revision: str
) -> None:
    connection.execute(
        "UPDATE members SET state = 'embedded' WHERE pool_id = ? AND number = ?"
        " AND state = 'pending' AND image_id IN (SELECT value FROM json_each(?))"
        " AND EXISTS (SELECT 1 FROM embeddings AS e"
        "  WHERE e.image_id = members.image_id AND e.model_revision = ?)",
        (pool.pool_id, pool.current.number, _json(image_ids), model_revision),
    )


def _mark_rejected(connection: _Connection, pool: Pool, rejections: Mapping[str, str]) -> None:
    connection.executemany(
        "UPDATE members SET state = 'rejected', reason = ?"
        " WHERE pool_id = ? AND number = ? AND image_id = ? AND state = 'pending'",
        [
            (reason, pool.pool_id, pool.current.number, image_id)
            for image_id, reason in rejections.items()
        ],
    )


def _mark_pending(connection: _Connection, pool: Pool, model_revision: str) -> int:
    """Return how many embedded images lack *model_revision* and so are pending again."""
    return connection.execute(
        "UPDATE members SET state = 'pending' WHERE pool_id = ? AND number = ?"
        " AND state = 'embedded' AND NOT EXISTS (SELECT 1 FROM embeddings AS e"
        "  WHERE e.image_id = members.image_id AND e.model_revision = ?)",
        (pool.pool_id, pool.current.number, model_revision),
    ).rowcount


def _embeddings_after(
    connection: _Connection, model_revision: str, last_id: int
) -> Iterable[tuple[int, str, bytes]]:
    return connection.execute(
        "SELECT id, image_id, vector FROM embeddings"
        " WHERE model_revision = ? AND id > ? ORDER BY id",
        (model_revision, last_id),
    )


def _images(connection: _Connection, image_ids: Collection[str]) -> dict[str, Image]:
    rows = connection.execute(
        f"SELECT {_IMAGE} FROM images WHERE image_id IN (SELECT value FROM json_each(?))",
        (_json(image_ids),),
    )
    return {row[0]: _image(row) for row in rows}


def _image(row: Sequence[Any]) -> Image:
    image_id, object_name, page_url, width, height, user, source, tags = row[:8]
    credit = Credit(user, source)
    return Image(image_id, object_name, page_url, width, height, credit, tuple(json.loads(tags)))


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


def _packed(image_id: str, embedding: Embedding) -> bytes:
    if embedding.ndim != 1 or not np.isfinite(embedding).all():
        raise Bug(f"the embedding of {image_id} must be one finite row, got {embedding!r:.200}")
    return embedding.astype("<f4").tobytes()


def _matrix(vectors: Sequence[bytes]) -> Embeddings:
    """Return *vectors* as the rows of one matrix, (0, 0) when there is none."""
    if not vectors:
        return np.empty((0, 0), np.float32)
    return np.frombuffer(b"".join(vectors), "<f4").reshape(len(vectors), -1).astype(np.float32)


def _json(image_ids: Collection[str]) -> str:
    """Return ids as the one parameter of an IN list, which may be longer than SQLite's limit."""
    return json.dumps(list(image_ids))


def _seconds(moment: datetime) -> float:
    return moment.timestamp()


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
