"""The Protocols that the use cases are written against; `adapters/` implements them.

Every method may be called from several threads at once. SDK exceptions never leave an adapter:
what an adapter raises is in `errors.py`.
"""

from __future__ import annotations

from collections import abc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from imagesearch.domain.buckets import BucketRoot
from imagesearch.domain.collections import (
    CollectedFile,
    Collection,
    CollectionCount,
    ListedFile,
    Stamp,
    Unreadable,
    Update,
)
from imagesearch.domain.errors import ImageSearchError
from imagesearch.domain.filters.declaration import Where
from imagesearch.domain.forgetting import Withdrawal
from imagesearch.domain.images import (
    Embedding,
    Embeddings,
    Image,
    ListedImage,
    Listing,
)
from imagesearch.domain.pixels import PixelFacts
from imagesearch.domain.pool_life import Absent, Members, Record
from imagesearch.domain.pools import Pool, SourceOptions
from imagesearch.domain.queries import ScoreRequest
from imagesearch.domain.ranking import References, SearchHit, Thresholds
from imagesearch.domain.work import Message

# Images that a library looks at for one search, which is Firestore's limit;
# firebase.google.com/docs/firestore/vector-search.
MAX_NEAREST = 1000
SlotKey = TypeVar("SlotKey")
Value = TypeVar("Value")


class Clock(Protocol):
    """The time, so that tests can set it."""

    def now(self) -> datetime:
        """Return the time, aware, in UTC; it is what people set, and may step back."""

    def monotonic(self) -> float:
        """Return seconds since some moment; two of one process tell how long something took."""

    def sleep(self, seconds: float) -> None:
        """Return after *seconds*."""


class ImageStore(Protocol):
    """The durable originals."""

    def put(self, name: str, data: bytes) -> None:
        """Store *data* as *name*, whole or not at all; an object of that name is replaced."""

    def get(self, name: str) -> bytes:
        """Return the bytes of *name*; NotFound when there is none."""

    def existing(self, names: abc.Collection[str]) -> set[str]:
        """Return those of *names* that are stored."""

    def delete(self, names: abc.Collection[str]) -> int:
        """Delete *names*, of which any may be absent, and return how many were there."""


@dataclass(frozen=True)
class Change:
    """A pool as it was found, and as it was left: None where there was none, or nothing to do."""

    before: Pool | None
    after: Pool | None


class Pools(Protocol):
    """The records of pools, and the listings of their generations.

    Each method raises Unavailable when they do not answer. The pool is then as it was, or as it
    would have become; doing it again is right in each case.
    """

    def get(self, pool_id: str) -> Pool | None:
        """Return the pool, or None: also when its record is damaged, to be requested anew."""

    def change(
        self,
        pool_id: str,
        decide: Callable[[Record | Absent], Record | None],
        *,
        marks_of: int | None = None,
    ) -> Change:
        """
        Keep what *decide* makes of the record; of many changes at once each sees the one before.

        Args:
            decide: a pure function of the record, or of what is left where there is none or it
                is damaged; it may be called again. What it returns replaces the record, but for
                None.
            marks_of: the generation whose marks it needs; without, the record comes without.

        Raises:
            InvalidRequest: the listing takes more than is kept, or a text is no Unicode.
        """

    def members(self, pool_id: str, generation: int) -> Members | None:
        """
        Return what the generation's listing has, and what became of it.

        None while none is recorded, or where it is damaged. Those of the generation that was
        ready before the current one can be read until that is ready, too.
        """

    def count(self, what: str, day: int, most: int, more: int = 1) -> bool:
        """
        Count so many *more* of *what* on *day*, in days from 1970, unless *most* are exceeded.

        Of however many callers at once that count one each exactly *most* are told True. Once one
        was told False, the others of its process may be, however few they count.
        """

    def pool_ids(self, source: str = "") -> Iterator[str]:
        """Yield the ids of all pools, or those of *source*, in order, a few read at a time."""

    def forget(self, pool_id: str) -> None:
        """
        Delete the pool and its listings; none is no error.

        No number that one of its generations had is used again: messages of it may be left.
        """

    def naming(self, image_ids: abc.Collection[str]) -> Iterator[str]:
        """Yield the pools any of whose listings has one of *image_ids*, each once, in any order."""

    def check(self) -> None:
        """Return when they answer, else raise Unavailable."""

    def close(self) -> None:
        """Close what is open, also a database that is shared with the library."""


@dataclass(frozen=True)
class Coverage:
    """How many of all stored *images* have an embedding of some model: *embedded*."""

    embedded: int
    images: int

    @property
    def share(self) -> float:
        """The share of them that have one, 0 to 1; of no images it is 1."""
        return self.embedded / self.images if self.images else 1.0


@dataclass(frozen=True)
class Nearest:
    """
    The images that a library found nearest, with their cosines.

    Attributes:
        hits: best first, ties by image_id.
        embeddings: (n, embedding_dim), a row for each hit.
        exhaustive: no nearer image that matches was left unseen; False only under a filter, of
            an adapter that looks at so many images and no further.
    """

    hits: Sequence[tuple[Image, float]]
    embeddings: Embeddings
    exhaustive: bool = True


@dataclass(frozen=True)
class Tagged:
    """
    The images whose tags have words that were looked for.

    Attributes:
        hits: best first, each with what its words say together: the rarer they are the more.
        embeddings: (n, embedding_dim), a row for each hit.
    """

    hits: Sequence[tuple[Image, float]]
    embeddings: Embeddings


class Library(Protocol):
    """Images, and their embeddings by image and model.

    Each method raises Unavailable when it does not answer; some of what was to be stored may be.
    """

    def put(
        self, images: Sequence[Image], embeddings: Mapping[str, Embedding], model_revision: str
    ) -> set[str]:
        """
        Store *images*, and the embeddings of *model_revision* of those that are in *embeddings*.

        What is there of an image, or of it and the model, is replaced; only what is kept of its
        pixels stays where *images* know nothing of them. An image of which no embedding of the
        model is stored may be left out.

        Returns:
            those of *images* that have an embedding of *model_revision* now.

        Raises:
            Bug: an embedding is not one finite row; nothing is stored.
        """

    def embedded(self, image_ids: abc.Collection[str], model_revision: str) -> set[str]:
        """
        Return those of *image_ids* that have all that an embedder makes of them.

        That is an embedding of *model_revision*, and what is kept of their pixels, which images
        that were embedded by an earlier version lack until their pool is fetched again.
        """

    def vectors(
        self, image_ids: Sequence[str], model_revision: str
    ) -> tuple[dict[str, PixelFacts | None], Embeddings]:
        """
        Return those of *image_ids* that have a sound embedding, in order, and a row for each.

        With each comes what is kept of its pixels, as far as it is.

        Damaged ones are deleted: they are to be made anew.
        """

    def nearest(self, query: Embedding, k: int, model_revision: str, where: Where = ()) -> Nearest:
        """
        Return the *k*, at most *MAX_NEAREST*, images nearest to *query* that *where* leaves.

        Only embeddings of *model_revision* are looked at. Fewer than *k* are all that match, or
        else the answer is not exhaustive.

        Raises:
            Overloaded: too many are searching already.
        """

    def tagged(
        self,
        words: Sequence[str],
        query: Embedding,
        k: int,
        model_revision: str,
        where: Where = (),
    ) -> Tagged:
        """
        Return up to *k* images that *where* leaves, and whose tags have any of *words*.

        Of those whose tags say the same the nearest to *query* come first. Images without an
        embedding of *model_revision* are left out. A word that very many images have is not looked
        for: an adapter says how many.

        Args:
            words: as `words_to_look_for` of `domain/tag_words.py` gives them.
        """

    def model_revisions(self) -> list[str]:
        """Return the models that stored embeddings are of, in order."""

    def coverage(self, model_revision: str) -> Coverage:
        """
        Return how many of all images have an embedding of *model_revision*: `nearest` sees those.

        An adapter may estimate how many images there are while some of several models are
        stored: it says how. Those of one model are counted.
        """

    def waiting(self, model_revision: str) -> Iterator[Image]:
        """Yield the images that have embeddings of other models and none of *model_revision*."""

    def keep_only(self, model_revision: str) -> int:
        """
        Delete the embeddings of all other models, a few at a time, and return how many.

        An image without one of *model_revision* is forgotten; its original stays.
        """

    def forget(self, image_ids: abc.Collection[str]) -> None:
        """Delete the images and their embeddings, of whatever model; those unknown are no error."""

    def close(self) -> None:
        """Close what is open, also a database that is shared with the pools."""


class Retention(Protocol):
    """
    What must stay forgotten, and what is to be: pictures taken down, and when images were used.

    It is of the database of `Pools`. Each method raises Unavailable when that does not answer.
    """

    def version(self) -> str:
        """
        Return what is another text after each `note_forgotten`, `withdraw` and `allow`.

        It is "" while there was none of these.
        """

    def note_forgotten(self) -> None:
        """Note that something was forgotten, so that each process lets go of its copies."""

    def withdraw(self, withdrawals: Sequence[Withdrawal]) -> None:
        """Keep *withdrawals*, in place of what is kept of the same images."""

    def allow(self, image_ids: abc.Collection[str]) -> None:
        """Forget that the images were withdrawn; those that were not are no error."""

    def withdrawn(self) -> dict[str, Withdrawal]:
        """Return all that are withdrawn, by image_id."""

    def note_used(self, image_ids: abc.Collection[str], day: int) -> None:
        """Note that images were used on *day*, see `day_of`; a later one that is noted stays."""

    def unused(self, before: int, most: int) -> list[str]:
        """
        Return up to *most* images that were used last before the day *before*, oldest first.

        Those of which nothing was ever noted are not among them.
        """

    def drop_uses(self, image_ids: abc.Collection[str]) -> None:
        """Forget when the images were used."""


@dataclass(frozen=True)
class KnownFile:
    """What is remembered of a file: its image, "" where it has none, and if it has no problem."""

    stamp: Stamp
    image_id: str
    is_sound: bool

    @property
    def may_be_believed(self) -> bool:
        """Whether it is sound, and not one that is to be read again: such a file has no time."""
        return self.is_sound and self.stamp.modified_ns >= 0


class Collections(Protocol):
    """The folders whose pictures are searched, and what was read of their files.

    Each method raises Unavailable when they do not answer.
    """

    def all(self) -> list[Collection]:
        """Return them in the order of their names."""

    def keep(self, collection: Collection) -> None:
        """
        Add *collection*, or give the one of its name another root.

        Where it comes to keep places, or no longer does, all its files are to be read again.
        """

    def forget(self, name: str) -> None:
        """Delete the collection and what is kept of its files; none is no error."""

    def known_files(
        self, name: str, *, after: str = "", most: int | None = None
    ) -> dict[str, KnownFile]:
        """Return the files of the collection by path, in order: *most* after the path *after*."""

    def put_files(self, name: str, files: Sequence[CollectedFile]) -> None:
        """
        Keep *files*; what was kept of their paths is replaced.

        Raises:
            NotFound: the collection was removed.
        """

    def drop_files(self, name: str, paths: abc.Collection[str]) -> None:
        """Forget the files of these *paths*."""

    def files_of(
        self, image_ids: abc.Collection[str]
    ) -> dict[str, list[tuple[str, CollectedFile]]]:
        """Return by image_id its files, each with its collection's name, in order of both."""

    def to_renew(self) -> list[str]:
        """
        Return the images whose files changed since `renewed` was told of them.

        What changes files notes it at once, so that nothing is lost with a process.
        """

    def renewed(self, image_ids: abc.Collection[str]) -> None:
        """Note that the library says of these images what their files do."""

    def not_of_one_file(self, image_ids: abc.Collection[str]) -> set[str]:
        """Return those of *image_ids* that have several files, or none."""

    def note_problems(self, problems: Mapping[str, str]) -> None:
        """Note of files why their image, by image_id, is none."""

    def problems(self, name: str, most: int) -> tuple[list[tuple[str, str]], int]:
        """Return up to *most* paths with why there is no image of each, and how many there are."""

    def counts(self) -> list[CollectionCount]:
        """
        Return what is there of each collection, in the order of their names.

        Where nobody can count the different images, copies are among them: an adapter says so.
        """

    def ask(self, name: str) -> int:
        """Ask whoever has the data folder for an update; return the number of the request."""

    def asked(self) -> dict[str, int]:
        """Return the collections whose updates are asked for, each with its last request."""

    def answer(self, name: str, request: int) -> None:
        """Note that the requests up to *request* are done."""

    def is_answered(self, name: str, request: int) -> bool:
        """Return whether *request* is done, or the collection gone."""

    def note(self, name: str, update: Update) -> None:
        """Note how far the update of the collection is."""

    def last_update(self, name: str) -> Update:
        """Return what was noted last."""


@dataclass(frozen=True)
class Position:
    """
    How far a bucket is listed for a request.

    Attributes:
        before: after which name the page before began; None of the first page.
        after: after which name the next page begins.
        listed_at: when there was no next one.
    """

    request: int = 0
    before: str | None = None
    after: str = ""
    listed_at: datetime | None = None


class BucketCollections(Collections, Protocol):
    """
    Collections that are buckets, which messages change in any order, several at once.

    Of each stamp the generation of the object stands for the time; what `put_files` finds of a
    later one stays. A file whose image is not renewed is unsound: whoever took it in may have died.
    What was read of another root is unsound, too, and of the generation -1.
    """

    def retire(self, name: str) -> None:
        """
        Have the collection be none any more, but to `known_files` and `drop_files`.

        What is kept of it is there until `forget`; until then `keep` refuses its name.
        """

    def is_there(self, name: str) -> bool:
        """Return whether anything is kept of the collection, be it that it is being removed."""

    def bury(self, name: str, generations: Mapping[str, int], now: datetime) -> None:
        """
        Forget the files of these paths that are of this generation, or an earlier one.

        That they went is kept for some days: what an event tells late of an earlier generation
        brings none back.
        """

    def known(self, name: str, path: str) -> KnownFile | None:
        """Return what is remembered of a file; of one that went, a sound one without an image."""

    def unrenewed(self, name: str, paths: abc.Collection[str]) -> set[str]:
        """Return the images that are to be renewed as these files changed: see `to_renew`."""

    def position(self, name: str) -> Position:
        """Return how far the bucket is listed; NotFound where the collection is none."""

    def advance(self, name: str, before: Position, after: Position, update: Update) -> bool:
        """Note *after* and *update* where *before* is noted; return whether it was."""


@dataclass(frozen=True)
class ListedObject:
    """
    An object as a bucket lists it.

    Attributes:
        size: in bytes.
        generation: of its content; a later upload has a higher one.
    """

    name: str
    size: int
    generation: int


class Buckets(Protocol):
    """The objects of the buckets that are collections; nothing in them is ever written.

    Each method raises NotFound where the bucket or the object is none, Unavailable where they do
    not answer, and Overloaded where a quota is used up.
    """

    def listed(self, root: BucketRoot, *, after: str, most: int) -> list[ListedObject]:
        """Return the first *most* objects whose names come after *after*, in UTF-8 byte order."""

    def get(self, bucket: str, name: str, generation: int, most: int) -> bytes:
        """
        Return the first *most* bytes of the object, as this generation has them.

        Raises:
            RejectedImage: it cannot be read without more than a right: its owner has the key, say.
        """


class PictureReader(Protocol):
    """What the bytes of pictures say, and what is shown of them."""

    def is_picture(self, path: str) -> bool:
        """Return whether a file of this path may be one; hidden ones and thumbnails are none."""

    def is_sidecar(self, path: str) -> bool:
        """Return whether a file of this path may say more of a picture that it lies beside."""

    def sidecars(self, paths: abc.Iterable[str]) -> Mapping[str, Sequence[str]]:
        """Return by picture those of *paths* that are its sidecars; pictures without have none."""

    def read(
        self,
        listed: ListedFile,
        data: bytes,
        *,
        keeps_place: bool,
        documents: Sequence[bytes] = (),
    ) -> tuple[CollectedFile, bytes]:
        """
        Return the file of a picture's bytes, and its preview: a JPEG of pixels alone.

        What cannot be read is its problem; its preview is empty then.

        Args:
            documents: the bytes of its sidecars.
        """


class CollectionFolders(Protocol):
    """The files of collections, where they lie; nothing of them is ever written."""

    def listed(self, root: str) -> Iterator[ListedFile | Unreadable]:
        """
        Yield the pictures of the folder and all within it, and what cannot be read.

        Raises:
            NotFound: there is no such folder.
        """

    def read(
        self,
        root: str,
        listed: ListedFile,
        *,
        keeps_place: bool,
        known: CollectedFile | None = None,
    ) -> tuple[CollectedFile, bytes]:
        """
        Return the file as it is now, and its bytes if they are a JPEG, PNG or WebP, else none.

        What cannot be read of it is its problem.

        Args:
            known: the file as it was read before; where its own bytes are as they were, they are
                not read again, and none are returned.
        """

    def picture(self, root: str, path: str, stamp: Stamp) -> bytes:
        """
        Return the file's picture, as a JPEG, PNG or WebP.

        Raises:
            NotFound: it is gone, or another one than *stamp* says.
            RejectedImage: it cannot be read as a picture.
        """


@dataclass(frozen=True)
class Slot(Generic[SlotKey, Value]):
    """
    A kind of value in the cache; `imagesearch/usecases/cache_slots.py` declares them all.

    Attributes:
        prefix: the first part of its keys, its own.
        parts: of a key, the further parts.
        pack: a value as bytes.
        unpack: those bytes as the value; ValueError when they are damaged or of another version.
        ttl_seconds: how long a value is kept, unless it is put for another time.
    """

    prefix: str
    parts: Callable[[SlotKey], Sequence[str]]
    pack: Callable[[Value], bytes]
    unpack: Callable[[bytes], Value]
    ttl_seconds: float

    def name(self, key: SlotKey) -> bytes:
        """Return the name of *key* among all slots; any text makes one, a lone surrogate too."""
        return ":".join((self.prefix, *self.parts(key))).encode("utf-8", "surrogatepass")


class Cache(Protocol):
    """Hot copies with a time to live. It may lose anything at any moment and never raises:
    a cache that does not answer behaves as an empty one, and is logged.
    """

    def get(self, slot: Slot[SlotKey, Value], key: SlotKey) -> Value | None:
        """Return the value of *key*, or None; what does not unpack is logged and is None, too."""

    def get_many(self, slot: Slot[SlotKey, Value], keys: Sequence[SlotKey]) -> dict[SlotKey, Value]:
        """Return the values at hand, by key, in one round trip."""

    def put(
        self,
        slot: Slot[SlotKey, Value],
        key: SlotKey,
        value: Value,
        *,
        ttl_seconds: float | None = None,
    ) -> None:
        """Keep *value* for *ttl_seconds*, those of the slot when None; not at all under 1 ms."""

    def drop(self, slot: Slot[SlotKey, Value], keys: Sequence[SlotKey]) -> None:
        """Forget the values of *keys*, in one round trip."""


class RateLimiter(Protocol):
    """Buckets of tokens, shared by all who use the limiter."""

    def take_token(self, bucket: str, *, limit: int, period_seconds: float) -> float:
        """
        Take one token of *bucket*, which holds *limit* and refills evenly in *period_seconds*.

        Returns:
            0.0 when a token was taken, else the seconds until there is one (none was taken).
            An unreachable limiter grants every token.

        Raises:
            Bug: a *limit* under 1, or a period of less than a microsecond for each token.
        """


class Publisher(Protocol):
    """The way out for messages; each kind of message has its topic."""

    def publish(self, message: Message) -> None:
        """
        Hand *message* over for at-least-once delivery.

        Raises:
            Overloaded, Unavailable: it was not taken, as far as is known; publish it again.
            Bug: it will never be taken as it is.
        """


class ImageSource(Protocol):
    """Where images come from."""

    def pages(self, keyword: str, options: SourceOptions) -> Iterator[Listing]:
        """
        Yield what is offered for *keyword*, page by page, each as soon as it is read.

        No image is on two pages, and there are `options.pool_size` of them in all at the most.

        Raises:
            SourceRefused: it will never answer this request.
            Overloaded: its rate limit; `retry_after_seconds` says when it ends.
            Unavailable: it is down, slow or answers nonsense.
        """

    def download(self, image: ListedImage) -> bytes:
        """
        Return the bytes of *image*.

        Raises:
            RejectedImage: this image cannot be had (gone, too big, not an image, wrong host).
            Unavailable: it could not be had now (time-out, connection, 5xx, 429).
        """

    def close(self) -> None:
        """Close the connections that are kept for later requests."""


@dataclass(frozen=True)
class TextEmbedding:
    """A query's embedding; *truncated* when tokens past the model's last were cut."""

    vector: Embedding  # (embedding_dim,)
    truncated: bool


@dataclass(frozen=True)
class ImageEmbedding:
    """An image's embedding, and what is kept of its pixels beside it."""

    vector: Embedding  # (embedding_dim,)
    pixels: PixelFacts


class Encoder(Protocol):
    """CLIP or SigLIP: images and texts into one space."""

    @property
    def model_revision(self) -> str:
        """Model id + weights revision + preprocessing version; keys every embedding."""

    @property
    def logit_scale(self) -> float:
        """What a cosine is multiplied by to become a logit."""

    @property
    def logit_bias(self) -> float:
        """What is added to that then; 0 of a CLIP."""

    @property
    def references(self) -> References:
        """Captions about anything, by which cosines are corrected."""

    @property
    def thresholds(self) -> Thresholds | None:
        """From which strength on a hit is a match; None where the model was never calibrated."""

    def encode_images(self, images: Sequence[bytes]) -> Sequence[ImageEmbedding | ImageSearchError]:
        """
        Embed encoded images (JPEG, PNG or WebP bytes), each one on its own merits.

        Returns:
            For each image its embedding, the RejectedImage that says why there is none, or the
            error for which it was not done; what is done is to be kept, then that one raised.

        Raises:
            Overloaded, Unavailable, DeadlineExceeded: come back later; none is done.
        """

    def encode_picture(self, data: bytes) -> Embedding:
        """
        Embed the picture of a query, which waits for no batch of images.

        Raises:
            RejectedImage: it is no still JPEG, PNG or WebP, or none that can be decoded.
            Overloaded, Unavailable, DeadlineExceeded: come back later.
        """

    def encode_texts(self, texts: Sequence[str]) -> Sequence[TextEmbedding]:
        """
        Embed the texts of one query; tokens past the model's last position are cut.

        Raises:
            Overloaded: the queue is full.
        """

    def check(self) -> None:
        """Return when the model answers, running it if it has not run for a while."""

    def close(self) -> None:
        """Let go of the model; what is asked of it later is Unavailable."""


@dataclass(frozen=True)
class ScoreReply:
    """
    The scorer's answer.

    Attributes:
        hits: best first.
        embedded: how many images could be scored: the pool's, whatever the filters leave of
            them, and without those of a pool beside it; in scope `catalog` the hits.
        embedded_beside: as many of the pool beside it; None without one, and from a scorer of an
            earlier version.
        model_revision: of the embeddings that were scored.
        query_truncated: the query had more tokens than the model reads.
        encode_seconds, score_seconds: of the text encoder, and of all else.
        complete: in scope `catalog`, no stored image awaits the model.
        embeds: the model_revision of the model that embeds, where another one scored.
        covered: in scope `catalog`, the share of the stored images that the model has embedded.
        matching: how many images, of the pool and the one beside it, the filters leave; None in
            scope `catalog`, where nobody counts them.
        exhaustive: in scope `catalog`, there are `top_k` hits, or no image that matches was left
            unseen, as fewer than *MAX_NEAREST* are stored; see `Nearest`.
        matched: whether any image is a fair match, of which there is none among no images; None
            where images and words are not what is compared, or the model was never calibrated.
        more: there are hits after these.
    """

    hits: tuple[SearchHit, ...]
    embedded: int
    model_revision: str
    query_truncated: bool
    encode_seconds: float
    score_seconds: float
    complete: bool = True
    matching: int | None = None
    exhaustive: bool = True
    matched: bool | None = None
    more: bool = False
    embedded_beside: int | None = None
    covered: float = 1.0
    embeds: str | None = None


class Scorer(Protocol):
    """Scores a pool, or the whole catalog, against a query."""

    def score(self, request: ScoreRequest) -> ScoreReply:
        """
        Answer *request* from what is embedded so far.

        Raises:
            Overloaded, Unavailable, DeadlineExceeded: come back later.
        """
