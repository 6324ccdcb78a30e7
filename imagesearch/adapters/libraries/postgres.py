"""Images and embeddings in PostgreSQL, a row for each image and model, with pgvector's graphs.

A search is exact while the rows that match are few: a graph that is filtered as it is walked finds
the less the fewer match. Of more it is asked of the graph (decision 0078).
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, get_args

import numpy as np
from cachetools import TTLCache

from imagesearch.adapters.postgres import Postgres
from imagesearch.adapters.records import DAMAGE, Fields, image_fields, image_of, pixels_of
from imagesearch.adapters.vectors import best_tagged, matrix_of, sound_matrix, vector_bytes
from imagesearch.domain.filters.declaration import (
    FACTS,
    Comparison,
    Condition,
    Fact,
    TextFact,
    Where,
    alike,
    texts_of,
)
from imagesearch.domain.images import Embedding, Embeddings, Image
from imagesearch.domain.pixels import PixelFacts
from imagesearch.domain.tag_words import rarest, rarity, words_of_tags
from imagesearch.ports import MAX_NEAREST, Coverage, Nearest, Tagged

if TYPE_CHECKING:
    from psycopg import Connection

MAX_TAGGED = 500  # images that are read for a search of tags
MAX_EXACT = 50_000  # rows that are compared one by one: benchmarks/postgres_library.py
_ROWS_AT_ONCE = 500  # that are deleted, or read of what waits
_COUNTED_SECONDS = 60.0  # for which it is remembered how many match: it decides on the way alone
# Half as many links again as pgvector's default, and twice the neighbours looked at as it is built:
# sentences lie apart from images, and of 50,000 the default's graph found 94 of 100, this one 99.
_GRAPH = "m = 24, ef_construction = 128"
_LOOKED_AT = 400  # neighbours that are kept in view in a search
_MOST_LOOKED_AT = 1000  # under a filter, and at all
_SCANNED = 100_000  # rows at which the graph gives up finding enough that match
_NAMED = 10  # images in one line of the log
# By how much the cosines of two rows may be off against each other: half precision rounds a number
# by 2^-11 of it, the query's and the row's.
_NEAR_ERROR = 2.0**-9
_MOST_TIED = 10_000  # rows within that error that are compared exactly

# What an index answers of comparisons; the others are asked of each row.
_EQUAL: Final[tuple[Fact, ...]] = ("year", "month")  # to a number
_BITS: Final[tuple[Fact, ...]] = ("colours",)
_PAIRS: Final[tuple[tuple[Fact, Fact], ...]] = (("width", "height"),)
_LONGEST_TERM = 256  # bytes; GIN takes some 2,700
_COMPARES = {"<": "{} < {}", "=": "{} = {}", ">": "{} > {}", "has": "({} & {}) <> 0"}

_Sql: TypeAlias = tuple[str, list[object]]  # with the values of its parameters
_logger = logging.getLogger(__name__)


class _Found(NamedTuple):
    """A row that may be among the nearest; *distance* is that of half precision, negated cosine."""

    image_id: str
    image: str
    distance: float
    vector: bytes


class PostgresLibrary:
    """The port `Library` over *database*; an image is kept with each of its embeddings."""

    def __init__(self, database: Postgres, *, max_exact: int = MAX_EXACT) -> None:
        self._database = database
        self._max_exact = max_exact
        self._counts: TTLCache[tuple[int, Where], int] = TTLCache(1024, _COUNTED_SECONDS)
        self._counting = threading.Lock()

    def put(
        self, images: Sequence[Image], embeddings: Mapping[str, Embedding], model_revision: str
    ) -> set[str]:
        """Store *images* and their *embeddings*; an image that is there is written if changed."""
        vectors = {each: vector_bytes(each, vector) for each, vector in embeddings.items()}
        by_id = {image.image_id: image for image in images}
        with self._database.transaction() as connection:
            dims = [len(vector) for vector in embeddings.values()]
            model = _model_to_put(connection, model_revision, dims)
            # In order, as all rows are written: two who wait for each other would wait for ever.
            stored = connection.execute(
                "SELECT image_id, model, image FROM embeddings WHERE image_id = ANY(%s)"
                " ORDER BY image_id, model FOR UPDATE",
                (list(by_id),),
            ).fetchall()
            merged = _with_known_pixels(by_id, [(each, text) for each, _, text in stored])
            columns = {each: _columns(image) for each, image in sorted(merged.items())}
            changed = {each for each, _, text in stored if columns[each]["image"] != text}
            cursor = connection.cursor()
            if changed:
                cursor.executemany(
                    "UPDATE embeddings SET image = %(image)s, has_pixels = %(has_pixels)s,"
                    " facts = %(facts)s, terms = %(terms)s WHERE image_id = %(image_id)s",
                    [columns[each] for each in sorted(changed)],
                )
            if vectors:
                cursor.executemany(
                    "INSERT INTO embeddings"
                    " (model, image_id, image, has_pixels, facts, terms, vector, near) VALUES"
                    " (%(model)s, %(image_id)s, %(image)s, %(has_pixels)s, %(facts)s, %(terms)s,"
                    " %(vector)s, %(near)s::halfvec) ON CONFLICT (model, image_id) DO UPDATE SET"
                    " image = excluded.image, has_pixels = excluded.has_pixels,"
                    " facts = excluded.facts, terms = excluded.terms,"
                    " vector = excluded.vector, near = excluded.near",
                    [
                        {
                            **columns[each],
                            "model": model,
                            "vector": vectors[each],
                            "near": _literal(embeddings[each]),
                        }
                        for each in sorted(vectors)
                    ],
                )
        return {*vectors, *(each for each, of, _ in stored if of == model)}

    def embedded(self, image_ids: Collection[str], model_revision: str) -> set[str]:
        """Return those of *image_ids* that have all that an embedder makes of them."""
        with self._database.transaction() as connection:
            rows = connection.execute(
                "SELECT image_id FROM embeddings JOIN models USING (model)"
                " WHERE revision = %s AND image_id = ANY(%s) AND has_pixels",
                (model_revision, list(image_ids)),
            )
            return {image_id for (image_id,) in rows}

    def vectors(
        self, image_ids: Sequence[str], model_revision: str
    ) -> tuple[dict[str, PixelFacts | None], Embeddings]:
        """Return those of *image_ids* that have a sound embedding, in order, and a row for each."""
        with self._database.transaction() as connection:
            stored = connection.execute(
                "SELECT image_id, image, vector FROM embeddings JOIN models USING (model)"
                " WHERE revision = %s AND image_id = ANY(%s)",
                (model_revision, list(image_ids)),
            ).fetchall()
        rows = {row[0]: row for row in stored}
        sound, matrix, damaged = sound_matrix([rows[each] for each in image_ids if each in rows])
        self._drop([image_id for image_id, *_ in damaged], model_revision)
        return {image_id: pixels_of(_fields(image)) for image_id, image, _ in sound}, matrix

    def nearest(self, query: Embedding, k: int, model_revision: str, where: Where = ()) -> Nearest:
        """
        Return the *k* images nearest to *query* that match: see the port.

        Exact where up to *MAX_EXACT* match, equal images by image_id; else of the graph, which
        may miss some, or exact again where it finds fewer than *k*.
        """
        k = min(k, MAX_NEAREST)
        while k > 0:
            with self._database.transaction() as connection:
                model = _model(connection, model_revision)
                if model is None:
                    break
                nearest = self._found(connection, query, k, model, where)
            sound, rows, damaged = sound_matrix(nearest, len(query))
            if not damaged:
                return _ranked([_image(row.image) for row in sound], rows, query, k)
            self._drop([row.image_id for row in damaged], model_revision)
        return Nearest([], matrix_of([]))

    def _found(
        self, connection: Connection[Any], query: Embedding, k: int, model: int, where: Where
    ) -> list[_Found]:
        """Return rows among which the *k* nearest are; `near` alone has been compared."""
        most = 2 * k + 64  # so that few searches are made twice: see `_exact`
        if self._count(connection, model, where) > self._max_exact:
            nearest = _in_graph(connection, query, most, model, where)
            if len(nearest) >= k:
                return nearest
        return _exact(connection, query, k, most, model, where)

    def _count(self, connection: Connection[Any], model: int, where: Where) -> int:
        """Return how many rows match, up to one more than are compared exactly."""
        with self._counting:
            known = self._counts.get((model, where))
        if known is not None:
            return known
        count = _count_up_to(connection, model, where, self._max_exact + 1)
        with self._counting:
            self._counts[model, where] = count
        return count

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
        with self._database.transaction() as connection:
            model = _model(connection, model_revision)
            if model is None or k <= 0:
                return Tagged([], matrix_of([]))
            counts = {
                word: _count_terms(connection, model, _term("word:", word), MAX_TAGGED + 1)
                for word in words
            }
            rare = rarest(counts, MAX_TAGGED)
            condition, values = _matching(model, where)
            stored = connection.execute(
                f"SELECT image, vector FROM embeddings WHERE {condition} AND terms && %s",
                [*values, [_term("word:", word) for word in rare]],
            ).fetchall()
        sound, matrix, _ = sound_matrix(stored)
        said = {word: rarity(counts[word]) for word in rare}
        hits, rows = [], []
        for number, (text, _) in enumerate(sound):
            if image := _image(text):
                its_words = words_of_tags(image.texts)
                # Always in one order: the sums of equal words are to be equal.
                hits.append((image, sum(said[word] for word in rare if word in its_words)))
                rows.append(number)
        return best_tagged(hits, matrix[rows], query, k)

    def model_revisions(self) -> list[str]:
        """Return the models that stored embeddings are of, in order."""
        with self._database.transaction() as connection:
            rows = connection.execute(
                "SELECT revision FROM models WHERE EXISTS"
                " (SELECT FROM embeddings WHERE embeddings.model = models.model) ORDER BY revision"
            )
            return [revision for (revision,) in rows]

    def coverage(self, model_revision: str) -> Coverage:
        """Return how many of all images have an embedding of *model_revision*: both counted."""
        with self._database.transaction() as connection:
            model = _model(connection, model_revision)
            counts = dict(
                connection.execute(
                    "SELECT model, count(*) FROM embeddings GROUP BY model"
                ).fetchall()
            )
            embedded = counts.get(model, 0)
            if len(counts) <= 1:
                return Coverage(embedded, sum(counts.values()))
            row = connection.execute("SELECT count(DISTINCT image_id) FROM embeddings").fetchone()
            return Coverage(embedded, row[0] if row else 0)

    def waiting(self, model_revision: str) -> Iterator[Image]:
        """Yield the images that have embeddings of other models and none of *model_revision*."""
        after = ""
        while True:
            with self._database.transaction() as connection:
                rows = connection.execute(
                    "SELECT DISTINCT ON (image_id) image_id, image FROM embeddings AS other"
                    " WHERE image_id > %s AND NOT EXISTS (SELECT FROM embeddings AS own"
                    "  JOIN models USING (model) WHERE revision = %s"
                    "  AND own.image_id = other.image_id) ORDER BY image_id LIMIT %s",
                    (after, model_revision, _ROWS_AT_ONCE),
                ).fetchall()
            if not rows:
                return
            yield from (image for _, text in rows if (image := _image(text)))
            after = rows[-1][0]

    def keep_only(self, model_revision: str) -> int:
        """Delete the embeddings of all other models, each with its image, and their graphs."""
        deleted = 0
        while some := self._delete_others(model_revision):
            deleted += some
        with self._database.transaction() as connection:
            others = connection.execute(
                "DELETE FROM models WHERE revision <> %s AND NOT EXISTS"
                " (SELECT FROM embeddings WHERE embeddings.model = models.model) RETURNING model",
                (model_revision,),
            ).fetchall()
            for (model,) in others:
                connection.execute(f"DROP INDEX IF EXISTS {_graph(model)}")
        return deleted

    def _delete_others(self, model_revision: str) -> int:
        with self._database.transaction() as connection:
            return connection.execute(
                "DELETE FROM embeddings WHERE ctid = ANY(ARRAY(SELECT embeddings.ctid"
                " FROM embeddings JOIN models USING (model) WHERE revision <> %s LIMIT %s))",
                (model_revision, _ROWS_AT_ONCE),
            ).rowcount

    def forget(self, image_ids: Collection[str]) -> None:
        """Delete the images and their embeddings, of whatever model, a few at a time."""
        ids = sorted(image_ids)
        for start in range(0, len(ids), _ROWS_AT_ONCE):
            with self._database.transaction() as connection:
                connection.execute(
                    "DELETE FROM embeddings WHERE image_id = ANY(%s)",
                    (ids[start : start + _ROWS_AT_ONCE],),
                )

    def close(self) -> None:
        """Close the connections to the database."""
        self._database.close()

    def _drop(self, image_ids: Sequence[str], model_revision: str) -> None:
        """Delete damaged embeddings: the next search on their pool has them made anew."""
        if not image_ids:
            return
        named = image_ids[:_NAMED]
        _logger.warning("%d damaged embeddings are deleted: %s", len(image_ids), named)
        with self._database.transaction() as connection:
            connection.execute(
                "DELETE FROM embeddings USING models WHERE embeddings.model = models.model"
                " AND revision = %s AND image_id = ANY(%s)",
                (model_revision, list(image_ids)),
            )


# Models and their graphs


def _model(connection: Connection[Any], model_revision: str) -> int | None:
    row = connection.execute(
        "SELECT model FROM models WHERE revision = %s", (model_revision,)
    ).fetchone()
    return int(row[0]) if row else None


def _model_to_put(
    connection: Connection[Any], model_revision: str, dims: Sequence[int]
) -> int | None:
    """
    Return the number of a model that nobody deletes before the end of the transaction.

    It is made, with its graph, where embeddings of these *dims* are to be stored.
    """
    row = connection.execute(
        "SELECT model FROM models WHERE revision = %s FOR KEY SHARE", (model_revision,)
    ).fetchone()
    if row is None and dims:
        row = connection.execute(
            "INSERT INTO models (revision) VALUES (%s) ON CONFLICT DO NOTHING RETURNING model",
            (model_revision,),
        ).fetchone()
        if row is None:  # another has made it meanwhile
            return _model_to_put(connection, model_revision, dims)
        connection.execute(
            f"CREATE INDEX {_graph(row[0])} ON embeddings"
            f" USING hnsw ((near::halfvec({dims[0]})) halfvec_ip_ops) WITH ({_GRAPH})"
            f" WHERE model = {row[0]}"
        )
    return int(row[0]) if row else None


def _graph(model: int) -> str:
    """Return the name of the index that a model's embeddings are searched by."""
    return f"embeddings_near_{model}"


# Rows


def _columns(image: Image) -> dict[str, object]:
    """Return what is kept of *image* in each of its rows."""
    return {
        "image_id": image.image_id,
        # In ASCII: PostgreSQL keeps no text with a NUL, and the source may have written one.
        "image": json.dumps(image_fields(image)),
        "has_pixels": image.pixels is not None,
        "facts": json.dumps({fact: getattr(image, fact) for fact in FACTS}),
        "terms": terms_of(image),
    }


def _with_known_pixels(
    images: Mapping[str, Image], stored: Sequence[tuple[str, str]]
) -> dict[str, Image]:
    """Return *images*, with what the *stored* ones say of pixels where they know nothing."""
    known = {each: pixels for each, text in stored if (pixels := pixels_of(_fields(text)))}
    return {
        each: replace(image, pixels=image.pixels or known.get(each))
        for each, image in images.items()
    }


def _image(text: str) -> Image | None:
    """Return the image of a row, or None where it is damaged."""
    return image_of(_fields(text))


def _fields(text: str) -> Fields | None:
    try:
        fields: Fields = json.loads(text)
    except DAMAGE:
        return None
    return fields


def _literal(vector: Embedding) -> str:
    """Return *vector* as pgvector reads it, with more digits than half precision has."""
    return "[" + ",".join(["%.6g"] * len(vector)) % tuple(vector.tolist()) + "]"


# What is filtered by


def terms_of(image: Image) -> list[str]:
    """Return what an index finds *image* by: texts, some facts, the words of its tags."""
    terms = {
        _term(f"{fact}:", alike(text))
        for fact in get_args(TextFact)
        for text in texts_of(image, fact)
    }
    terms |= {f"{fact}={getattr(image, fact)}" for fact in _EQUAL}
    terms |= {bit for fact in _BITS for bit in _bits(fact, getattr(image, fact))}
    for fact, other in _PAIRS:
        left, right = getattr(image, fact), getattr(image, other)
        terms.add(f"{fact}{'<' if left < right else '>' if left > right else '='}{other}")
    terms |= {_term("word:", word) for word in words_of_tags(image.texts)}
    return sorted(terms)


def _term(kind: str, text: str) -> str:
    """Return a term of *kind*; of a text that the index does not take, one made of its hash."""
    data = text.encode()
    if len(data) > _LONGEST_TERM or b"\0" in data:
        return f"{kind}\x01{hashlib.sha256(data).hexdigest()}"
    return f"{kind}{text}"


def _bits(fact: Fact, bits: int) -> list[str]:
    """Return a term for each bit that is set."""
    return [f"{fact}&{bit}" for bit in range(bits.bit_length()) if bits >> bit & 1]


def _matching(model: int, where: Where) -> _Sql:
    """Return the condition of the rows of *model* that *where* leaves."""
    conditions: list[str] = [f"model = {model}"]  # as it stands in the graph's own condition
    values: list[object] = []
    for each in where:
        condition, its_values = _condition(each)
        conditions.append(condition)
        values += its_values
    return " AND ".join(conditions), values


def _condition(condition: Condition) -> _Sql:
    if not isinstance(condition, Comparison):
        return "terms @> %s", [[_term(f"{condition.fact}:", condition.text)]]
    fact, comparator, other = condition.fact, condition.comparator, condition.other
    if isinstance(other, str):
        if (fact, other) in _PAIRS:
            return "terms @> %s", [[f"{fact}{comparator}{other}"]]
        return _COMPARES[comparator].format(_number(fact), _number(other)), []
    if fact in _EQUAL and comparator == "=":
        return "terms @> %s", [[f"{fact}={other}"]]
    if fact in _BITS and comparator == "has":
        return "terms && %s", [_bits(fact, other)]
    return _COMPARES[comparator].format(_number(fact), "%s"), [other]


def _number(fact: Fact) -> str:
    return f"coalesce((facts->>'{fact}')::bigint, 0)"


def _count_up_to(connection: Connection[Any], model: int, where: Where, most: int) -> int:
    """Return how many rows match, or *most*, at which counting ends."""
    condition, values = _matching(model, where)
    row = connection.execute(
        f"SELECT count(*) FROM (SELECT FROM embeddings WHERE {condition} LIMIT %s) AS counted",
        [*values, most],
    ).fetchone()
    return int(row[0]) if row else 0


def _count_terms(connection: Connection[Any], model: int, term: str, most: int) -> int:
    """Return how many rows have *term*, or *most*, at which counting ends."""
    row = connection.execute(
        f"SELECT count(*) FROM (SELECT FROM embeddings WHERE model = {model} AND terms @> %s"
        " LIMIT %s) AS counted",
        ([term], most),
    ).fetchone()
    return int(row[0]) if row else 0


# The nearest


def _exact(
    connection: Connection[Any], query: Embedding, k: int, most: int, model: int, where: Where
) -> list[_Found]:
    """
    Return the *k* nearest, and all that may be as near but for the rounding of `near`.

    *most* are asked for, and more where that leaves open which are the nearest.
    """
    condition, values = _matching(model, where)
    while True:
        rows = connection.execute(
            # The + 0 keeps PostgreSQL from the graph, which would miss some.
            "SELECT image_id, image, (near <#> %s::halfvec) + 0 AS distance, vector"
            f" FROM embeddings WHERE {condition} ORDER BY distance, image_id LIMIT %s",
            [_literal(query), *values, most],
        )
        nearest = [_Found(*row) for row in rows]
        is_all = len(nearest) < most or most >= _MOST_TIED
        if is_all or nearest[-1].distance - nearest[k - 1].distance > _NEAR_ERROR:
            return nearest
        most = min(4 * most, _MOST_TIED)


def _in_graph(
    connection: Connection[Any], query: Embedding, most: int, model: int, where: Where
) -> list[_Found]:
    """Return up to *most* rows that match, which are the nearest but for some that are missed."""
    condition, values = _matching(model, where)
    looked_at = _MOST_LOOKED_AT if where else min(max(most, _LOOKED_AT), _MOST_LOOKED_AT)
    settings = {
        "hnsw.ef_search": looked_at,
        "hnsw.iterative_scan": "relaxed_order",
        "hnsw.max_scan_tuples": _SCANNED,
        "hnsw.scan_mem_multiplier": 4,
        # It is known that many match; the planner, which guesses, might sort them all.
        "enable_seqscan": "off",
        "enable_bitmapscan": "off",
        "enable_sort": "off",
    }
    calls = ", ".join(["set_config(%s, %s, true)"] * len(settings))
    texts = [str(text) for pair in settings.items() for text in pair]
    connection.execute(f"SELECT {calls}", texts)
    near = f"near::halfvec({len(query)}) <#> %s::halfvec({len(query)})"
    literal = _literal(query)
    rows = connection.execute(
        f"SELECT image_id, image, {near}, vector FROM embeddings WHERE {condition}"
        f" ORDER BY {near} LIMIT %s",
        [literal, *values, literal, most],
    ).fetchall()
    # What follows in this transaction is planned as usual.
    connection.execute("RESET enable_seqscan; RESET enable_bitmapscan; RESET enable_sort")
    return [_Found(*row) for row in rows]


def _ranked(images: Sequence[Image | None], rows: Embeddings, query: Embedding, k: int) -> Nearest:
    """Return the *k* nearest of *images*, whose rows they are, but for damaged ones."""
    # Each row by itself: a matrix product's last bits depend on a row's place, and equal
    # images would not tie.
    cosines = (rows.astype(np.float64) * query).sum(axis=1) if len(rows) else np.empty(0)
    known = [(image, n) for n, image in enumerate(images) if image]
    best = sorted(known, key=lambda pair: (-cosines[pair[1]], pair[0].image_id))[:k]
    hits = [(image, float(cosines[n])) for image, n in best]
    return Nearest(hits, rows[[n for _, n in best]])
