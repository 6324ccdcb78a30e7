"""Images and embeddings in a SQLite file, and search over all it holds."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from imagesearch.adapters.sqlite import Connection, SqliteFile, has_tag_words, id_list
from imagesearch.adapters.sqlite_facts import ImageFacts
from imagesearch.adapters.sqlite_rows import (
    IMAGE_COLUMNS,
    image_of,
    image_row,
    last_embedding_ever,
    pixels_of,
)
from imagesearch.adapters.vector_file import DamagedFile, FileBlocks, forget_others, path_of
from imagesearch.adapters.vector_index import Scan, VectorIndex
from imagesearch.adapters.vectors import best_tagged, sound_matrix, vector_bytes
from imagesearch.domain.errors import Overloaded, Unavailable
from imagesearch.domain.filters.declaration import FACTS, Where, holds
from imagesearch.domain.images import Embedding, Embeddings, Image
from imagesearch.domain.pixels import PixelFacts
from imagesearch.domain.tag_words import rarest, rarity
from imagesearch.ports import Coverage, Nearest, Tagged

_ROWS_AT_ONCE = 4096  # embeddings that are read at a time: 8 MB at 512 dimensions
MAX_TAGGED = 500  # images that tags are compared of: of each, FTS5 takes some 5 µs
_IMAGES_AT_ONCE = 500  # that are read, or lose an embedding, before others have the connection
_NAMED = 10  # images in one line of the log
_PLACES = ", ".join("?" * (1 + IMAGE_COLUMNS.count(",")))
_MAX_SEARCHES = 16  # under way at a time: each takes all cores, so that one goes after the other

logger = logging.getLogger(__name__)


class _OtherFileError(Exception):
    """The indexes are of a file whose place another one has taken."""


class SqliteLibrary:
    """
    The port `Library` over *file*.

    Search is exact, by a scan of integers that lie on disk beside the file, for the process that
    was the first to search; others have a copy in memory (decisions 0035 and 0055).
    """

    def __init__(self, file: SqliteFile) -> None:
        self._file = file
        self._indexes: dict[str, VectorIndex] = {}
        self._facts: dict[str, ImageFacts] = {}
        self._indexed_file = file.identity
        self._indexes_lock = threading.Lock()
        self._searches = threading.Semaphore(_MAX_SEARCHES)

    def close(self) -> None:
        """Forget what is in memory, and close the file."""
        with self._indexes_lock:
            self._forget_indexes()
        self._file.close()

    def put(
        self, images: Sequence[Image], embeddings: Mapping[str, Embedding], model_revision: str
    ) -> set[str]:
        """Store *images* and their *embeddings*: see the port."""
        vectors = [
            (image_id, model_revision, vector_bytes(image_id, vector))
            for image_id, vector in embeddings.items()
        ]
        with self._file.writing() as connection:
            changed = _changed_facts(connection, images)
            connection.executemany(
                f"INSERT INTO images VALUES ({_PLACES}) ON CONFLICT (image_id)"
                " DO UPDATE SET object_name = excluded.object_name, page_url = excluded.page_url,"
                " width = excluded.width, height = excluded.height, tags = excluded.tags,"
                " credit_user = excluded.credit_user, credit_source = excluded.credit_source,"
                " colours = iif(excluded.pixel_hash IS NULL, colours, excluded.colours),"
                " pixel_hash = coalesce(excluded.pixel_hash, pixel_hash),"
                " year = excluded.year, month = excluded.month,"
                " licence = excluded.licence, licence_url = excluded.licence_url,"
                " collected = excluded.collected",
                [image_row(image) for image in images],
            )
            _renew_embeddings(connection, changed)
            # A replaced row gets a new id, which is how every index in memory learns of it.
            connection.executemany(
                "INSERT OR REPLACE INTO embeddings (image_id, model_revision, vector)"
                " VALUES (?, ?, ?)",
                vectors,
            )
            return _embedded(connection, [image.image_id for image in images], model_revision)

    def embedded(self, image_ids: Collection[str], model_revision: str) -> set[str]:
        """Return those of *image_ids* that have all that an embedder makes of them."""
        with self._file.reading() as connection:
            rows = connection.execute(
                "SELECT image_id FROM embeddings JOIN images USING (image_id)"
                " WHERE model_revision = ? AND typeof(pixel_hash) = 'integer'"
                " AND image_id IN (SELECT value FROM json_each(?))",
                (model_revision, id_list(image_ids)),
            )
            return {image_id for (image_id,) in rows}

    def vectors(
        self, image_ids: Sequence[str], model_revision: str
    ) -> tuple[dict[str, PixelFacts | None], Embeddings]:
        """Return those of *image_ids* that have a sound embedding, in order, and a row for each."""
        with self._file.reading() as connection:
            stored = connection.execute(
                "SELECT image_id, embeddings.id, pixel_hash, colours, vector"
                " FROM embeddings LEFT JOIN images USING (image_id) WHERE model_revision = ?"
                " AND image_id IN (SELECT value FROM json_each(?))",
                (model_revision, id_list(image_ids)),
            ).fetchall()
        rows = {row[0]: row for row in stored}
        sound, matrix, damaged = sound_matrix([rows[each] for each in image_ids if each in rows])
        self._forget_embeddings([row_id for _, row_id, *_ in damaged])
        return {image_id: pixels_of(*pixels) for image_id, _, *pixels, _ in sound}, matrix

    def nearest(self, query: Embedding, k: int, model_revision: str, where: Where = ()) -> Nearest:
        """Return the *k* images nearest to *query* that match, of all: see the port."""
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

    def tagged(
        self,
        words: Sequence[str],
        query: Embedding,
        k: int,
        model_revision: str,
        where: Where = (),
    ) -> Tagged:
        """
        Return up to *k* images whose tags have any of *words*: see the port.

        Words that more than *MAX_TAGGED* images have together with rarer ones are not looked for.
        """
        hits: list[tuple[Image, float]] = []
        rows: list[Embedding] = []
        with self._file.reading() as connection:
            said = _said_of(connection, words)
            for weight, some in _in_order(connection, said, query, 2 * k, model_revision):
                images = _images(connection, some)
                for image_id, row in some.items():
                    image = images.get(image_id)
                    if image is not None and holds(where, image):
                        hits.append((image, weight))
                        rows.append(row)
                if len(hits) >= k:
                    break
        return best_tagged(hits, np.array(rows, np.float32), query, k)

    def model_revisions(self) -> list[str]:
        """Return the models that stored embeddings are of, in order."""
        with self._file.reading() as connection:
            return _model_revisions(connection)

    def coverage(self, model_revision: str) -> Coverage:
        """Return how many of all images have an embedding of *model_revision*."""
        with self._file.reading() as connection:
            (embedded,) = connection.execute(
                "SELECT count(*) FROM embeddings WHERE model_revision = ?", (model_revision,)
            ).fetchone()
            if _model_revisions(connection) in ([], [model_revision]):
                return Coverage(embedded, embedded)
            (images,) = connection.execute("SELECT count(*) FROM images").fetchone()
            return Coverage(embedded, images)

    def waiting(self, model_revision: str) -> Iterator[Image]:
        """Yield the images that have embeddings of other models and none of *model_revision*."""
        after = ""
        while True:
            with self._file.reading() as connection:
                rows = connection.execute(
                    f"SELECT {IMAGE_COLUMNS} FROM images WHERE image_id > ? AND NOT EXISTS"
                    " (SELECT 1 FROM embeddings AS own WHERE own.model_revision = ?"
                    "  AND own.image_id = images.image_id) ORDER BY image_id LIMIT ?",
                    (after, model_revision, _IMAGES_AT_ONCE),
                ).fetchall()
            if not rows:
                return
            yield from map(image_of, rows)
            after = rows[-1][0]

    def keep_only(self, model_revision: str) -> int:
        """Delete the embeddings of all other models, and the images that have none then."""
        deleted = 0
        while some := self._delete_others(model_revision):
            deleted += some
        with self._indexes_lock:
            for other in self._indexes.keys() - {model_revision}:
                self._indexes.pop(other).close()
                self._facts.pop(other, None)
        with suppress(OSError):
            forget_others(self._file.path, [model_revision])
        return deleted

    def forget(self, image_ids: Collection[str]) -> None:
        """Delete the images and all their embeddings: see the port."""
        ids = list(image_ids)
        for start in range(0, len(ids), _IMAGES_AT_ONCE):
            some = id_list(ids[start : start + _IMAGES_AT_ONCE])
            with self._file.writing() as connection:
                for revision in _model_revisions(connection):
                    connection.execute(
                        "DELETE FROM embeddings WHERE model_revision = ?"
                        " AND image_id IN (SELECT value FROM json_each(?))",
                        (revision, some),
                    )
                connection.execute(
                    "DELETE FROM images WHERE image_id IN (SELECT value FROM json_each(?))",
                    (some,),
                )

    def _delete_others(self, model_revision: str) -> int:
        with self._file.writing() as connection:
            rows = connection.execute(
                "DELETE FROM embeddings WHERE id IN (SELECT id FROM embeddings"
                " WHERE model_revision < :own OR model_revision > :own LIMIT :most)"
                " RETURNING image_id",
                {"own": model_revision, "most": _IMAGES_AT_ONCE},
            ).fetchall()
            connection.execute(
                "DELETE FROM images WHERE image_id IN (SELECT value FROM json_each(?))"
                " AND NOT EXISTS (SELECT 1 FROM embeddings"
                " WHERE embeddings.image_id = images.image_id)",
                (id_list([image_id for (image_id,) in rows]),),
            )
        return len(rows)

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
                images = _images(connection, best.image_ids)
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
            self._forget_embeddings([row_id for row_id, _ in damaged])
            index.extend([row_id for row_id, _ in sound], matrix, last_id)
        if index.is_outgrown:
            index.clear()
            self._bring_up_to_date(index, model_revision, embedding_dim)

    def _opened_index(self, model_revision: str) -> VectorIndex:
        """Return the copy on disk, made anew where it is damaged, or one in memory."""
        path = path_of(self._file.path, model_revision)
        try:
            forget_others(self._file.path, [*self.model_revisions(), model_revision])
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
            rows = _embeddings_with_ids(connection, ids, model_revision)
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

    def _forget_embeddings(self, row_ids: Collection[int]) -> None:
        """Delete damaged embeddings: the next search on their pool has them made anew."""
        if not row_ids:
            return
        try:
            with self._file.writing() as connection:
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


def _said_of(connection: Connection, words: Sequence[str]) -> dict[int, float]:
    """Return the rows of any model whose tags have any of the rarer *words*, and what those say."""
    if not words or not has_tag_words(connection):
        return {}
    counts = {word: _count_up_to(connection, word, MAX_TAGGED + 1) for word in words}
    rare = rarest(counts, MAX_TAGGED)
    said: dict[int, float] = {}
    for word in rare:
        match = "SELECT rowid FROM tag_words WHERE tag_words MATCH ?"
        for (row_id,) in connection.execute(match, (_quoted(word),)):
            said[row_id] = said.get(row_id, 0.0) + rarity(counts[word])
    return said


def _in_order(
    connection: Connection,
    said: Mapping[int, float],
    query: Embedding,
    at_once: int,
    model_revision: str,
) -> Iterator[tuple[float, dict[str, Embedding]]]:
    """Yield the images of what is *said*, those that say most first, then the nearest."""
    for weight in sorted(set(said.values()), reverse=True):
        equals = [row_id for row_id, own in said.items() if own == weight]
        stored = _embeddings_with_ids(connection, equals, model_revision)
        sound, matrix, _ = sound_matrix(stored, len(query))
        order = np.argsort(-np.vecdot(matrix, query)).tolist() if sound else []
        for start in range(0, len(order), at_once):
            yield weight, {sound[row][0]: matrix[row] for row in order[start : start + at_once]}


def _count_up_to(connection: Connection, word: str, most: int) -> int:
    row = connection.execute(
        "SELECT count(*) FROM (SELECT 1 FROM tag_words WHERE tag_words MATCH ? LIMIT ?)",
        (_quoted(word), most),
    ).fetchone()
    return int(row[0])


def _quoted(word: str) -> str:
    """Return *word* as FTS5 takes it for a word, whatever is in it."""
    return '"' + word.replace('"', '""') + '"'


def _embeddings_with_ids(
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


def _model_revisions(connection: Connection) -> list[str]:
    """Return the models that embeddings are of, each found by one step through the index."""
    rows = connection.execute(
        "WITH RECURSIVE model(revision) AS (SELECT min(model_revision) FROM embeddings UNION ALL"
        " SELECT (SELECT min(model_revision) FROM embeddings WHERE model_revision > revision)"
        "  FROM model WHERE revision IS NOT NULL)"
        " SELECT revision FROM model WHERE revision IS NOT NULL"
    )
    return [revision for (revision,) in rows if isinstance(revision, str)]


def _embedded(connection: Connection, image_ids: Collection[str], model_revision: str) -> set[str]:
    rows = connection.execute(
        "SELECT image_id FROM embeddings WHERE model_revision = ?"
        " AND image_id IN (SELECT value FROM json_each(?))",
        (model_revision, id_list(image_ids)),
    )
    return {image_id for (image_id,) in rows}


def _changed_facts(connection: Connection, images: Sequence[Image]) -> list[str]:
    """Return those of *images* that are stored with other facts."""
    by_id = {image.image_id: image for image in images}
    changed = []
    for image_id, before in _images(connection, by_id).items():
        after = by_id[image_id]
        # What is kept of its pixels stays where it knows nothing of them.
        after = replace(after, pixels=after.pixels or before.pixels)
        if _facts(before) != _facts(after):
            changed.append(image_id)
    return changed


def _facts(image: Image) -> list[object]:
    """Return all that filters compare of *image*."""
    return [*(getattr(image, fact) for fact in FACTS), image.tags, image.credit, image.collected]


def _renew_embeddings(connection: Connection, image_ids: Sequence[str]) -> None:
    """Give the embeddings of these images new row ids, which is how others learn of a change."""
    for model_revision in _model_revisions(connection) if image_ids else ():
        connection.execute(
            "INSERT OR REPLACE INTO embeddings (image_id, model_revision, vector)"
            " SELECT image_id, model_revision, vector FROM embeddings WHERE model_revision = ?"
            " AND image_id IN (SELECT value FROM json_each(?))",
            (model_revision, id_list(image_ids)),
        )


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


def _images(connection: Connection, image_ids: Collection[str]) -> dict[str, Image]:
    """Return the images by image_id; those that are unknown are left out."""
    rows = connection.execute(
        f"SELECT {IMAGE_COLUMNS} FROM images WHERE image_id IN (SELECT value FROM json_each(?))",
        (id_list(image_ids),),
    )
    return {row[0]: image_of(row) for row in rows}
