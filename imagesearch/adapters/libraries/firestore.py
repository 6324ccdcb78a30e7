"""Images and embeddings in Firestore, a document for each image and model, with vector search."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from imagesearch.adapters.firestore import MAX_WRITES, Firestore, chunks
from imagesearch.adapters.firestore_facts import (
    FACTS_VERSION,
    NEVER_LACKED,
    PreFilter,
    facts_fields,
    pre_filter_of,
)
from imagesearch.adapters.google_errors import translated
from imagesearch.adapters.records import Fields, image_fields, image_of, pixels_of
from imagesearch.adapters.vectors import best_tagged, matrix_of, sound_matrix, vector_bytes
from imagesearch.domain.filters.declaration import Where, holds
from imagesearch.domain.images import Embedding, Embeddings, Image
from imagesearch.domain.pixels import PixelFacts
from imagesearch.domain.tag_words import rarest, rarity, words_of_tags
from imagesearch.ports import MAX_NEAREST, Coverage, Nearest, Tagged

MAX_TAGGED = 100  # images that are read for a search of tags
_EXCESS = 8  # images that are looked at for each one wanted, before the most are
_READ_DOCUMENTS = 300  # in a call
_WRITE_BYTES = 3_500_000  # in a commit; Firestore takes 10 MiB and its emulator 4 MiB
_NAMED = 10  # images in one line of the log
_logger = logging.getLogger(__name__)


class FirestoreLibrary:
    """The port `Library` over *database*; an image is kept with each of its embeddings alone."""

    def __init__(self, database: Firestore) -> None:
        self._database = database
        self._with_facts: set[str] = set()  # models of which each embedding has its facts

    def put(
        self, images: Sequence[Image], embeddings: Mapping[str, Embedding], model_revision: str
    ) -> set[str]:
        """Store *embeddings* with their *images*; an image that is there is written if changed."""
        rows = {each: vector_bytes(each, vector) for each, vector in embeddings.items()}
        by_id = {image.image_id: image for image in images}
        new = {
            each: embedding_fields(by_id[each], row, model_revision) for each, row in rows.items()
        }
        others = [each for each in by_id if each not in rows]
        stored = dict(self._documents(others, model_revision, ["image", "facts_version"]))
        changed = {
            each: {"image": _written(by_id[each]), **facts_fields(by_id[each])}
            for each, fields in stored.items()
            if fields.get("facts_version") != FACTS_VERSION
            or _without_pixels(image_of(fields.get("image"))) != _without_pixels(by_id[each])
        }
        self._write({**new, **changed}, model_revision)
        return {*rows, *stored}

    def embedded(self, image_ids: Collection[str], model_revision: str) -> set[str]:
        """Return those of *image_ids* that have all that an embedder makes of them."""
        documents = self._documents(image_ids, model_revision, ["image.pixels"])
        return {each for each, fields in documents if pixels_of(fields.get("image"))}

    def vectors(
        self, image_ids: Sequence[str], model_revision: str
    ) -> tuple[dict[str, PixelFacts | None], Embeddings]:
        """Return those of *image_ids* that have a sound embedding, in order, and a row for each."""
        stored = dict(self._documents(image_ids, model_revision, ["row", "image.pixels"]))
        rows = [(each, stored[each].get("row")) for each in image_ids if each in stored]
        sound, matrix, damaged = sound_matrix(rows)
        self._forget([image_id for image_id, _ in damaged], model_revision)
        return {each: pixels_of(stored[each].get("image")) for each, _ in sound}, matrix

    def nearest(self, query: Embedding, k: int, model_revision: str, where: Where = ()) -> Nearest:
        """
        Return the *k* images nearest to *query* that match: see the port.

        Needs a composite index of `model_revision` and `vector`, and those of `INDEXED`. Equal
        images at the k-th place are chosen by the order of their documents, which is that of
        image_id. What no index covers is asked of the 1000 nearest of the others (decision 0066).
        """
        if k <= 0:
            return Nearest([], matrix_of([]))
        k = min(k, MAX_NEAREST)
        before = self._pre_filter(where, model_revision)
        rest = before.rest if before else where
        looks = [min(_EXCESS * k, MAX_NEAREST), MAX_NEAREST] if rest else [k, MAX_NEAREST]
        for seen in sorted(set(looks)) if where else [k]:
            matching, is_all = self._matching(query, seen, model_revision, where, before)
            hits, rows = self._ranked(matching, query, model_revision)
            if is_all or len(hits) >= k:
                break
        return Nearest(hits[:k], rows[:k], is_all or not where or len(hits) >= k)

    def _pre_filter(self, where: Where, model_revision: str) -> PreFilter | None:
        """Return what Firestore can apply of *where*; None where it would lose images."""
        before, sure = pre_filter_of(where), pre_filter_of(where, NEVER_LACKED)
        return before if before == sure or self._has_facts(model_revision) else sure

    def _has_facts(self, model_revision: str) -> bool:
        """
        Return whether each embedding of the model has its facts: an earlier version wrote none.

        It costs two reads for each 1000 embeddings until it is so, and nothing afterwards.
        """
        if model_revision not in self._with_facts:
            with translated("Firestore"):
                # First those with facts: what is written meanwhile counts among all alone.
                with_facts = self._count(model_revision, ("facts_version", "==", FACTS_VERSION))
                if with_facts < self._count(model_revision):
                    return False
            self._with_facts.add(model_revision)
        return True

    def _count(self, model_revision: str, *conditions: tuple[str, str, object]) -> int:
        query = self._of_model(model_revision, *conditions)
        return int(query.count().get(**self._database.limits())[0][0].value)

    def _of_model(self, model_revision: str, *conditions: tuple[str, str, object]) -> Any:
        """Return the query for the embeddings of the model for which *conditions* hold."""
        from google.cloud.firestore_v1.base_query import FieldFilter

        query = self._database.client.collection("embeddings")
        for condition in (("model_revision", "==", model_revision), *conditions):
            query = query.where(filter=FieldFilter(*condition))
        return query

    def _matching(
        self,
        query: Embedding,
        seen: int,
        model_revision: str,
        where: Where,
        before: PreFilter | None,
    ) -> tuple[list[tuple[Image, object]], bool]:
        """Return which of the *seen* nearest match, with their rows, and whether those are all."""
        with translated("Firestore"):
            documents = self._nearest_documents(query, seen, model_revision, before)
        return _that_match(documents, where), len(documents) < seen

    def _ranked(
        self, hits: Sequence[tuple[Image, object]], query: Embedding, model_revision: str
    ) -> tuple[list[tuple[Image, float]], Embeddings]:
        """Return the images of *hits*, whose rows are sound, with cosines and rows, best first."""
        import numpy as np

        images, rows = self._sound(hits, model_revision, len(query))
        if not images:
            return [], rows
        # Firestore's own distance is not exact in its last bits: equal images would not tie.
        cosines = (rows.astype(np.float64) * query).sum(axis=1)  # (n, d) * (d,) -> (n,)
        best = np.lexsort(([image.image_id for image in images], -cosines))
        return [(images[i], float(cosines[i])) for i in best], rows[best]

    def _sound(
        self,
        hits: Sequence[tuple[Image, object]],
        model_revision: str,
        embedding_dim: int | None = None,
    ) -> tuple[list[Image], Embeddings]:
        """Return the images of *hits* whose rows are sound, and those; damaged ones are deleted."""
        sound, rows, damaged = sound_matrix(hits, embedding_dim)
        self._forget([image.image_id for image, _ in damaged], model_revision)
        return [image for image, _ in sound], rows

    def tagged(
        self, words: Sequence[str], k: int, model_revision: str, where: Where = ()
    ) -> Tagged:
        """
        Return up to *k* images whose tags have any of *words*: see the port.

        It costs a read for each word, and no more than *MAX_TAGGED* for the images: words that more
        have together with rarer ones are not looked for. Needs a composite index of
        `model_revision` and `facts.words`.
        """
        counts = self._counts(words, model_revision)
        rare = rarest(counts, MAX_TAGGED)
        if not rare or k <= 0:
            return Tagged([], matrix_of([]))
        with translated("Firestore"):
            query = self._of_model(model_revision, ("facts.words", "array_contains_any", rare))
            answers = query.select(["image", "row"]).get(**self._database.limits())
            documents = [document.to_dict() for document in answers]
        images, rows = self._sound(_that_match(documents, where), model_revision)
        said = {word: rarity(counts[word]) for word in rare}
        hits = [
            # Always in one order: the sums of equal words are to be equal.
            (image, sum(said[word] for word in rare if word in words_of_tags(image.texts)))
            for image in images
        ]
        return best_tagged(hits, list(rows), k)

    def _counts(self, words: Sequence[str], model_revision: str) -> dict[str, int]:
        """Return how many embeddings have each of *words*, up to one more than *MAX_TAGGED*."""

        def count(word: str) -> int:
            condition = ("facts.words", "array_contains", word)
            query = self._of_model(model_revision, condition).limit(MAX_TAGGED + 1)
            return int(query.count().get(**self._database.limits())[0][0].value)

        if not words:
            return {}
        with translated("Firestore"), ThreadPoolExecutor(len(words)) as threads:
            return dict(zip(words, threads.map(count, words), strict=True))

    def model_revisions(self) -> list[str]:
        """Return the models that stored embeddings are of, in order: a read for each, and one."""
        from google.cloud.firestore_v1.base_query import FieldFilter

        embeddings = self._database.client.collection("embeddings")
        query = embeddings.select(["model_revision"]).order_by("model_revision").limit(1)
        revisions: list[str] = []
        with translated("Firestore"):
            while True:
                later = FieldFilter("model_revision", ">", revisions[-1] if revisions else "")
                documents = query.where(filter=later).get(**self._database.limits())
                if not documents:
                    return revisions
                revisions.append(documents[0].get("model_revision"))

    def coverage(self, model_revision: str) -> Coverage:
        """
        Return how many of all images have an embedding of *model_revision*.

        No query joins the embeddings of two models: as many images are taken to be there as the
        model that embedded most of them has. Counting costs a read for each 1000 embeddings.
        """
        revisions = {*self.model_revisions(), model_revision}
        with translated("Firestore"):
            counts = {each: self._count(each) for each in revisions}
        return Coverage(counts[model_revision], max(counts.values()))

    def waiting(self, model_revision: str) -> Iterator[Image]:
        """Yield the images that have embeddings of other models and none of *model_revision*."""
        documents = self._database.pages(self._of_others(model_revision).select(["image"]))
        for some in chunks(documents, _READ_DOCUMENTS):
            images = [image_of(document.to_dict().get("image")) for document in some]
            by_id = {image.image_id: image for image in images if image}
            embedded = dict(self._documents(by_id, model_revision, ["model_revision"]))
            yield from (image for each, image in by_id.items() if each not in embedded)

    def keep_only(self, model_revision: str) -> int:
        """Delete the embeddings of all other models, each with its image."""
        deleted = 0
        others = self._of_others(model_revision).select([]).limit(MAX_WRITES)
        with translated("Firestore"):
            while documents := others.get(**self._database.limits()):
                self._delete([document.reference for document in documents])
                deleted += len(documents)
        return deleted

    def forget(self, image_ids: Collection[str]) -> None:
        """Delete the embeddings of the images, of each model that embeddings are of."""
        for model_revision in self.model_revisions():
            with translated("Firestore"):
                for some in chunks(image_ids, MAX_WRITES):
                    self._delete([self._database.embedding(each, model_revision) for each in some])

    def _of_others(self, model_revision: str) -> Any:
        """Return the query for the embeddings of other models, in order."""
        from google.cloud.firestore_v1.base_query import FieldFilter

        other = FieldFilter("model_revision", "!=", model_revision)
        embeddings = self._database.client.collection("embeddings")
        return embeddings.where(filter=other).order_by("model_revision").order_by("__name__")

    def close(self) -> None:
        """Close the connection, if there is one."""
        self._database.close()

    def _documents(
        self, image_ids: Iterable[str], model_revision: str, field_paths: list[str]
    ) -> Iterator[tuple[str, Fields]]:
        """Yield (image_id, fields) of the embeddings that are stored."""
        with translated("Firestore"):
            ids = {self._database.embedding(each, model_revision): each for each in image_ids}
            for references in chunks(ids, _READ_DOCUMENTS):
                answers = self._database.client.get_all(
                    references, field_paths, **self._database.limits()
                )
                for document in answers:
                    if document.exists:
                        yield ids[document.reference], document.to_dict()

    def _write(self, documents: Mapping[str, Fields], model_revision: str) -> None:
        """Commit fields of embeddings by image_id, as many at once as a commit takes."""
        # 11 bytes a number of a vector, and its row itself.
        largest = max((len(fields.get("row", b"")) for fields in documents.values()), default=0)
        size = min(MAX_WRITES, _WRITE_BYTES // (4 * largest + 2000))
        with translated("Firestore"):
            for some in chunks(documents.items(), size):
                batch = self._database.client.batch()
                for image_id, fields in some:
                    reference = self._database.embedding(image_id, model_revision)
                    batch.set(reference, fields, merge=True)
                batch.commit(**self._database.limits())

    def _forget(self, image_ids: Sequence[str], model_revision: str) -> None:
        """Delete damaged embeddings: the next search on their pool has them made anew."""
        if not image_ids:
            return
        named = image_ids[:_NAMED]
        _logger.warning("%d damaged embeddings are deleted: %s", len(image_ids), named)
        with translated("Firestore"):
            for some in chunks(image_ids, MAX_WRITES):
                self._delete([self._database.embedding(each, model_revision) for each in some])

    def _delete(self, references: Sequence[Any]) -> None:
        batch = self._database.client.batch()
        for reference in references:
            batch.delete(reference)
        batch.commit(**self._database.limits())

    def _nearest_documents(
        self, query: Embedding, k: int, model_revision: str, before: PreFilter | None
    ) -> list[Fields]:
        from google.cloud.firestore_v1.base_vector_query import DistanceMeasure
        from google.cloud.firestore_v1.vector import Vector

        conditions = [(before.field, before.op, before.value)] if before else []
        embeddings = self._of_model(model_revision, *conditions)
        # The dot product of unit vectors is their cosine, and the cheaper of the two.
        measure = DistanceMeasure.DOT_PRODUCT
        nearest = embeddings.select(["image", "row"]).find_nearest(
            "vector", Vector(query.tolist()), distance_measure=measure, limit=k
        )
        return [document.to_dict() for document in nearest.get(**self._database.limits())]


def _that_match(documents: Sequence[Fields], where: Where) -> list[tuple[Image, object]]:
    """Return the images of embeddings' *documents* that *where* leaves, each with its row."""
    images = [(image_of(fields.get("image")), fields.get("row")) for fields in documents]
    return [(image, row) for image, row in images if image and holds(where, image)]


def _without_pixels(image: Image | None) -> Image | None:
    """Return what a source says of *image*: what is kept of its pixels stays as it is."""
    return replace(image, pixels=None) if image else None


def embedding_fields(image: Image, row: bytes, model_revision: str) -> Fields:
    """Return an embedding's document; *row* is its float32 numbers."""
    from google.cloud.firestore_v1.vector import Vector

    vector = Vector(matrix_of([row])[0].tolist())
    fields = {"model_revision": model_revision, "image": _written(image), "row": row}
    return {**fields, **facts_fields(image), "vector": vector}


def _written(image: Image) -> Fields:
    """
    Return an image's fields for a write that leaves what it does not name as it is.

    That keeps the pixels of an image that only is listed, and would keep where a picture was taken
    of one that is to say so no more.
    """
    from google.cloud.firestore_v1.transforms import DELETE_FIELD

    fields = image_fields(image)
    collected = fields.get("collected")
    kept = {"place": DELETE_FIELD, **collected} if collected else DELETE_FIELD
    return {**fields, "collected": kept}
