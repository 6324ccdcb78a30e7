"""What a search or a page of a bucket makes the services do: the counts of `tools/costs.toml`.

The use cases run over Google's own emulator, behind a gRPC server that counts what is billed: each
document that is read, found or not, and each that is written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from imagesearch.adapters.caches.in_process import InProcessCache
from imagesearch.adapters.collections.firestore import FirestoreCollections
from imagesearch.adapters.firestore import Firestore
from imagesearch.adapters.stores.files import FolderStore
from imagesearch.domain.work import EmbedBatch, Message
from imagesearch.usecases.collect import PAGE, ask
from imagesearch.usecases.pools import Catalog
from imagesearch.usecases.stored_pools import StoredPools
from tests.bucket_world import COLLECTION, BucketWorld
from tests.contract.test_firestore import client_of
from tests.grpc_proxy import GrpcProxy
from tests.world import World
from tools.catalogs import firestore_catalog
from tools.cost_model import load

COSTS = load()
COUNTS = COSTS.tables["counts"]
IMAGES = int(COSTS.value("images_per_pool"))


@dataclass
class Meter(GrpcProxy):
    """Counts the documents of each call to a Firestore."""

    documents: Counter[str] = field(default_factory=Counter)

    def after(
        self, name: str, request: bytes, answers: Sequence[bytes], context: Any
    ) -> Iterator[bytes]:
        """Count, and give the caller all of it."""
        self.documents.update(billed(name, request, answers))
        yield from super().after(name, request, answers, context)


def billed(method: str, request: bytes, answers: Sequence[bytes]) -> dict[str, int]:
    """Return what a call costs, in documents."""
    from google.cloud.firestore_v1.types import (
        BatchGetDocumentsResponse,
        CommitRequest,
        RunQueryResponse,
    )

    if method == "Commit":
        writes = CommitRequest.deserialize(request).writes
        deletes = sum("delete" in each for each in writes)
        return {"writes": len(writes) - deletes, "deletes": deletes}
    if method == "RunQuery":
        found = sum("document" in RunQueryResponse.deserialize(one) for one in answers)
        return {"reads": max(1, found)}
    if method == "RunAggregationQuery":
        return {"reads": 1}  # of each 1000 that are counted, of which no test has as many
    assert method == "BatchGetDocuments", f"{method} is billed in a way that is not counted here"
    parts = [BatchGetDocumentsResponse.deserialize(one) for one in answers]
    return {"reads": sum("found" in part or "missing" in part for part in parts)}


class CountingStore(FolderStore):
    """A folder of images that counts what would be operations of Cloud Storage."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.asked: Counter[str] = Counter()

    def put(self, name: str, data: bytes) -> None:
        self.asked["stored"] += 1
        super().put(name, data)

    def get(self, name: str) -> bytes:
        self.asked["read"] += 1
        return super().get(name)

    def existing(self, names: Collection[str]) -> set[str]:
        self.asked["looked up"] += len(names)
        return super().existing(names)


class Metered(World):
    """The use cases over a Firestore whose documents are counted."""

    def __init__(self, folder: Path, meter: Meter) -> None:
        super().__init__(folder)
        self.catalog.close()
        self.meter = meter
        client = client_of(f"127.0.0.1:{meter.port}")
        self.database = Firestore(lambda: client, total_seconds=60.0)
        self.catalog = firestore_catalog(self.database, self.policy)
        self.store = self.counted = CountingStore(folder / "counted")
        self.sent: list[Message] = []
        self.assemble()

    def search_once(self, keyword: str = "horse") -> dict[str, int]:
        """Search, do the work that follows, search again; return what that made the services do."""
        self.meter.documents.clear()
        self.counted.asked.clear()
        self.sent.clear()
        self.ask(keyword, client="198.51.100.7")  # whose new keywords are counted
        while self.outbox.messages:
            self.sent.append(self.outbox.messages[0])
            self.deliver()
        if self.sent:
            assert self.ask(keyword).complete
        assert not self.counted.asked["read"]  # the bytes came from the cache
        return {
            "firestore_reads": self.meter.documents["reads"],
            "firestore_writes": self.meter.documents["writes"],
            "images_looked_up": self.counted.asked["looked up"],
            "images_stored": self.counted.asked["stored"],
            "messages": len(self.sent),
        }


@pytest.fixture
def world(firestore_host: str, open_firestore: Any, tmp_path: Path) -> Iterator[Metered]:
    """Use cases over an empty Firestore."""
    with Meter(firestore_host) as meter:
        world = Metered(tmp_path, meter)
        world.offer("horse", IMAGES)
        with closing(world.catalog):
            yield world


def counted(kind: str) -> dict[str, int]:
    """Return the counts of the table but for deletions, which Firestore does by itself."""
    return {name: number for name, number in COUNTS[kind].items() if name != "firestore_deletes"}


def test_searches_of_a_keyword_make_what_the_table_says(world: Metered) -> None:
    assert world.search_once() == counted("new")
    nothing = dict.fromkeys(counted("warm"), 0)
    assert world.search_once() == nothing, "its state is noted"
    world.clock.time += timedelta(days=1, seconds=1)
    assert world.search_once() == counted("renewed")
    world.search = replace(world.search, cache=InProcessCache())
    assert world.search_once() == counted("warm"), "what was noted is forgotten"
    world.restart()
    reads = world.search_once()["firestore_reads"]
    # A scorer that starts without Memorystore reads the whole pool.
    assert reads == counted("warm")["firestore_reads"] + COSTS.value("reads_to_load_a_pool")


def test_a_search_that_waits_reads_as_often_as_the_table_says(world: Metered) -> None:
    """Every second it looks at the truth, and in between at what is noted."""
    seconds = COSTS.value("wait_seconds")
    world.meter.documents.clear()
    world.ask(wait_seconds=0.0)
    before = world.meter.documents["reads"]
    world.ask(wait_seconds=seconds)
    waiting = world.meter.documents["reads"] - before - 1  # of the request itself
    assert waiting == pytest.approx(seconds * COSTS.value("reads_per_second_waiting"), abs=1)


def test_what_is_counted_is_a_catalog_like_any_other(world: Metered) -> None:
    catalog: Catalog = world.catalog
    assert catalog.pool("none") is None
    assert world.meter.documents == {"reads": 1}  # what is not there is billed, too


# Pages of a bucket


class MeteredBucket(BucketWorld):
    """A bucket that is a collection, over a Firestore whose documents are counted."""

    def __init__(self, folder: Path, metered: Metered) -> None:
        super().__init__(folder, page=PAGE)
        self.metered, self.world = metered, metered
        database = metered.database
        self.collections = FirestoreCollections(database)  # type: ignore[assignment]
        images = replace(
            self.images,
            catalog=metered.catalog,
            collections=self.collections,
            store=metered.counted,
            pools=StoredPools(metered.catalog, self, metered.clock, 1),
            clock=metered.clock,
        )
        self.collect = replace(self.collect, images=images, clock=metered.clock)
        self.images = images

    def update_once(self) -> dict[str, int]:
        """Bring it up to date, and embed all of it; return what that made the services do."""
        ask(self.collections, self, COLLECTION)
        self.buckets.reads.clear()
        self.metered.counted.asked.clear()
        self.metered.meter.documents.clear()
        sent = batches = 0
        while self.messages:
            # Batches first: no look meets one in work.
            self.messages.sort(key=lambda each: not isinstance(each, EmbedBatch))
            batches += isinstance(self.messages[0], EmbedBatch)
            sent += 1
            self.deliver(self.messages.pop(0))
        documents, asked = self.metered.meter.documents, self.metered.counted.asked
        return {
            "firestore_reads": documents["reads"],
            "firestore_writes": documents["writes"],
            "firestore_deletes": documents["deletes"],
            "objects_read": len(self.buckets.reads),
            "previews_stored": asked["stored"],
            "previews_read": asked["read"],
            "batches": batches,
            "messages": sent,
        }


def test_a_page_of_a_bucket_makes_what_the_table_says(world: Metered, tmp_path: Path) -> None:
    assert COSTS.value("page_pictures") == PAGE
    bucket = MeteredBucket(tmp_path / "bucket", world)
    for number in range(PAGE):
        bucket.buckets.write(f"p/{number:03}.jpg", str(number))
    assert bucket.update_once() == COSTS.counted_pages("new")
    assert bucket.update_once() == COSTS.counted_pages("unchanged")
