"""PostgreSQL with pgvector, as a library of images uses it: its connections, schema and errors.

The port `Library` is over it in `libraries/postgres.py`.

    imagesearch.schema_version   one row: the version of these tables
    imagesearch.models           a number for each model_revision
    imagesearch.embeddings       a row for each image and model, with what is filtered by

Each model has a graph of its own, an index of its rows alone: models differ in dimension.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from imagesearch.domain.errors import (
    Bug,
    ImageSearchError,
    InvalidRequest,
    Overloaded,
    Unavailable,
)
from imagesearch.installation import is_installed, pip_install

if TYPE_CHECKING:  # the driver is an extra, and takes 0.1 s to import
    from psycopg import Connection
    from psycopg_pool import ConnectionPool

# 0.8.2 mends a graph's parallel build (a CVE), 0.8.3 and 0.8.4 what vacuum damages in graphs;
# github.com/pgvector/pgvector/blob/master/CHANGELOG.md.
LEAST_PGVECTOR: Final = (0, 8, 4)
_LOCK = 0x696D616765  # of whoever makes the tables; any number that no other program locks
_WAITING = 64  # calls for a connection before others are refused
_OPTIONS = "-c search_path=imagesearch,public"
_TABLES = """
CREATE SCHEMA IF NOT EXISTS imagesearch;
CREATE TABLE imagesearch.schema_version (version integer NOT NULL);
CREATE TABLE imagesearch.models (
    model integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    revision text COLLATE "C" NOT NULL UNIQUE
);
CREATE TABLE imagesearch.embeddings (
    model integer NOT NULL REFERENCES imagesearch.models,
    image_id text COLLATE "C" NOT NULL,
    image text NOT NULL,
    has_pixels boolean NOT NULL,
    facts jsonb NOT NULL,
    terms text[] NOT NULL,
    vector bytea NOT NULL,
    near halfvec NOT NULL,
    PRIMARY KEY (model, image_id)
);
ALTER TABLE imagesearch.embeddings ALTER vector SET STORAGE EXTERNAL, ALTER near SET STORAGE MAIN;
CREATE INDEX embeddings_by_image ON imagesearch.embeddings (image_id);
CREATE INDEX embeddings_by_terms ON imagesearch.embeddings USING gin (terms)
    WITH (fastupdate = off);
"""
# A folder is asked for within a collection, too: `folder_in` of the domain. What has a hash for
# its text is found so when it is put the next time.
_FOLDERS_IN_COLLECTIONS = r"""
UPDATE imagesearch.embeddings SET terms = (
    SELECT array_agg(term) FROM (
        SELECT unnest(terms) AS term
        UNION
        SELECT 'folder:' || substr(collection, 12) || '//' || substr(folder, 8)
        FROM unnest(terms) AS collection, unnest(terms) AS folder
        WHERE collection LIKE 'collection:%' AND folder LIKE 'folder:%'
            AND strpos(collection || folder, chr(1)) = 0
            AND octet_length(collection) + octet_length(folder) <= 272  -- 256 of the text
    ) AS every
) WHERE EXISTS (SELECT FROM unnest(terms) AS term WHERE term LIKE 'collection:%')
"""
# What makes of each version of the tables the next; the first, of none. A step that is out stays.
_STEPS = (_TABLES, _FOLDERS_IN_COLLECTIONS)
_logger = logging.getLogger(__name__)


class Postgres:
    """
    A database, which is connected to when it is first needed, and has its tables then.

    Any number of processes may begin at once: one makes the tables, and the others wait for it.
    A connection that was lost, as when the server starts anew, is replaced before it is used.

    Args:
        url: `postgresql://user:password@host/database`, or what else libpq takes. It is a secret.
        connections: how many there are at the most.
        connect_seconds: how long is waited for a connection.
        statement_seconds: how long a statement may take.

    Raises:
        InvalidRequest: the driver is not installed.
    """

    def __init__(
        self,
        url: str,
        *,
        connections: int = 8,
        connect_seconds: int = 5,
        statement_seconds: float = 30.0,
    ) -> None:
        if not is_installed("psycopg_pool"):
            command = pip_install("imagesearch[postgres]")
            raise InvalidRequest(f"LIBRARY=postgres needs: {command}", field="LIBRARY")
        self._url = url
        self._connections = connections
        self._connect_seconds = connect_seconds
        self._statement_seconds = statement_seconds
        self._pool: ConnectionPool[Connection[Any]] | None = None
        self._opening = threading.Lock()
        self._is_closed = False

    @contextmanager
    def transaction(self) -> Iterator[Connection[Any]]:
        """
        Hold a connection in a transaction, which is undone when anything is raised.

        Raises:
            Unavailable: the database does not answer, or cannot be used; the message says why.
            Overloaded: too many are waiting for a connection.
            InvalidRequest: a text is no Unicode, or a value is none that the database keeps.
        """
        with _translated(), self._opened().connection() as connection:
            yield connection

    def close(self) -> None:
        """Close all connections; every later call raises Unavailable."""
        with self._opening:
            self._is_closed = True
            if self._pool is not None:
                self._pool.close()

    def _opened(self) -> ConnectionPool[Connection[Any]]:
        # One connects for all: a server that hangs is not to be asked by each of them in turn.
        if not self._opening.acquire(timeout=self._connect_seconds):
            raise Unavailable("the database does not answer")
        try:
            if self._is_closed:
                raise Unavailable("the database is closed")
            if self._pool is None:
                self._pool = self._connected()
            return self._pool
        finally:
            self._opening.release()

    def _connected(self) -> ConnectionPool[Connection[Any]]:
        """Return connections to a database that has its tables."""
        from psycopg import Connection
        from psycopg_pool import ConnectionPool

        arguments = self._arguments()
        with Connection.connect(**arguments) as connection:
            _prepare(connection)
        pool = ConnectionPool(
            kwargs=arguments,
            min_size=0,
            max_size=self._connections,
            max_waiting=_WAITING,
            timeout=self._connect_seconds,
            # Else it rests for minutes after a long outage, as each of its rests is twice the last.
            reconnect_timeout=self._connect_seconds,
            check=ConnectionPool.check_connection,
            name="imagesearch",
            open=False,
        )
        pool.open()
        return pool

    def _arguments(self) -> dict[str, Any]:
        """Return what a connection is made with."""
        from psycopg import ProgrammingError
        from psycopg.conninfo import conninfo_to_dict

        try:
            given = conninfo_to_dict(self._url)
        except ProgrammingError:  # whose text may have the password
            raise InvalidRequest(
                "DATABASE_URL must be postgresql://user:password@host/database",
                field="DATABASE_URL",
            ) from None
        limits = f"-c statement_timeout={round(1000 * self._statement_seconds)}"
        idle = "-c idle_in_transaction_session_timeout=60s"
        options = f"{given.get('options') or ''} {_OPTIONS} {limits} {idle}".strip()
        own = {"options": options, "connect_timeout": self._connect_seconds}
        # What is prepared is planned without the values: a rare word like a common one.
        return {**given, **own, "prepare_threshold": None, "application_name": "imagesearch"}


def _prepare(connection: Connection[Any]) -> None:
    """Make the tables, or bring older ones up to date; Unavailable if they cannot be used."""
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
    _require_pgvector(connection)
    version = _version(connection)
    if version < len(_STEPS):
        connection.execute("SET LOCAL statement_timeout = 0")  # a step may go through all rows
        for step in _STEPS[version:]:
            connection.execute(step)
        _logger.info("the database is brought from library schema %d to %d", version, len(_STEPS))
        connection.execute("DELETE FROM schema_version")
        connection.execute("INSERT INTO schema_version VALUES (%s)", (len(_STEPS),))


def _version(connection: Connection[Any]) -> int:
    """Return the version of the tables, 0 where there are none; Unavailable if it is not known."""
    table = connection.execute("SELECT to_regclass('imagesearch.schema_version')").fetchone()
    if table == (None,):
        return 0
    versions = [version for (version,) in connection.execute("SELECT version FROM schema_version")]
    if len(versions) == 1 and 1 <= versions[0] <= len(_STEPS):
        return int(versions[0])
    versions_there = ", ".join(map(str, versions)) or "none"
    raise Unavailable(
        f"the database has library schema {versions_there}, this program knows 1 to {len(_STEPS)}:"
        " take the program that made it, or another database"
    )


def _require_pgvector(connection: Connection[Any]) -> None:
    query = "SELECT extversion FROM pg_extension WHERE extname = 'vector'"
    if connection.execute(query).fetchone() is None:
        connection.execute("CREATE EXTENSION vector SCHEMA public")
    row = connection.execute(query).fetchone()
    version = str(row[0]) if row else ""
    numbers = [int(number) for number in version.split(".") if number.isdecimal()]
    if tuple(numbers) < LEAST_PGVECTOR:
        least = ".".join(map(str, LEAST_PGVECTOR))
        raise Unavailable(
            f"the database has pgvector {version}, and this program needs {least} or newer, as"
            " earlier ones damage their indexes: ALTER EXTENSION vector UPDATE"
        )


@contextmanager
def _translated() -> Iterator[None]:
    import psycopg
    import psycopg_pool

    try:
        yield
    except (psycopg.Error, UnicodeEncodeError) as error:
        raise _translation(error, psycopg_pool.TooManyRequests) from error


def _translation(error: Exception, too_many: type[Exception]) -> ImageSearchError:
    """
    Return the error of ours; *too_many* is raised where too many wait for a connection.

    The message names the exception alone: it may reach the public, and the driver's own texts name
    hosts and users. They are in the log, which no password gets into: the driver tells of none.
    """
    if isinstance(error, UnicodeEncodeError):  # a lone surrogate, which UTF-8 cannot hold
        return InvalidRequest(f"text for the database is not Unicode: {error}")
    reason = f"the database failed: {type(error).__name__}"
    state = getattr(error, "sqlstate", None) or ""
    _logger.warning("%s %s: %s", reason, state, error)
    # The classes of postgresql.org/docs/current/errcodes-appendix.html.
    if isinstance(error, too_many) or state in ("53300", "53400"):
        return Overloaded(reason)
    if state.startswith("22"):
        return InvalidRequest(reason)
    if state.startswith("42"):  # a missing right, table or type
        return Unavailable(f"{reason} (the database must be mended)")
    import psycopg

    if not state and isinstance(error, psycopg.DataError):  # a text with a NUL
        return InvalidRequest(reason)
    if not state and isinstance(error, psycopg.ProgrammingError | psycopg.NotSupportedError):
        return Bug(reason)
    return Unavailable(reason)
