"""Images and embeddings in a SQLite file, and search over all it holds."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from imagesearch.adapters.sqlite import Connection, SqliteFile, has_tag_words, id_list
from imagesearch.adapters.sqlite_nearest import (
    NearestSearch,
    embeddings_with_ids,
    forget_embeddings,
    images_by_id,
    model_revisions,
)
from imagesearch.adapters.sqlite_rows import (
    IMAGE_COLUMNS,
    image_of,
    image_row,
    pixels_of,
)
from imagesearch.adapters.vectors import best_tagged, sound_matrix, vector_bytes
from imagesearch.domain.filters.declaration import FACTS, Where, holds
from imagesearch.domain.images import Embedding, Embeddings, Image
from imagesearch.domain.pixels import PixelFacts
from imagesearch.domain.tag_words import rarest, rarity
from imagesearch.ports import Coverage, Nearest, Tagged

MAX_TAGGED = 500  # images that tags are compared of: of each, FTS5 takes some 5 µs
_IMAGES_AT_ONCE = 500  # that are read, or lose an embedding, before others have the connection
_PLACES = ", ".join("?" * (1 + IMAGE_COLUMNS.count(",")))


class SqliteLibrary:
    """
    The port `Library` over *file*.

    Search is exact, by a scan of integers that lie on disk beside the file, for the process that
    was the first to search; others have a copy in memory (decisions 0035 and 0055).
    """

    def __init__(self, file: SqliteFile) -> None:
        self._file = file
        self._search = NearestSearch(file)

    def close(self) -> None:
        """Forget what is in memory, and close the file."""
        self._search.close()
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
        forget_embeddings(self._file, [row_id for _, row_id, *_ in damaged])
        return {image_id: pixels_of(*pixels) for image_id, _, *pixels, _ in sound}, matrix

    def nearest(self, query: Embedding, k: int, model_revision: str, where: Where = ()) -> Nearest:
        """Return the *k* images nearest to *query* that match, of all: see the port."""
        return self._search.nearest(query, k, model_revision, where)

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
                images = images_by_id(connection, some)
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
            return model_revisions(connection)

    def coverage(self, model_revision: str) -> Coverage:
        """Return how many of all images have an embedding of *model_revision*."""
        with self._file.reading() as connection:
            (embedded,) = connection.execute(
                "SELECT count(*) FROM embeddings WHERE model_revision = ?", (model_revision,)
            ).fetchone()
            if model_revisions(connection) in ([], [model_revision]):
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
        self._search.keep_only(model_revision)
        return deleted

    def forget(self, image_ids: Collection[str]) -> None:
        """Delete the images and all their embeddings: see the port."""
        ids = list(image_ids)
        for start in range(0, len(ids), _IMAGES_AT_ONCE):
            some = id_list(ids[start : start + _IMAGES_AT_ONCE])
            with self._file.writing() as connection:
                for revision in model_revisions(connection):
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
        stored = embeddings_with_ids(connection, equals, model_revision)
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
    for image_id, before in images_by_id(connection, by_id).items():
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
    for model_revision in model_revisions(connection) if image_ids else ():
        connection.execute(
            "INSERT OR REPLACE INTO embeddings (image_id, model_revision, vector)"
            " SELECT image_id, model_revision, vector FROM embeddings WHERE model_revision = ?"
            " AND image_id IN (SELECT value FROM json_each(?))",
            (model_revision, id_list(image_ids)),
        )
