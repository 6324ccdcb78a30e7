"""
Which images of a SQLite file are the nearest to a query: int8 copies, and who keeps them in step.

The copies are the scan's (`vector_index.py`); the order is settled with what is stored.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imagesearch.adapters.sqlite import Connection, SqliteFile, id_list
from imagesearch.adapters.sqlite_facts import ImageFacts
from imagesearch.adapters.sqlite_rows import IMAGE_COLUMNS, image_of, last_embedding_ever
from imagesearch.adapters.vector_file import DamagedFile, FileBlocks, forget_others, path_of
from imagesearch.adapters.vector_index import Scan, VectorIndex
from imagesearch.adapters.vectors import sound_matrix
from imagesearch.domain.errors import Overloaded, Unavailable
from imagesearch.domain.filters.declaration import Where
from imagesearch.domain.images import Embedding, Embeddings, Image
from imagesearch.ports import Nearest

_ROWS_AT_ONCE = 4096  # embeddings that are read at a time: 8 MB at 512 dimensions
_NAMED = 10  # images in one line of the log
_MAX_SEARCHES = 16  # under way at a time: each takes all cores, so that one goes after the other

logger = logging.getLogger(__name__)


class _OtherFileError(Exception):
    """The indexes are of a file whose place another one has taken."""


class NearestSearch:
    """
    Search by embeddings over *file*, for any number of threads.

    What it holds in memory and beside the file is of the models that were searched.
    """

    def __init__(self, file: SqliteFile) -> None:
        self._file = file
        self._indexes: dict[str, VectorIndex] = {}
        self._facts: dict[str, ImageFacts] = {}
        self._indexed_file = file.identity
        self._indexes_lock = threading.Lock()
        self._searches = threading.Semaphore(_MAX_SEARCHES)

    def close(self) -> None:
        """Forget what is in memory."""
        with self._indexes_lock:
            self._forget_indexes()

    def keep_only(self, model_revision: str) -> None:
        """Forget what is kept of other models, in memory and on disk."""
        with self._indexes_lock:
            for other in self._indexes.keys() - {model_revision}:
                self._indexes.pop(other).close()
                self._facts.pop(other, None)
        with suppress(OSError):
            forget_others(self._file.path, [model_revision])

    def nearest(self, query: Embedding, k: int, model_revision: str, where: Where) -> Nearest:
        """Return the *k* images nearest to *query* that match, of all: see `Library.nearest`."""
        if not self._searches.acquire(blocking=False):
            # Waiting, they would take the threads that pools are searched with.
            raise Overloaded(
                f"{_MAX_SEARCHES} searches of the catalog are under way", retry_after_seconds=1.0
            )
        try:
            if where:  # before the lock: else all searches wait for the first reading of the facts
                self._read_facts(model_revision, where)
            with self._indexes_lock:
                return self._nearest_indexed(query, k, model_revision, where)
        finally:
            self._searches.release()

    def _nearest_indexed(
        self, query: Embedding, k: int, model_revision: str, where: Where
    ) -> Nearest:
        while True:
            try:
                return self._nearest(query, k, model_revision, where)
            except _OtherFileError:
                self._forget_indexes()

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """Hold the connection to the file that the indexes are of, else raise _OtherFileError."""
        with self._file.reading() as connection:
            if self._file.identity != self._indexed_file:
                raise _OtherFileError
            yield connection

    def _nearest(self, query: Embedding, k: int, model_revision: str, where: Where) -> Nearest:
        index = self._indexes.get(model_revision)
        if index is None:
            index = self._indexes[model_revision] = self._opened_index(model_revision)
        while True:
            try:
                self._bring_up_to_date(index, model_revision, len(query))
            except OSError as error:
                index = self._index_in_memory(index, model_revision, error)
                continue
            # After the index: no row of it lacks its facts.
            among = self._matching(model_revision, where, index.last_id) if where else None
            scan = index.scan(query, k, among)
            with self._reading() as connection:
                best, gone = _best(connection, scan, query, k)
                images = images_by_id(connection, best.image_ids)
            if not gone:
                best = best.part([n for n, each in enumerate(best.image_ids) if each in images])
                hits = [images[image_id] for image_id in best.image_ids]
                cosines = best.cosines.tolist()
                return Nearest(list(zip(hits, cosines, strict=True)), best.embeddings)
            # Some have been replaced since the index took them over; others may be nearer.
            try:
                index.drop(gone)
            except OSError as error:
                index = self._index_in_memory(index, model_revision, error)

    def _matching(self, model_revision: str, where: Where, last_id: int) -> NDArray[np.bool_]:
        """Return for each row id up to *last_id* whether its image is one that *where* leaves."""
        return self._facts_of(model_revision).matching(where, last_id, self._reading)

    def _read_facts(self, model_revision: str, where: Where) -> None:
        """Have in memory what *where* asks for, but for what is stored from now on."""
        with suppress(_OtherFileError):  # it is met again, with the lock
            self._facts_of(model_revision).bring_up_to_date(where, self._reading)

    def _facts_of(self, model_revision: str) -> ImageFacts:
        facts = self._facts.get(model_revision)
        return facts or self._facts.setdefault(model_revision, ImageFacts(model_revision))

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
            forget_embeddings(self._file, [row_id for row_id, _ in damaged])
            index.extend([row_id for row_id, _ in sound], matrix, last_id)
        if index.is_outgrown:
            index.clear()
            self._bring_up_to_date(index, model_revision, embedding_dim)

    def _opened_index(self, model_revision: str) -> VectorIndex:
        """Return the copy on disk, made anew where it is damaged, or one in memory."""
        path = path_of(self._file.path, model_revision)
        try:
            with self._file.reading() as connection:
                stored = model_revisions(connection)
            forget_others(self._file.path, [*stored, model_revision])
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
            if not ids:
                return not _has_embedding(connection, model_revision, index.last_id)
            rows = embeddings_with_ids(connection, ids, model_revision)
        sound, matrix, _ = sound_matrix(rows)
        return bool(sound) and index.stands_for([row_id for _, row_id, _ in sound], matrix)

    def _index_in_memory(
        self, index: VectorIndex, model_revision: str, error: OSError
    ) -> VectorIndex:
        """Return an index in memory in place of one whose file cannot be written to."""
        path = path_of(self._file.path, model_revision)
        logger.warning("%s cannot be written to, memory is used: %s", path.name, error)
        index.close()
        with suppress(OSError):
            path.unlink(missing_ok=True)
        self._indexes[model_revision] = VectorIndex()
        return self._indexes[model_revision]

    def _forget_indexes(self) -> None:
        for index in self._indexes.values():
            index.close()
        self._indexes.clear()
        self._facts.clear()
        self._indexed_file = self._file.identity


def forget_embeddings(file: SqliteFile, row_ids: Collection[int]) -> None:
    """Delete damaged embeddings: the next search on their pool has them made anew."""
    if not row_ids:
        return
    try:
        with file.writing() as connection:
            rows = connection.execute(
                "DELETE FROM embeddings WHERE id IN (SELECT value FROM json_each(?))"
                " RETURNING image_id",
                (id_list(row_ids),),
            ).fetchall()
    except Unavailable as error:  # a disk that is full: they are left out all the same
        logger.warning("%d damaged embeddings stay where they are: %s", len(row_ids), error)
        return
    named = ", ".join(image_id for (image_id,) in rows[:_NAMED])
    logger.warning("%d damaged embeddings are deleted: %s", len(rows), named)


def embeddings_with_ids(
    connection: Connection, row_ids: Collection[int], model_revision: str
) -> list[tuple[str, int, bytes]]:
    """Return (image_id, id, vector) of those rows that are of the model, in the order of ids."""
    return connection.execute(
        "SELECT image_id, id, vector FROM embeddings WHERE id IN (SELECT value FROM json_each(?))"
        " AND +model_revision = ? AND typeof(image_id) = 'text'",
        (id_list(row_ids), model_revision),
    ).fetchall()


def _has_embedding(connection: Connection, model_revision: str, up_to_id: int) -> bool:
    row = connection.execute(
        "SELECT 1 FROM embeddings WHERE model_revision = ? AND id <= ? LIMIT 1",
        (model_revision, up_to_id),
    ).fetchone()
    return row is not None


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
    return rows, last_embedding_ever(connection), False


def model_revisions(connection: Connection) -> list[str]:
    """Return the models that embeddings are of, each found by one step through the index."""
    rows = connection.execute(
        "WITH RECURSIVE model(revision) AS (SELECT min(model_revision) FROM embeddings UNION ALL"
        " SELECT (SELECT min(model_revision) FROM embeddings WHERE model_revision > revision)"
        "  FROM model WHERE revision IS NOT NULL)"
        " SELECT revision FROM model WHERE revision IS NOT NULL"
    )
    return [revision for (revision,) in rows if isinstance(revision, str)]


@dataclass(frozen=True)
class _Rows:
    """Rows that are in the catalog and sound, and their exact cosines with a query."""

    row_ids: list[int]
    image_ids: list[str]
    embeddings: Embeddings  # (n, embedding_dim)
    cosines: NDArray[np.float64]  # (n,)

    def part(self, places: Sequence[int]) -> _Rows:
        """Return those at *places*."""
        return _Rows(
            [self.row_ids[place] for place in places],
            [self.image_ids[place] for place in places],
            self.embeddings[places],
            self.cosines[places],
        )

    def nearest(self, k: int) -> _Rows:
        """Return the *k* of the largest cosines, best first, ties by image_id."""
        order = np.lexsort((np.array(self.image_ids, np.str_), -self.cosines))
        return self.part(order[:k].tolist())

    def joined(self, others: _Rows) -> _Rows:
        """Return these and *others*."""
        return _Rows(
            self.row_ids + others.row_ids,
            self.image_ids + others.image_ids,
            np.concatenate([self.embeddings, others.embeddings]),
            np.concatenate([self.cosines, others.cosines]),
        )


def _best(connection: Connection, scan: Scan, query: Embedding, k: int) -> tuple[_Rows, set[int]]:
    """
    Return the *k* nearest, best first, and those that were scanned and are there no more.

    Read are the likeliest ones, and then all that may be as near as the last of these.
    """
    likeliest = scan.likeliest
    read = _read(connection, likeliest, query)
    best, gone = read.nearest(k), set(likeliest).difference(read.row_ids)
    if gone or not 0 < k == len(likeliest):  # of fewer than k rows there are no others
        return best, gone
    known = set(likeliest)
    row_ids, at_most = scan.reaching(float(best.cosines[-1]))
    others = [pair for pair in zip(row_ids, at_most, strict=True) if pair[0] not in known]
    for start in range(0, len(others), _ROWS_AT_ONCE):
        if others[start][1] < best.cosines[-1]:
            break
        some = [row_id for row_id, _ in others[start : start + _ROWS_AT_ONCE]]
        read = _read(connection, some, query)
        gone.update(set(some).difference(read.row_ids))
        best = best.joined(read).nearest(k)
    return best, gone


def _read(connection: Connection, row_ids: Sequence[int], query: Embedding) -> _Rows:
    """Return those of *row_ids* that are there and sound."""
    stored = connection.execute(
        "SELECT id, image_id, vector FROM embeddings"
        " WHERE id IN (SELECT value FROM json_each(?)) AND typeof(image_id) = 'text'",
        (id_list(row_ids),),
    ).fetchall()
    sound, matrix, _ = sound_matrix(stored, len(query))
    matrix = matrix.reshape(len(sound), len(query))
    # Each row by itself, as a matrix product's last bits depend on a row's place, and equal images
    # would not tie; and summed as the other libraries do, whose answers are to be the same.
    cosines = (matrix.astype(np.float64) * query).sum(axis=1)  # (m, d) * (d,) -> (m,)
    return _Rows([row[0] for row in sound], [row[1] for row in sound], matrix, cosines)


def images_by_id(connection: Connection, image_ids: Collection[str]) -> dict[str, Image]:
    """Return the images by image_id; those that are unknown are left out."""
    rows = connection.execute(
        f"SELECT {IMAGE_COLUMNS} FROM images WHERE image_id IN (SELECT value FROM json_each(?))",
        (id_list(image_ids),),
    )
    return {row[0]: image_of(row) for row in rows}
