"""What a query points at: its parts and what it is not about as embeddings, kept where they cost.

How images are ranked by it is in `score.py` and `domain/ranking.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from cachetools import LRUCache

from imagesearch.domain.errors import InvalidRequest, NotFound, RejectedImage
from imagesearch.domain.images import Embedding
from imagesearch.domain.keywords import is_punctuation
from imagesearch.domain.phrases import phrases_of
from imagesearch.domain.queries import ImagePart, Part, PicturePart, Query, TextPart
from imagesearch.domain.ranking import Weighted, direction
from imagesearch.ports import Cache, Encoder, Library, TextEmbedding
from imagesearch.telemetry import stage
from imagesearch.usecases.cache_slots import TEXT

_TEXTS_IN_PROCESS = 4096  # of 512 dimensions they are 8 MB
_PICTURES_IN_PROCESS = 256  # for the further pages of a search, and while its pool is fetched


@dataclass(frozen=True)
class Aim:
    """
    What images are held against.

    Attributes:
        vector: the direction of the query's parts, (embedding_dim,).
        minus: the embeddings of words for what is not wanted, with their weights.
        unlike: those of images and pictures that are not wanted.
        phrases: the embeddings of what the one sentence asks for together, see `phrases_of`, where
            the model's calibration found them to tell more.
        is_text: all parts are words: thresholds, and the correction by hubness, are of captions.
        is_judged: that, and they say something: "-" is near to pictures that it does not tell of.
        truncated: a text had more tokens than the model reads.
    """

    vector: Embedding
    minus: Sequence[Weighted] = ()
    unlike: Sequence[Weighted] = ()
    phrases: Sequence[Embedding] = ()
    is_text: bool = True
    is_judged: bool = True
    truncated: bool = False


class Aims:
    """Finds the embeddings of queries, and keeps what was costly: in *cache*, and in itself."""

    def __init__(
        self,
        encoder: Encoder,
        cache: Cache,
        library: Library,
        revision: Callable[[], str],
        withdrawn: Callable[[], Collection[str]],
    ) -> None:
        self._encoder = encoder
        self._cache = cache
        self._library = library
        self._revision = revision
        self._withdrawn = withdrawn
        self._lock = threading.Lock()
        self._texts = LRUCache[tuple[str, str], TextEmbedding](_TEXTS_IN_PROCESS)
        self._pictures = LRUCache[tuple[str, str], Embedding](_PICTURES_IN_PROCESS)

    @stage("encode")
    def of(self, query: Query) -> Aim:
        """
        Return what *query* points at.

        Raises:
            InvalidRequest: its parts cancel out, an image is wanted and unwanted, or a picture is
                none that can be decoded.
            NotFound: an image has no embedding.
            Overloaded, Unavailable, DeadlineExceeded: come back later.
        """
        _check_no_image_is_both(query)
        phrases = self._phrases_of(query)
        texts = self._texts_of(query, phrases)
        images = self._images_of(query)

        def weighted(parts: Iterable[Part], file: str = "picture") -> list[Weighted]:
            return [(self._vector(part, texts, images, file), part.weight) for part in parts]

        is_text = all(isinstance(part, TextPart) for part in query.parts)
        return Aim(
            direction(weighted(query.parts)),
            weighted(part for part in query.minus if isinstance(part, TextPart)),
            weighted(
                (part for part in query.minus if not isinstance(part, TextPart)), "unlike_picture"
            ),
            [texts[phrase].vector for phrase in phrases],
            is_text=is_text,
            is_judged=is_text and not is_punctuation(query.text),
            truncated=any(text.truncated for text in texts.values()),  # a phrase is shorter
        )

    def _phrases_of(self, query: Query) -> tuple[str, ...]:
        """Return the phrases of the one sentence of *query*, if thresholds are of them."""
        thresholds = self._encoder.thresholds
        if thresholds is None or not thresholds.phrase_share or len(query.parts) > 1:
            return ()
        return phrases_of(query.text)

    def _vector(
        self,
        part: Part,
        texts: dict[str, TextEmbedding],
        images: dict[str, Embedding],
        file: str,
    ) -> Embedding:
        if isinstance(part, TextPart):
            return texts[part.text].vector
        if isinstance(part, ImagePart):
            return images[part.image_id]
        return self._picture(part, file)

    def _texts_of(self, query: Query, phrases: Sequence[str]) -> dict[str, TextEmbedding]:
        """Return the embeddings of the words of *query*, and of its *phrases*."""
        said = [part.text for part in (*query.parts, *query.minus) if isinstance(part, TextPart)]
        texts = dict.fromkeys([*said, *phrases])
        known = {text: self._known(text) for text in texts}
        missing = [text for text, embedding in known.items() if embedding is None]
        encoded = dict(zip(missing, self._encoded(missing), strict=True))
        embeddings = {text: known[text] or encoded[text] for text in texts}
        with self._lock:
            self._texts.update({(self._revision(), text): embeddings[text] for text in texts})
        return embeddings

    def _known(self, text: str) -> TextEmbedding | None:
        """Cache-aside twice: this process, then the cache that all processes share."""
        key = (self._revision(), text)
        with self._lock:
            embedding = self._texts.get(key)
        return embedding or self._cache.get(TEXT, key)

    def _encoded(self, texts: Sequence[str]) -> Sequence[TextEmbedding]:
        embeddings = self._encoder.encode_texts(texts) if texts else ()
        for text, embedding in zip(texts, embeddings, strict=True):
            self._cache.put(TEXT, (self._revision(), text), embedding)
        return embeddings

    def _images_of(self, query: Query) -> dict[str, Embedding]:
        named = list(dict.fromkeys(query.image_ids))  # of each, there is one row
        if not named:
            return {}
        ids, rows = self._library.vectors(named, self._revision())
        known = ids.keys() - self._withdrawn()
        for field, image_ids in (("like", query.like), ("unlike", query.unlike)):
            missing = next((each for each in image_ids if each not in known), None)
            if missing is not None:
                bound = f"{field} must name stored images"
                raise NotFound(f"{bound}, and there is no {missing[:100]!r}", field=field)
        return dict(zip(ids, rows, strict=True))

    def _picture(self, part: PicturePart, file: str) -> Embedding:
        """
        Return the embedding of a picture: of the last ones from this process, and no other.

        Args:
            file: what a person calls it.
        """
        key = (self._revision(), part.digest)
        with self._lock:
            embedding = self._pictures.get(key)
        if embedding is not None:
            return embedding
        try:
            embedding = self._encoder.encode_picture(part.data)
        except RejectedImage as rejection:
            message = f"{file} cannot be searched by: {rejection}"
            raise InvalidRequest(message, field=file) from rejection
        with self._lock:
            self._pictures[key] = embedding
        return embedding


def _check_no_image_is_both(query: Query) -> None:
    both = next((image_id for image_id in query.unlike if image_id in query.like), None)
    if both is not None:
        bound = "like and unlike must not name the same image"
        raise InvalidRequest(f"{bound}, got {both[:100]!r} in both", field="unlike")
