"""A world with buckets in memory that are collections, whose messages are in a test's hands."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from imagesearch.domain.buckets import BucketRoot
from imagesearch.domain.collections import (
    CollectedFile,
    Collection,
    ListedFile,
    Update,
    own_image_id,
    stamp_of,
)
from imagesearch.domain.errors import NotFound, Overloaded
from imagesearch.domain.images import Image
from imagesearch.domain.picture_facts import PictureFacts, joined
from imagesearch.domain.work import BucketChange, BucketEvent, CollectJob, EmbedBatch, Message
from imagesearch.folders.bucket import BucketPictures
from imagesearch.folders.facts import facts_of_xmp
from imagesearch.ports import ListedObject
from imagesearch.usecases.bucket_images import BucketImages
from imagesearch.usecases.collect import Collect, CollectReport, Follow, Remove, ask
from imagesearch.usecases.stored_pools import StoredPools
from imagesearch.wire.messages import decode, encode
from tests.bucket_collections import MemoryCollections
from tests.world import World, original

REVISION = "twin-1"
COLLECTION = Collection("Pictures", "gs://ann/p")


@dataclass
class TwinBuckets:
    """Buckets in memory: name and bytes by bucket; what changes in them is told in *events*."""

    objects: dict[str, dict[str, tuple[int, bytes]]] = field(default_factory=lambda: {"ann": {}})
    events: list[BucketEvent] = field(default_factory=list)
    reads: list[str] = field(default_factory=list)
    generation: int = 100

    def write(self, name: str, text: str, bucket: str = "ann") -> None:
        self.put(name, original(text) if text else b"", bucket)

    def put(self, name: str, data: bytes, bucket: str = "ann") -> None:
        before = self.objects[bucket].get(name)
        self.generation += 1
        self.objects[bucket][name] = (self.generation, data)
        self.events.append(BucketEvent(BucketChange.FINALIZED, bucket, name, self.generation))
        if before:
            self._went(bucket, name, before[0], is_overwritten=True)

    def delete(self, name: str, bucket: str = "ann") -> None:
        self._went(bucket, name, self.objects[bucket].pop(name)[0])

    def _went(
        self, bucket: str, name: str, generation: int, *, is_overwritten: bool = False
    ) -> None:
        event = BucketEvent(BucketChange.DELETED, bucket, name, generation, is_overwritten)
        self.events.append(event)

    def listed(self, root: BucketRoot, *, after: str, most: int) -> list[ListedObject]:
        if root.bucket not in self.objects:
            raise NotFound(f"the bucket {root.bucket} is not there")
        return [
            ListedObject(name, len(data), generation)
            for name, (generation, data) in sorted(self.objects[root.bucket].items())
            if name.startswith(root.prefix) and name > after
        ][:most]

    def get(self, bucket: str, name: str, generation: int, most: int) -> bytes:
        stands, data = self.objects[bucket].get(name, (0, b""))
        if stands != generation:
            raise NotFound(f"{name} of {generation} is gone")
        self.reads.append(name)
        return data[:most]


class TwinPictures(BucketPictures):
    """Reads what `original` makes: its preview is itself; what is empty is no picture."""

    def read(
        self,
        listed: ListedFile,
        data: bytes,
        *,
        keeps_place: bool,
        documents: Sequence[bytes] = (),
    ) -> tuple[CollectedFile, bytes]:
        if not data:
            return super().read(listed, data, keeps_place=keeps_place)
        image_id = own_image_id(hashlib.sha256(data).hexdigest())
        facts = PictureFacts(place=(1.0, 2.0) if keeps_place else None)
        for document in documents:
            facts = joined(facts, facts_of_xmp(document))
        known_by = stamp_of(listed)
        file = CollectedFile(listed.path, listed.stamp, known_by, image_id, (4, 3), facts)
        return file, data


class BucketWorld:
    """A world with the bucket `ann`, of which `p/` is the collection Pictures."""

    def __init__(self, folder: Path, *, page: int = 4) -> None:
        self.folder = folder
        self.world = World(folder)
        self.buckets = TwinBuckets()
        self.collections = MemoryCollections()
        self.messages: list[Message] = []
        self.embeds_at_once = False  # before whoever publishes goes on
        world = self.world
        images = BucketImages(
            catalog=world.catalog,
            collections=self.collections,
            buckets=self.buckets,
            pictures=TwinPictures(1000),
            store=world.store,
            pools=StoredPools(world.catalog, self, world.clock, 1),
            clock=world.clock,
            max_bytes=1000,
        )
        self.images = images
        self.collect = Collect(images, self, world.clock, page=page)
        self.follow = Follow(images, world.clock)
        self.remove = Remove(images, world.clock)

    def publish(self, message: Message) -> None:
        message = decode(type(message), encode(message))  # as on any wire
        if self.embeds_at_once and isinstance(message, EmbedBatch):
            self.world.embed(message)
        else:
            self.messages.append(message)

    def ask(self, collection: Collection = COLLECTION) -> int:
        """Ask for an update of the collection, as the command does."""
        return ask(self.collections, self, collection)

    def deliver(self, message: Message) -> CollectReport | None:
        """Deliver *message* once; what met overload waits to come again."""
        try:
            if isinstance(message, CollectJob):
                return self.collect(message)
            if isinstance(message, BucketEvent):
                return self.follow(message)
            assert isinstance(message, EmbedBatch)
            self.world.embed(message)
        except Overloaded as error:
            self.world.clock.sleep(error.retry_after_seconds or 0.0)
            self.messages.append(message)
        return None

    def deliver_all(self) -> None:
        """Deliver all that waits, oldest first, until nothing does."""
        for _ in range(1000):
            if not self.messages:
                return
            self.deliver(self.messages.pop(0))
        raise AssertionError(f"it never ends: {self.messages}")

    def add(self, collection: Collection = COLLECTION) -> Update:
        """Add the collection, or bring it up to date, and return what came of it."""
        self.ask(collection)
        self.deliver_all()
        assert collection.name not in self.collections.asked()
        return self.collections.last_update(collection.name)

    def tell(self) -> None:
        """Have the events delivered that the bucket sent since the last time."""
        self.messages += self.buckets.events
        self.buckets.events = []
        self.deliver_all()

    def images_found(self) -> dict[str, Image]:
        """Return all images that are found, by the path of their first file."""
        library = self.world.catalog.library
        nearest = library.nearest(self.world.encoder._direction(b"?"), 1000, REVISION)
        return {image.collected.file: image for image, _ in nearest.hits if image.collected}

    def stored(self) -> set[str]:
        """Return the names of all previews."""
        return {path.name for path in self.folder.rglob("own-*.jpg")}

    def check(self) -> None:
        """Raise AssertionError where anything is not as the bucket is."""
        there = {
            name.removeprefix("p/"): own_image_id(hashlib.sha256(data).hexdigest())
            for name, (_, data) in self.buckets.objects["ann"].items()
            if name.startswith("p/") and data and not name.endswith(".xmp")
        }
        known = self.collections.known_files("Pictures")
        assert {path: file.image_id for path, file in known.items() if file.image_id} == there
        found = self.images_found().values()
        assert {image.image_id for image in found} == set(there.values())
        for image in found:
            assert image.collected is not None
            paths = sorted(path for path, each in there.items() if each == image.image_id)
            assert image.collected.file == paths[0]
            folders = {path.rpartition("/")[0] for path in paths} - {""}
            assert set(image.collected.folders) == folders
        assert self.stored() == {f"{each}.jpg" for each in there.values()}
        assert list(self.world.catalog.pools.pool_ids()) == []
        assert self.collections.to_renew() == []
