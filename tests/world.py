"""The use cases over the embedded adapters, with twins for what is far away, and a set clock.

Messages wait in `World.outbox` until a test delivers them, in any order and as often as it likes.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from imagesearch import telemetry
from imagesearch.adapters.caches.in_process import InProcessCache, InProcessLimiter
from imagesearch.adapters.pools.sqlite import SqlitePools
from imagesearch.adapters.sqlite import SqliteFile
from imagesearch.adapters.stores.files import FolderStore
from imagesearch.domain.errors import ImageSearchError, RejectedImage
from imagesearch.domain.images import Credit, Embedding, Image, ListedImage, Listing
from imagesearch.domain.pixels import COLOURS, PixelFacts
from imagesearch.domain.pools import Pool, PoolPolicy, SourceOptions
from imagesearch.domain.queries import Query, SearchRequest
from imagesearch.domain.ranking import References, Thresholds
from imagesearch.domain.work import EmbedBatch, FetchJob, Message, PoolMessage
from imagesearch.ports import Cache, ImageEmbedding, RateLimiter, TextEmbedding
from imagesearch.usecases.embed import Embed
from imagesearch.usecases.fetch import Fetch, GiveUp
from imagesearch.usecases.forget import Forget
from imagesearch.usecases.pools import Catalog
from imagesearch.usecases.score import Score
from imagesearch.usecases.search import (
    Search,
    SearchAnswer,
    catalog_searches,
    new_keywords,
)
from imagesearch.usecases.spending import Spending
from imagesearch.wire.messages import decode, encode
from tools.catalogs import sqlite_catalog

_JPEG, _END = b"\xff\xd8\xff", b"\xff\xd9"  # what every original begins and ends with
START = datetime(2026, 1, 1, 12, tzinfo=UTC)


def original(text: str) -> bytes:
    """Return the bytes of an image that the twins tell from others by *text*."""
    return _JPEG + text.encode() + _END


@dataclass
class SetClock:
    """A clock that moves when it is told to; sleeping moves it, and runs what waits for it."""

    time: datetime = START
    elapsed_seconds: float = 0.0  # asleep, whatever was made of the time meanwhile
    during_sleep: list[object] = field(default_factory=list)

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.elapsed_seconds

    def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)
        self.elapsed_seconds += seconds
        if self.during_sleep:
            step = self.during_sleep.pop(0)
            assert callable(step)
            step()


def listed(number: int, **changes: object) -> ListedImage:
    """Return the *number*-th image that the twin of the source offers."""
    image_id = f"twin-{number}"
    image = Image(
        image_id=image_id,
        object_name=f"{image_id}.jpg",
        page_url=f"https://example.com/{number}",
        width=640,
        height=427,
        credit=Credit("someone", "Twin"),
        tags=("tag", str(number)),
    )
    return ListedImage(image, f"https://example.com/{number}.jpg")


@dataclass
class TwinSource:
    """An image source in memory: *offers* by keyword; errors can be laid in its way."""

    offers: dict[str, Listing] = field(default_factory=dict)
    listing_errors: list[Exception] = field(default_factory=list)
    download_errors: dict[str, Exception] = field(default_factory=dict)
    listings: int = 0
    failing_seconds: float = 0.0  # how long a download takes to fail
    downloads: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def close(self) -> None:
        return None

    def pages(self, keyword: str, options: SourceOptions) -> Iterator[Listing]:
        with self.lock:
            self.listings += 1
        if self.listing_errors:
            raise self.listing_errors.pop(0)
        yield self.offers.get(keyword, Listing(()))

    def download(self, image: ListedImage) -> bytes:
        image_id = image.image.image_id
        with self.lock:
            self.downloads.append(image_id)
        if image_id in self.download_errors:
            time.sleep(self.failing_seconds)
            raise self.download_errors[image_id]
        return original(image_id)


@cache
def _direction(model_revision: str, data: bytes) -> Embedding:
    seed = int.from_bytes(hashlib.sha256(model_revision.encode() + data).digest()[:8])
    vector = np.random.default_rng(seed).normal(size=16).astype(np.float32)
    unit: Embedding = vector / np.linalg.norm(vector)
    unit.flags.writeable = False  # many tests have this very one
    return unit


@dataclass
class TwinEncoder:
    """An encoder that needs no model: equal bytes and texts give equal directions."""

    model_revision: str = "twin-1"
    logit_scale: float = 100.0
    logit_bias: float = 0.0
    thresholds: Thresholds | None = None
    images: int = 0
    pictures: int = 0
    texts: int = 0

    @property
    def references(self) -> References:
        rows = [self._direction(b"reference %d" % number) for number in range(20)]
        return References(np.stack(rows))

    def _direction(self, data: bytes) -> Embedding:
        return _direction(self.model_revision, data)

    def encode_images(self, images: Sequence[bytes]) -> Sequence[ImageEmbedding | ImageSearchError]:
        self.images += len(images)
        return [self._outcome(data) for data in images]

    def _outcome(self, data: bytes) -> ImageEmbedding | ImageSearchError:
        if not data.startswith(_JPEG):
            return RejectedImage("not an image")
        return self._embedded(data.removeprefix(_JPEG).removesuffix(_END))

    def encode_picture(self, data: bytes) -> Embedding:
        self.pictures += 1
        outcome = self._outcome(data)
        if isinstance(outcome, ImageSearchError):
            raise outcome
        return outcome.vector

    def _embedded(self, data: bytes) -> ImageEmbedding:
        digest = hashlib.sha256(data).digest()
        pixels = PixelFacts.of_bits(int.from_bytes(digest[:8]), 1 << digest[8] % len(COLOURS))
        return ImageEmbedding(self._direction(data), pixels)

    def encode_text(self, text: str) -> TextEmbedding:
        self.texts += 1
        return TextEmbedding(self._direction(text.encode()), truncated=len(text) > 300)

    def encode_texts(self, texts: Sequence[str]) -> list[TextEmbedding]:
        return [self.encode_text(text) for text in texts]

    def check(self) -> None:
        return None

    def close(self) -> None:
        return None


def _place(message: PoolMessage) -> tuple[int, str]:
    """Return what batches of images named by a number are sorted by."""
    assert isinstance(message, EmbedBatch)
    return min((len(image.image_id), image.image_id) for image in message.images)


@dataclass
class Outbox:
    """A publisher that keeps what it is given."""

    messages: list[PoolMessage] = field(default_factory=list)
    clients: list[str] = field(default_factory=list)  # whom each message was ever published for
    errors: list[Exception] = field(default_factory=list)

    def publish(self, message: Message) -> None:
        if self.errors:
            raise self.errors.pop(0)
        assert isinstance(message, PoolMessage)
        self.clients.append(telemetry.current_client())
        # Through JSON, as on any wire.
        self.messages.append(decode(type(message), encode(message)))


def catalog_at(path: Path, *, on_new_file: Callable[[], None] = lambda: None) -> Catalog:
    """Return the catalog in the file *path*."""
    return sqlite_catalog(SqliteFile(path, on_new_file=on_new_file), PoolPolicy())


@cache
def _empty_catalog() -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder, "catalog.sqlite")
        SqliteFile(path).close()
        return path.read_bytes()


def file_at(path: Path) -> SqliteFile:
    """Return the file *path*; a new one has its tables from a copy, which spares making them."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_empty_catalog())
    return SqliteFile(path)


def unfinished(path: Path) -> list[Pool]:
    """Return the pools that the next start on the catalog in the file *path* would resume."""
    with closing(SqliteFile(path)) as file:
        return SqlitePools(file).unfinished()


class World:
    """One imagesearch whose time and messages are in a test's hands."""

    def __init__(self, folder: Path) -> None:
        self.policy = PoolPolicy()
        self.clock = SetClock()
        self.file = file_at(folder / "catalog.sqlite")
        self.catalog = sqlite_catalog(self.file, self.policy)
        self.cache: Cache = InProcessCache()
        self.limiter: RateLimiter = InProcessLimiter()
        self.store = FolderStore(folder / "images")
        self.source = TwinSource()
        self.encoder = TwinEncoder()
        self.outbox = Outbox()
        self.woken: list[datetime] = []  # when a search had the embedder started
        self.options = SourceOptions(source="twin")
        self.new_keywords_per_minute = 60
        self.new_keywords_per_day = 1000
        self.catalog_searches_per_minute = 600
        self.catalog_searches_per_day: int | None = None
        self.spending = Spending(self.catalog, self.clock)
        self.assemble()

    def assemble(self) -> None:
        """Build the use cases, as a process does that starts."""
        self.fetch = Fetch(
            catalog=self.catalog,
            cache=self.cache,
            store=self.store,
            source=self.source,
            publisher=self.outbox,
            clock=self.clock,
            connections=4,
        )
        self.give_up = GiveUp(catalog=self.catalog, cache=self.cache, clock=self.clock)
        self.forget = Forget(self.catalog, self.store, self.cache, self.clock)
        self.embed = Embed(
            catalog=self.catalog,
            cache=self.cache,
            store=self.store,
            encoder=self.encoder,
            clock=self.clock,
        )
        self.score = Score(
            catalog=self.catalog,
            cache=self.cache,
            encoder=self.encoder,
            clock=self.clock,
            policy=self.policy,
        )
        self.search = Search(
            catalog=self.catalog,
            cache=self.cache,
            limiter=self.limiter,
            publisher=self.outbox,
            scorer=self.score,
            clock=self.clock,
            policy=self.policy,
            options=self.options,
            wake=lambda: self.woken.append(self.clock.now()),
            new_keywords=new_keywords(self.new_keywords_per_minute, self.new_keywords_per_day),
            catalog_searches=catalog_searches(
                self.catalog_searches_per_minute, self.catalog_searches_per_day
            ),
            spending=self.spending,
            patience_seconds=60.0,  # a slow machine must not change what a test sees
        )

    def offer(self, keyword: str, count: int, **rejections: str) -> None:
        """Let the source offer images 0..*count* - 1 for *keyword*."""
        self.source.offers[keyword] = Listing(tuple(listed(i) for i in range(count)), rejections)

    def ask(
        self, keyword: str = "horse", *, client: str | None = None, **changes: object
    ) -> SearchAnswer:
        """Search *keyword* without waiting, unless told otherwise."""
        request = {"query": "twin-3", "top_k": 5, "wait_seconds": 0.0, **changes}
        query = Query.of_text(str(request.pop("query")))
        asked = SearchRequest(keyword, query, **request)  # type: ignore[arg-type]
        return self.search(asked, client=client)

    def take(self) -> PoolMessage:
        """Take the oldest message out of the outbox."""
        return self.outbox.messages.pop(0)

    def deliver(self, message: PoolMessage | None = None) -> object:
        """Deliver *message*, or the oldest in the outbox."""
        message = message or self.take()
        if isinstance(message, FetchJob):
            published = len(self.outbox.messages)
            summary = self.fetch(message)
            # Which batch is settled first is the threads' affair, and not what a test is about.
            self.outbox.messages[published:] = sorted(self.outbox.messages[published:], key=_place)
            return summary
        assert isinstance(message, EmbedBatch)
        return self.embed(message)

    def deliver_all(self) -> None:
        """Deliver until the outbox is empty."""
        while self.outbox.messages:
            self.deliver()

    def ready_pool(self, keyword: str = "horse", count: int = 5) -> Pool:
        """Return a pool of *count* images that is ready."""
        self.offer(keyword, count)
        self.ask(keyword)
        self.deliver_all()
        pool = self.ask(keyword).pool
        assert pool is not None
        return pool

    def restart(self) -> None:
        """Lose what a process has in memory: cached copies and waiting messages."""
        self.cache, self.limiter = InProcessCache(), InProcessLimiter()
        self.outbox.messages.clear()
        self.assemble()
