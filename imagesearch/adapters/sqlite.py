"""The SQLite file of the one-machine edition: its tables, its transactions, and who may be in one.

The ports `Pools` and `Library` are over it in `pools/sqlite.py` and `libraries/sqlite.py`.
"""

from __future__ import annotations

import json
import logging
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeAlias

from imagesearch.adapters.sqlite_migration import (
    add_collected,
    add_facts,
    add_licence,
    note_all_used,
    take_over_pools,
)
from imagesearch.domain.errors import InvalidRequest, Unavailable

Connection: TypeAlias = sqlite3.Connection
FileId: TypeAlias = tuple[int, int] | None  # device and inode, None when there is none

SCHEMA_VERSION = 7
_BUSY_SECONDS = 10.0  # how long a transaction waits for another process's
_DAMAGED_FILE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_KEPT_LOG_BYTES = 64_000_000  # of the write-ahead log, once what it holds is in the file
# `records.py` says what is in record, states, reasons and listing. The image_ids are those that
# the states are of, in JSON: to find an image's listings without unpacking them all.
_POOLS = """
CREATE TABLE records (
    pool_id TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    record TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE listings (
    pool_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    states TEXT NOT NULL,
    reasons TEXT NOT NULL,
    image_ids TEXT NOT NULL,
    listing BLOB NOT NULL,
    PRIMARY KEY (pool_id, number)
);
"""
_LIBRARY = """
CREATE TABLE images (
    image_id TEXT PRIMARY KEY,
    object_name TEXT NOT NULL,
    page_url TEXT NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    credit_user TEXT NOT NULL,
    credit_source TEXT NOT NULL,
    tags TEXT NOT NULL,
    pixel_hash INTEGER,
    colours INTEGER NOT NULL DEFAULT 0,
    year INTEGER NOT NULL DEFAULT 0,
    month INTEGER NOT NULL DEFAULT 0,
    licence TEXT NOT NULL DEFAULT '',
    licence_url TEXT NOT NULL DEFAULT '',
    collected TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
CREATE TABLE embeddings (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    image_id TEXT NOT NULL REFERENCES images,
    model_revision TEXT NOT NULL,
    vector BLOB NOT NULL,
    UNIQUE (model_revision, image_id)
);
"""
# `wanted` counts who asked for an update, and `done` up to whom it was made: a process that has
# the data folder does for others what they ask for. `to_renew` has the images whose files changed,
# until the library says of them what these do.
_COLLECTIONS = """
CREATE TABLE collections (
    name TEXT PRIMARY KEY,
    root TEXT NOT NULL UNIQUE,
    keeps_place INTEGER NOT NULL,
    wanted INTEGER NOT NULL DEFAULT 0,
    done INTEGER NOT NULL DEFAULT 0,
    progress TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
CREATE TABLE files (
    collection TEXT NOT NULL REFERENCES collections,
    path TEXT NOT NULL,
    size INTEGER NOT NULL,
    modified_ns INTEGER NOT NULL,
    image_id TEXT NOT NULL,
    problem TEXT NOT NULL,
    file TEXT NOT NULL,
    PRIMARY KEY (collection, path)
) WITHOUT ROWID;
CREATE INDEX files_of_images ON files (image_id);
CREATE TABLE to_renew (image_id TEXT PRIMARY KEY) WITHOUT ROWID;
"""
# Of `counters`, `forgotten` counts what is forgotten, and `number` is the largest that a generation
# of a forgotten pool had. A day is counted from 1970.
_RETENTION = """
CREATE TABLE withdrawn (
    image_id TEXT PRIMARY KEY,
    at REAL NOT NULL,
    reason TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE uses (
    image_id TEXT PRIMARY KEY,
    day INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX uses_by_day ON uses (day);
CREATE TABLE counters (
    name TEXT PRIMARY KEY,
    count INTEGER NOT NULL
) WITHOUT ROWID;
"""
# What an image's tags, title and folders say, of a row of `images`; damaged ones say nothing.
# Of no row group_concat makes NULL.
_LIST = "coalesce((SELECT group_concat(value, ' ') FROM json_each({})), '')"
_COLLECTED = "iif(json_valid(collected), collected, '{}')"
_SAID = " || ' ' || ".join(
    (
        _LIST.format("iif(typeof(tags) = 'text' AND json_valid(tags), tags, '[]')"),
        f"coalesce(json_extract({_COLLECTED}, '$.title'), '')",
        _LIST.format(
            f"iif(json_type({_COLLECTED}, '$.folders') = 'array',"
            " json_extract(collected, '$.folders'), '[]')"
        ),
    )
)
# The words of each embedding's image, under the embedding's id: what changes an image's tags gives
# its embeddings new ids, see `SqliteLibrary.put`.
_TAG_WORDS = (
    "CREATE VIRTUAL TABLE tag_words"
    " USING fts5(words, tokenize = 'porter unicode61 remove_diacritics 0')"
)
_TRIGGERS = f"""
CREATE TRIGGER words_of_new AFTER INSERT ON embeddings BEGIN
    INSERT INTO tag_words (rowid, words)
        SELECT new.id, {_SAID} FROM images WHERE image_id = new.image_id;
END;
CREATE TRIGGER words_of_old AFTER DELETE ON embeddings BEGIN
    DELETE FROM tag_words WHERE rowid = old.id;
END;
"""
_WORDS_OF_ALL = f"""
INSERT INTO tag_words (rowid, words) SELECT embeddings.id, {_SAID}
    FROM embeddings CROSS JOIN images USING (image_id)
"""
logger = logging.getLogger(__name__)


class SqliteFile:
    """
    The file *path*, which is made when it is absent, and brought up to date when it is older.

    Threads share one connection, in turn; processes share the file. Killing a process leaves
    whole transactions; a loss of power may take the last of them, which leaves unfinished work
    that is published again.

    A file that is removed or replaced while it is open is followed: the next call finds what is
    there now, or an empty catalog. *on_new_file* is called before, as copies of what the old one
    held are of no use; it may not call the catalog, and what it raises keeps the old file in use.
    New pools then count on from *last_number*: messages and copies of what the old file held may
    outlive it in this process, and must not be taken for those of a new generation.

    Attributes:
        path: where it lies.
        identity: tells the file in use from every other; to be read within a transaction.
        last_number: the largest number of a generation in the files before this one; to be read
            within a transaction.

    Raises:
        Unavailable: the file cannot be opened, is no catalog or is one of an unknown version.
    """

    def __init__(self, path: Path, *, on_new_file: Callable[[], None] = lambda: None) -> None:
        self.path = path
        self._on_new_file = on_new_file
        self._lock = threading.Lock()
        self._is_closed = False
        with _translated(path):
            self._connection = self._open()
            self._largest_number = _largest_number(self._connection)
        self.identity = _identity(path)
        self.last_number = 0

    def close(self) -> None:
        """Close the file; every later call raises Unavailable."""
        with self._lock:
            self._is_closed = True
            self._connection.close()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Hold the connection in a transaction that sees one state of the file."""
        with self._transaction("DEFERRED") as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Hold the connection in a transaction that no other writer can get between."""
        with self._transaction("IMMEDIATE") as connection:
            yield connection

    def note_number(self, number: int) -> None:
        """Note, within a transaction, that a generation has this *number*."""
        self._largest_number = max(self._largest_number, number)

    def check(self) -> None:
        """Return when the file can be read and written, else raise Unavailable."""
        with self.writing() as connection:
            connection.execute("SELECT 1 FROM records LIMIT 1").fetchall()
            # Its value stays, and yet a page is written: a full disk fails here.
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    @contextmanager
    def _transaction(self, kind: str) -> Iterator[Connection]:
        with _translated(self.path), self._lock:
            self._follow_file()
            # The connection as a context commits, or rolls back when anything is raised.
            with self._connection as connection:
                connection.execute(f"BEGIN {kind}")
                yield connection

    def _follow_file(self) -> None:
        """Go on with the file that is there, or a new one, when it was removed or replaced."""
        if self._is_closed or (identity := _identity(self.path)) == self.identity:
            return
        logger.warning("the catalog %s is another file than before, or none", self.path)
        self._on_new_file()
        opened = self._open()  # when it cannot be, the old one may come back
        # As it was noted: what was removed cannot be read any more on every file system.
        self.last_number = self._largest_number
        self._largest_number = max(self._largest_number, _largest_number(opened))
        self._connection.close()
        self._connection, self.identity = opened, identity or _identity(self.path)

    def _open(self) -> Connection:
        """Return a connection to the file, which has its tables; sqlite3.Error if it cannot be."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(
            self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
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
                _create(connection, _POOLS + _LIBRARY + _COLLECTIONS + _RETENTION)
                _index_tags(connection)
            elif version in range(1, SCHEMA_VERSION):
                logger.info("the catalog %s is brought up to date", self.path)
                _bring_up_to_date(connection, version)
            elif version != SCHEMA_VERSION:
                is_newer = version > SCHEMA_VERSION
                newer = "install the newer imagesearch that wrote it, or " if is_newer else ""
                raise Unavailable(
                    f"{self.path.name} has catalog schema {version}, this program needs"
                    f" {SCHEMA_VERSION}: {newer}move the file away to begin anew"
                )
        _use_write_ahead_log(connection)
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA recursive_triggers = ON")  # a row that is replaced is deleted
        connection.execute(f"PRAGMA journal_size_limit = {_KEPT_LOG_BYTES}")


def id_list(ids: Collection[object]) -> str:
    """Return ids as the one parameter of an IN list, which may be longer than SQLite's limit."""
    return json.dumps(list(ids))


def _create(connection: Connection, schema: str) -> None:
    # One by one: `executescript` would commit, and another process see half a schema.
    for statement in schema.split(";"):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _bring_up_to_date(connection: Connection, version: int) -> None:
    """Make of the schema *version* today's."""
    if version < 3:
        add_facts(connection)
    if version < 4:
        add_licence(connection)
    if version < 5:
        add_collected(connection)
    if version == 1:
        _create(connection, _POOLS)
        take_over_pools(connection)
    if version < 3:
        _index_tags(connection)
        if has_tag_words(connection):
            connection.execute(_WORDS_OF_ALL)
    elif has_tag_words(connection):  # of images of no collection they stay the same
        for name in ("words_of_new", "words_of_old"):
            connection.execute(f"DROP TRIGGER {name}")
        _create_triggers(connection)
        own = "SELECT image_id FROM images WHERE collected <> ''"
        connection.execute(
            "DELETE FROM tag_words WHERE rowid IN"
            f" (SELECT id FROM embeddings WHERE image_id IN ({own}))"
        )
        connection.execute(f"{_WORDS_OF_ALL} WHERE image_id IN ({own})")
    if version < 5:
        _create(connection, _COLLECTIONS)
    if version < 6:
        _create(connection, _RETENTION)
        note_all_used(connection)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _largest_number(connection: Connection) -> int:
    """Return the largest number of a generation that is or was listed, 0 where none is known."""
    numbers = [0]
    for query in (
        "SELECT max(number) FROM listings WHERE typeof(number) = 'integer'",
        "SELECT count FROM counters WHERE name = 'number' AND typeof(count) = 'integer'",
    ):
        with suppress(sqlite3.DatabaseError):  # damage costs who reads it, and not the whole file
            row = connection.execute(query).fetchone()
            numbers.append(int(row[0] or 0) if row else 0)
    return max(numbers)


def count_up(connection: Connection, name: str, at_least: int | None = None) -> None:
    """Add one to a counter, or set it to *at_least* where it is less."""
    added = "count + 1" if at_least is None else "max(count, excluded.count)"
    connection.execute(
        f"INSERT INTO counters VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET count = {added}",
        (name, 1 if at_least is None else at_least),
    )


def counted(connection: Connection, name: str) -> int:
    """Return what a counter stands at."""
    row = connection.execute("SELECT count FROM counters WHERE name = ?", (name,)).fetchone()
    return int(row[0]) if row else 0


def has_tag_words(connection: Connection) -> bool:
    """Return whether tags can be searched: the SQLite that made the file had FTS5."""
    row = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'tag_words'").fetchone()
    return row is not None


def _index_tags(connection: Connection) -> None:
    if connection.execute("SELECT sqlite_compileoption_used('ENABLE_FTS5')").fetchone()[0]:
        connection.execute(_TAG_WORDS)
        _create_triggers(connection)


def _create_triggers(connection: Connection) -> None:
    for statement in re.split(r";\n(?=CREATE)", _TRIGGERS.strip()):
        connection.execute(statement)


def _identity(path: Path) -> FileId:
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
