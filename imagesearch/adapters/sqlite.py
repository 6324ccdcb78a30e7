"""The catalog of the one-machine edition: one SQLite file, and search over all it holds.

What the states and durations mean is in `model.py`; Firestore, the same port in the cloud, has a
file of its own beside this one.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from imagesearch.adapters.sqlite_rows import (
    IMAGE_COLUMNS,
    SCHEMA_VERSION,
    Advance,
    Connection,
    advance,
    create_schema,
    embeddings_after,
    embeddings_of,
    epoch_seconds,
    exact_cosines,
    find_listed,
    find_pool,
    finish_when_done,
    forget_embeddings,
    forget_pool,
    has_lost_images,
    id_list,
    image_of,
    images_of,
    insert_embeddings,
    insert_listing,
    is_listed,
    known_pool,
    last_embedding_ever,
    listed_images,
    mark_embedded,
    mark_lost,
    mark_pending,
    mark_rejected,
    model_revisions,
    newest_embedding,
    object_names,
    row_that_lacks,
    set_columns,
    unused_images,
)
from imagesearch.adapters.vector_file import DamagedFile, FileBlocks, forget_others, path_of
from imagesearch.adapters.vector_index import VectorIndex
from imagesearch.adapters.vectors import sound_matrix, vector_bytes
from imagesearch.domain.errors import InvalidRequest, Overloaded, Unavailable
from imagesearch.domain.images import Embedding, Image, ListedImage, Listing, PackedPool
from imagesearch.domain.object_names import image_id_of
from imagesearch.domain.pools import (
    Pool,
    PoolKey,
    PoolPolicy,
    PoolRequest,
    PoolState,
    SourceOptions,
)

_BUSY_SECONDS = 10.0  # how long a transaction waits for another process's
_DAMAGED_FILE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_KEPT_LOG_BYTES = 64_000_000  # of the write-ahead log, once what it holds is in the file
_NAMED = 10  # images in one line of the log
_MAX_SEARCHES = 16  # under way at a time: each takes all cores, so that one goes after the other

logger = logging.getLogger(__name__)


class SqliteCatalog:
    """
    The port `Catalog` over the file *path*, which is made when it is absent.

    Threads share one connection, in turn; processes share the file. Killing a process leaves
    whole transactions; a loss of power may take the last of them, which leaves unfinished work
    that is published again.

    Search is exact, by a scan of integers that lie on disk beside the file, for the process that
    was the first to search; others have a copy in memory (decisions 0035 and 0055).

    A file that is removed or replaced while it is open is followed: the next call finds what is
    there now, or an empty catalog. *on_new_file* is called before, as copies of what the old one
    held are of no use; it may not call the catalog, and what it raises keeps the old file in use.

    Raises:
        Unavailable: the file cannot be opened, is no catalog or is one of another version.
    """

    def __init__(
        self,
        path: Path,
        policy: PoolPolicy,
        *,
        on_new_file: Callable[[], None] = lambda: None,
    ) -> None:
        self._path = path
        self._on_new_file = on_new_file
        self._policy = policy
        self._lock = threading.Lock()
        self._indexes: dict[str, VectorIndex] = {}
        # By file and model: the images of all rows up to this one have its embedding; and the row
        # of one that did not.
        self._covered: dict[tuple[object, str], int] = {}
        self._waiting: dict[tuple[object, str], int] = {}
        self._indexes_lock = threading.Lock()
        self._searches = threading.Semaphore(_MAX_SEARCHES)
        self._is_closed = False
        with _translated(path):
            self._connection = self._open()
        self._file = self._indexed_file = _identity(path)

    def close(self) -> None:
        """Close the file; every later call raises Unavailable."""
        with self._lock:
            self._is_closed = True
            self._connection.close()
        with self._indexes_lock:
            self._forget_indexes()

    def request_pool(self, key: PoolKey, now: datetime) -> PoolRequest:
        """Return the pool of *key*, created or due to be worked on: see the port."""
        pool = self.pool(key.pool_id)
        if pool is not None and pool.due_generation(now, self._policy) is None:
            return PoolRequest(pool, created=False)  # the common case takes no write lock
        with self._writing() as connection:
            created = self._request(connection, key, now)
            return PoolRequest(known_pool(connection, key.pool_id), created)

    def pool(self, pool_id: str) -> Pool | None:
        """Return the pool, or None."""
        with self._reading() as connection:
            return find_pool(connection, pool_id)

    def unfinished(self) -> list[Pool]:
        """Return the pools whose current generation is in progress, for a start to resume."""
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT pools.pool_id FROM pools JOIN generations AS g"
                " ON g.pool_id = pools.pool_id AND g.number = pools.current"
                " WHERE g.state NOT IN (?, ?) ORDER BY g.requested_at, pools.pool_id",
                (PoolState.READY, PoolState.FAILED),
            ).fetchall()
            pools = [find_pool(connection, pool_id) for (pool_id,) in rows]
            return [pool for pool in pools if pool is not None]

    def listed_original(self, object_name: str) -> tuple[str, SourceOptions, ListedImage] | None:
        """Return a keyword and its options whose pool listed the original, and as what; or None."""
        with self._reading() as connection:
            return find_listed(connection, object_name)

    def unused_originals(self) -> Callable[[Collection[str]], set[str]]:
        """
        Return what says which of some object names nobody needs; nothing may change meanwhile.

        Those are the originals of images that were rejected, and of images that are stored under
        another name by now. A name of which the catalog knows no image is not among them: it may
        belong to a catalog that was moved away.
        """
        with self._reading() as connection:
            unused = unused_images(connection)

        def of(names: Collection[str]) -> set[str]:
            with self._reading() as connection:
                current = object_names(connection, [image_id_of(name) for name in names])
            return {
                name
                for name in names
                if image_id_of(name) in unused or current.get(image_id_of(name), name) != name
            }

        return of

    def note_published(self, pool_id: str, generation: int, now: datetime) -> Pool | None:
        """Renew the lease."""
        return self._advance(
            pool_id, generation, lambda connection, pool: self._renew(connection, pool, now)
        )

    def begin_fetch(self, pool_id: str, generation: int, now: datetime) -> Pool | None:
        """Mark the generation `fetching` when `requested` and renew its lease."""

        def begin(connection: Connection, pool: Pool) -> None:
            if pool.current.state is PoolState.REQUESTED:
                set_columns(connection, pool, state=PoolState.FETCHING)
            self._renew(connection, pool, now)

        return self._advance(pool_id, generation, begin)

    def record_listing(
        self, pool_id: str, generation: int, listing: Listing, now: datetime
    ) -> Pool | None:
        """Record what the source offers; an image listed twice counts once."""

        def record(connection: Connection, pool: Pool) -> None:
            self._renew(connection, pool, now)
            if not is_listed(connection, pool_id, generation):
                insert_listing(connection, pool, listing)
                set_columns(connection, pool, is_listed=1)
            finish_when_done(connection, pool, now)

        return self._advance(pool_id, generation, record)

    def listing(self, pool_id: str, generation: int) -> Listing | None:
        """Return the listing as it was recorded, or None."""
        with self._reading() as connection:
            if not is_listed(connection, pool_id, generation):
                return None
            images = listed_images(connection, pool_id, generation, "download_url IS NOT NULL")
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
            return listed_images(connection, pool_id, generation, "state = 'pending'")

    def finish_fetch(self, pool_id: str, generation: int, now: datetime) -> Pool | None:
        """Mark a `fetching` generation `embedding` and renew its lease."""

        def finish(connection: Connection, pool: Pool) -> None:
            if pool.current.state is PoolState.FETCHING:
                set_columns(connection, pool, state=PoolState.EMBEDDING)
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
        vectors = {image_id: vector_bytes(image_id, one) for image_id, one in embeddings.items()}

        def record(connection: Connection, pool: Pool) -> None:
            done = [*embeddings, *reused]
            mark_embedded(connection, pool, done, model_revision)
            mark_rejected(connection, pool, rejections)
            self._renew(connection, pool, now)
            finish_when_done(connection, pool, now)

        with self._writing() as connection:
            insert_embeddings(connection, vectors, model_revision)
            return advance(connection, pool_id, generation, record)

    def embedded(self, image_ids: Collection[str], model_revision: str) -> set[str]:
        """Return those of *image_ids* that have an embedding of *model_revision*."""
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT image_id FROM embeddings WHERE model_revision = ?"
                " AND image_id IN (SELECT value FROM json_each(?))",
                (model_revision, id_list(image_ids)),
            )
            return {image_id for (image_id,) in rows}

    def packed_pool(self, pool_id: str, generation: int, model_revision: str) -> PackedPool:
        """Return the generation's images that have an embedding, but for the rejected ones."""
        with self._reading() as connection:
            rows = connection.execute(
                f"SELECT {IMAGE_COLUMNS}, embeddings.id, vector FROM members"
                " JOIN images USING (image_id)"
                " JOIN embeddings ON embeddings.image_id = members.image_id"
                " AND model_revision = ?"
                " WHERE pool_id = ? AND number = ? AND state IN ('pending', 'embedded')"
                " ORDER BY position",
                (model_revision, pool_id, generation),
            ).fetchall()
            is_torn = has_lost_images(connection, pool_id, generation)
        if is_torn:
            self._have_fetched_anew(pool_id, generation)
        sound, matrix, damaged = sound_matrix(rows)
        self._forget_embeddings([row[-2] for row in damaged])
        return PackedPool(tuple(image_of(row) for row in sound), matrix)

    def reopen(
        self, pool_id: str, generation: int, model_revision: str, now: datetime
    ) -> Pool | None:
        """Put a ready current generation back to `embedding` when images lack an embedding."""
        with self._writing() as connection:
            pool = find_pool(connection, pool_id)
            if pool is None or pool.current.number != generation:
                return None
            if pool.current.state is not PoolState.READY:
                return None
            if mark_pending(connection, pool, model_revision) == 0:
                return None
            set_columns(
                connection,
                pool,
                state=PoolState.EMBEDDING,
                ready_at=None,
                **self._first_lease(now),
            )
            connection.execute("UPDATE pools SET ready = NULL WHERE pool_id = ?", (pool_id,))
            return known_pool(connection, pool_id)

    def record_error(self, pool_id: str, generation: int, reason: str) -> None:
        """Keep *reason* as why the last attempt on a generation in progress failed."""
        self._advance(
            pool_id,
            generation,
            lambda connection, pool: set_columns(connection, pool, reason=reason),
        )

    def fail(self, pool_id: str, generation: int, reason: str, now: datetime) -> Pool | None:
        """Mark a generation in progress failed until the policy's retry time."""
        retry_at = epoch_seconds(now) + self._policy.retry_seconds

        def give_up(connection: Connection, pool: Pool) -> None:
            kept = pool.current.reason or reason
            set_columns(
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
        if not self._searches.acquire(blocking=False):
            # Waiting, they would take the threads that pools are searched with.
            raise Overloaded(
                f"{_MAX_SEARCHES} searches of the catalog are under way", retry_after_seconds=1.0
            )
        try:
            with self._indexes_lock:
                return self._nearest(query, k, model_revision)
        finally:
            self._searches.release()

    def lacks(self, model_revision: str) -> bool:
        """Return whether images that another model embedded, and this one never rejected, wait."""
        with self._reading() as connection:
            key = (self._file, model_revision)  # another file may have taken its place
            waiting = self._waiting.get(key, 0)
            if waiting and row_that_lacks(connection, model_revision, at=waiting):
                return True
            covered, newest = self._covered.get(key, 0), newest_embedding(connection)
            row = None
            if covered < newest:
                row = row_that_lacks(connection, model_revision, after=covered)
            if row is None:
                self._covered[key] = newest
                return False
            self._waiting[key] = row
            return True

    def check(self) -> None:
        """Return when the catalog answers and can be written, else raise Unavailable."""
        with self._writing() as connection:
            connection.execute("SELECT 1 FROM pools LIMIT 1").fetchall()
            # Its value stays, and yet a page is written: a full disk fails here.
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _nearest(
        self, query: Embedding, k: int, model_revision: str
    ) -> Sequence[tuple[Image, float]]:
        if self._indexed_file != self._file:  # another one has taken its place
            self._forget_indexes()
            self._indexed_file = self._file
        index = self._indexes.get(model_revision)
        if index is None:
            index = self._indexes[model_revision] = self._opened_index(model_revision)
        while True:
            try:
                self._bring_up_to_date(index, model_revision, len(query))
            except OSError as error:
                index = self._index_in_memory(index, model_revision, error)
                continue
            row_ids = index.candidates(query, k)
            with self._reading() as connection:
                cosines = exact_cosines(connection, row_ids, query)
                best = sorted(cosines.items(), key=lambda one: (-one[1][1], one[1][0]))[:k]
                images = images_of(connection, [image_id for _, (image_id, _) in best])
            if len(cosines) == len(row_ids):
                return [
                    (images[image_id], cosine)
                    for _, (image_id, cosine) in best
                    if image_id in images
                ]
            # Some have been replaced since the index took them over; others may be nearer.
            try:
                index.drop(set(row_ids) - cosines.keys())
            except OSError as error:
                index = self._index_in_memory(index, model_revision, error)

    def _bring_up_to_date(
        self, index: VectorIndex, model_revision: str, embedding_dim: int
    ) -> None:
        """Take over the rows that are new; the connection is let go of after every few."""
        is_behind = True
        while is_behind:
            with self._reading() as connection:
                rows, last_id, is_behind = embeddings_after(
                    connection, model_revision, index.last_id
                )
            sound, matrix, damaged = sound_matrix(rows, embedding_dim)
            self._forget_embeddings([row_id for row_id, _ in damaged])
            index.extend([row_id for row_id, _ in sound], matrix, last_id)
        if index.is_outgrown:
            index.clear()
            self._bring_up_to_date(index, model_revision, embedding_dim)

    def _opened_index(self, model_revision: str) -> VectorIndex:
        """Return the copy on disk, made anew where it is damaged, or one in memory."""
        path = path_of(self._path, model_revision)
        try:
            forget_others(self._path, [*self._model_revisions(), model_revision])
            try:
                blocks = FileBlocks(path)
            except DamagedFile as error:
                logger.warning("%s is made anew: %s", path.name, error)
                blocks = FileBlocks(path)
            index = VectorIndex(blocks, blocks.head)
            if not self._is_in_step(index, model_revision):
                logger.warning("%s is made anew: its rows are not those of the catalog", path.name)
                index.clear()
        except OSError as error:  # another process has it, or the folder cannot be written to
            logger.info("%s cannot be used, memory is: %s", path.name, error)
            return VectorIndex()
        return index

    def _is_in_step(self, index: VectorIndex, model_revision: str) -> bool:
        """Compare some of the copies with what the catalog has of them; the rest are new to it."""
        ids = index.sampled_ids()
        with self._reading() as connection:
            if index.last_id > last_embedding_ever(connection):
                return False
            rows = embeddings_of(connection, ids, model_revision)
        sound, matrix, _ = sound_matrix(rows)
        if not sound:
            return not ids
        return index.stands_for([row_id for row_id, _ in sound], matrix)

    def _index_in_memory(
        self, index: VectorIndex, model_revision: str, error: OSError
    ) -> VectorIndex:
        """Return an index in memory in place of one whose file cannot be written to."""
        path = path_of(self._path, model_revision)
        logger.warning("%s cannot be written to, memory is used: %s", path.name, error)
        index.close()
        with suppress(OSError):
            path.unlink(missing_ok=True)
        self._indexes[model_revision] = VectorIndex()
        return self._indexes[model_revision]

    def _model_revisions(self) -> list[str]:
        with self._reading() as connection:
            return model_revisions(connection)

    def _forget_indexes(self) -> None:
        for index in self._indexes.values():
            index.close()
        self._indexes.clear()

    def _have_fetched_anew(self, pool_id: str, generation: int) -> None:
        """Have a pool that lists images of which nothing is known count as damaged."""
        try:
            with self._writing() as connection:
                mark_lost(connection, pool_id, generation)
        except Unavailable as error:
            logger.warning("pool_id=%s stays as it is: %s", pool_id, error)

    def _forget_embeddings(self, row_ids: Collection[int]) -> None:
        """Delete damaged embeddings: the next search on their pool has them made anew."""
        if not row_ids:
            return
        try:
            with self._writing() as connection:
                image_ids = forget_embeddings(connection, row_ids)
                self._covered.clear()
        except Unavailable as error:  # a disk that is full: they are left out all the same
            logger.warning("%d damaged embeddings stay where they are: %s", len(row_ids), error)
            return
        named = ", ".join(image_ids[:_NAMED])
        logger.warning("%d damaged embeddings are deleted: %s", len(image_ids), named)

    def _open(self) -> Connection:
        """Return a connection to the file, which has its tables; sqlite3.Error if it cannot be."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(
            self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            # Bytes that are no text cost themselves, and not whoever reads beside them.
            connection.text_factory = lambda data: data.decode("utf-8", "replace")
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: Connection) -> None:
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version == 0 and not connection.execute("SELECT 1 FROM sqlite_schema").fetchone():
                create_schema(connection)
            elif version != SCHEMA_VERSION:
                raise Unavailable(
                    f"{self._path.name} has catalog schema {version}, this program needs"
                    f" {SCHEMA_VERSION}: move the file away to begin anew"
                )
        _use_write_ahead_log(connection)
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA journal_size_limit = {_KEPT_LOG_BYTES}")

    def _follow_file(self) -> None:
        """Go on with the file that is there, or a new one, when it was removed or replaced."""
        if self._is_closed or (identity := _identity(self._path)) == self._file:
            return
        logger.warning("the catalog %s is another file than before, or none", self._path)
        self._on_new_file()
        opened = self._open()  # when it cannot be, the old one may come back
        self._connection.close()
        self._connection, self._file = opened, identity or _identity(self._path)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """Hold the connection in a transaction that sees one state of the file."""
        with self._transaction("DEFERRED") as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """Hold the connection in a transaction that no other writer can get between."""
        with self._transaction("IMMEDIATE") as connection:
            yield connection

    @contextmanager
    def _transaction(self, kind: str) -> Iterator[Connection]:
        with _translated(self._path), self._lock:
            self._follow_file()
            # The connection as a context commits, or rolls back when anything is raised.
            with self._connection as connection:
                connection.execute(f"BEGIN {kind}")
                yield connection

    def _advance(self, pool_id: str, generation: int, change: Advance) -> Pool | None:
        with self._writing() as connection:
            return advance(connection, pool_id, generation, change)

    def _request(self, connection: Connection, key: PoolKey, now: datetime) -> bool:
        """Create the pool or what is due of it; True when the caller must publish."""
        pool = find_pool(connection, key.pool_id)
        if pool is None:
            number = forget_pool(connection, key.pool_id)
            connection.execute(
                "INSERT INTO pools (pool_id, keyword, options, current) VALUES (?, ?, ?, ?)",
                (key.pool_id, key.keyword, json.dumps(asdict(key.options)), number),
            )
            self._begin_generation(connection, key.pool_id, number, now)
            return True
        due = pool.due_generation(now, self._policy)
        if due is None:
            return False
        if due == pool.current.number:
            set_columns(connection, pool, **self._first_lease(now))
        else:
            self._begin_generation(connection, key.pool_id, due, now)
        return True

    def _begin_generation(
        self, connection: Connection, pool_id: str, number: int, now: datetime
    ) -> None:
        connection.execute(
            "INSERT INTO generations (pool_id, number, state, requested_at, lease_until)"
            " VALUES (:pool_id, :number, :state, :requested_at, :lease_until)",
            {
                **{"pool_id": pool_id, "number": number, "state": PoolState.REQUESTED},
                **self._first_lease(now),
            },
        )
        connection.execute("UPDATE pools SET current = ? WHERE pool_id = ?", (number, pool_id))

    def _first_lease(self, now: datetime) -> dict[str, float]:
        """Return the columns of the lease of a pool whose job is still to be published."""
        begun = epoch_seconds(now)
        return {"requested_at": begun, "lease_until": begun + self._policy.lease_seconds}

    def _renew(self, connection: Connection, pool: Pool, now: datetime) -> None:
        lease_until = epoch_seconds(now) + self._policy.queue_seconds
        set_columns(connection, pool, lease_until=lease_until)


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what tells the file at *path* from every other, or None when there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _use_write_ahead_log(connection: Connection) -> None:
    """Have readers and a writer of other processes not wait for each other."""
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
        except sqlite3.OperationalError as error:
            # For this lock SQLite itself does not wait, and a new file may be opened twice.
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.005)
        else:
            return


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        logger.warning("the catalog %s failed: %s", path, error)
        is_damaged = getattr(error, "sqlite_errorcode", None) in _DAMAGED_FILE
        hint = "; move the file away to begin anew" if is_damaged else ""
        reason = error.strerror if isinstance(error, OSError) else error
        raise Unavailable(f"the catalog {path.name} failed: {reason}{hint}") from error
    except UnicodeEncodeError as error:  # a lone surrogate, which UTF-8 cannot hold
        raise InvalidRequest(f"text for the catalog is not Unicode: {error}") from error
