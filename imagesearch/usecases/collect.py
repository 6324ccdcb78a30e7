"""The use cases `collect`, `follow` and `remove`: buckets that are collections.

A message is a page of a bucket, or what Cloud Storage tells of one object; both may come twice, at
once and in any order. What became of images is noted by whoever comes next, see
`bucket_images.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime

from imagesearch.domain.buckets import BucketRoot, bucket_root, is_bucket, object_url
from imagesearch.domain.collections import (
    CollectedFile,
    Collection,
    ListedFile,
    Stamp,
    Update,
    checked_name,
    stamp_of,
)
from imagesearch.domain.errors import InvalidRequest, NotFound, Overloaded
from imagesearch.domain.forgetting import Forgotten
from imagesearch.domain.pools import Pool
from imagesearch.domain.work import BucketChange, BucketEvent, CollectJob
from imagesearch.ports import BucketCollections, Clock, KnownFile, Position, Publisher
from imagesearch.usecases.bucket_images import POLL_SECONDS, BucketImages, Settled, beginning_of

PAGE = 200  # objects of a message
FIRST_PAGE = 24  # few: they are searchable while the others are read
PAGE_SECONDS = 100.0  # after which the rest of a page is the next one's: a push has 180 s for work
_POOLS_AT_ONCE = 3  # of a page each: what a new keyword may have to wait for
_EVENTS_AT_ONCE = 40  # pools of an image each
_READERS = 4  # each holds a file


@dataclass(frozen=True)
class CollectReport:
    """What one run did: objects that were listed, read, and found gone."""

    outcome: str = "listed"
    listed: int = 0
    read: int = 0
    gone: int = 0


@dataclass(frozen=True)
class _Page:
    """
    Some of a bucket, as it was known and as it is.

    Attributes:
        files: the pictures that are there.
        changed: those of them that are to be read.
        gone: what went, with the generation that was known.
        images: of the files that are as they were.
        before: those of the others, as they were known.
        unread: paths of files whose bytes are no image, and not read again.
        last: the name of its last object; "" where the bucket ends with it.
    """

    files: Sequence[ListedFile]
    changed: Sequence[ListedFile]
    gone: dict[str, int]
    images: set[str]
    before: set[str]
    unread: set[str]
    last: str

    def until(self, path: str, name: str) -> _Page:
        """Return the page as if it ended with this object."""
        return _Page(
            [each for each in self.files if each.path <= path],
            [each for each in self.changed if each.path <= path],
            {each: generation for each, generation in self.gone.items() if each <= path},
            self.images,
            self.before,
            self.unread,
            name,
        )


def ask(collections: BucketCollections, publisher: Publisher, collection: Collection) -> int:
    """
    Keep *collection*, have it brought up to date, and return the number of the request.

    Raises:
        InvalidRequest: its root is no bucket, or its name none.
    """
    root = bucket_root(collection.root)
    collection = replace(collection, name=checked_name(collection.name), root=root.url)
    if collection not in collections.all():
        collections.keep(collection)
    request = collections.ask(collection.name)
    publisher.publish(CollectJob(collection.name, root.url, collection.keeps_place, request))
    return request


@dataclass(frozen=True)
class Collect:
    """Brings a collection up to date with its bucket, a page a message."""

    images: BucketImages
    publisher: Publisher
    clock: Clock
    page: int = PAGE
    page_seconds: float = PAGE_SECONDS

    @property
    def collections(self) -> BucketCollections:
        """What is kept of collections."""
        return self.images.collections

    def __call__(self, job: CollectJob) -> CollectReport:
        """
        Do *job*, and publish the next one.

        Raises:
            InvalidRequest: its root is no bucket, or imagesearch's own.
            NotFound: the collection was removed, or its bucket is not there.
            Overloaded: images are being embedded: deliver it again.
            Unavailable: deliver it again later.
        """
        if not job.request:
            ask(self.collections, self.publisher, self._scheduled(job))
            return CollectReport("asked for")
        try:
            return self._collect(job)
        except (InvalidRequest, NotFound) as error:
            self.give_up(job, str(error))
            # What was put while the collection was removed.
            self.images.renew(self.collections.to_renew())
            raise

    def give_up(self, job: CollectJob, reason: str) -> None:
        """Note that the update of *job* ended early; the next one goes on."""
        if self.collections.asked().get(job.collection) != job.request:
            return  # a later one is asked for
        stand = self.collections.last_update(job.collection)
        self.collections.note(job.collection, replace(stand, is_over=True, error=reason))
        self.collections.answer(job.collection, job.request)

    def _collect(self, job: CollectJob) -> CollectReport:
        position = self._position(job)
        if (position.request, position.after) != (job.request, job.after):
            if (position.request, position.before) == (job.request, job.after):
                # Whoever noted the next page may have died before it was published.
                self.publisher.publish(replace(job, after=position.after))
            return CollectReport("nothing to do")
        settled = self.images.settle()
        self._tell(job, settled)
        if position.listed_at is not None:
            return self._finished(job, settled.in_work, position.listed_at)
        # Those of events have an image each, and are no page's.
        if sum(pool.current.images > 1 for pool in settled.in_work) >= _POOLS_AT_ONCE:
            raise Overloaded("pictures are being embedded", retry_after_seconds=POLL_SECONDS)
        return self._page(job, position)

    def _scheduled(self, job: CollectJob) -> Collection:
        """
        Return the collection of a job of Scheduler's, as Terraform has it.

        Raises:
            InvalidRequest: its root is no bucket, or what another collection has.
        """
        root = bucket_root(job.root)
        for each in self.collections.all():
            is_same = is_bucket(each.root) and bucket_root(each.root) == root
            if is_same and each.name != job.collection:
                bound = f"{root.url} must be one collection, and is {each.name!r}"
                raise InvalidRequest(f"{bound}, got {job.collection!r}", field="collection")
        return Collection(job.collection, job.root, job.keeps_place)

    def _position(self, job: CollectJob) -> Position:
        """Return how far the collection is, of the request of *job* if that is new."""
        position = self.collections.position(job.collection)
        if job.request > position.request and not job.after:
            begun = Position(job.request)
            if self.collections.advance(job.collection, position, begun, Update()):
                return begun
            return self.collections.position(job.collection)
        return position

    def _page(self, job: CollectJob, position: Position) -> CollectReport:
        collection = next(
            (each for each in self.collections.all() if each.name == job.collection), None
        )
        if collection is None:
            raise NotFound(f"the collection {job.collection!r} was removed meanwhile")
        root = bucket_root(collection.root)
        if root.bucket == self.images.own_bucket:
            bound = "a collection must be another bucket than that of imagesearch's own images"
            raise InvalidRequest(f"{bound}, got {root.url}", field="root")
        page = self._listed(collection, root, job.after)
        page, files, previews = self._read(job, collection, root, page)
        if page.gone:
            self.collections.bury(collection.name, page.gone, self.clock.now())
        paths = [*(each.path for each in page.changed), *page.gone]
        # Those of before, too: what was noted of them another process may have done by half.
        ids = self.collections.unrenewed(collection.name, paths) | page.before
        ids |= {file.image_id for file in files}
        ids |= page.images - self.images.embedded(page.images)  # of what is as it was, in no pool
        new = self.images.renew(ids, previews)
        stand = self.collections.last_update(collection.name)
        images = {file.image_id for file in files} - {""}
        update = replace(
            stand,
            found=stand.found + len(page.files),
            unchanged=stand.unchanged
            + sum(1 for each in page.files if each.path not in page.unread)
            - len(page.changed),
            # Copies of the new ones among them, as in `ingest.py`.
            reused=stand.reused + sum(bool(file.image_id) for file in files) - len(new & images),
            waiting=stand.waiting + len(new),
            gone=stand.gone + len(page.gone),
        )
        next_one = Position(job.request, job.after, page.last)
        if not page.last:
            next_one = replace(position, listed_at=self.clock.now())
        if not self.collections.advance(collection.name, position, next_one, update):
            return CollectReport("nothing to do")
        if page.last:
            self.publisher.publish(replace(job, after=page.last))
            return CollectReport("listed", len(page.files), len(files), len(page.gone))
        return self._collect(job)

    def _listed(self, collection: Collection, root: BucketRoot, after: str) -> _Page:
        """Return the page after the object *after*."""
        most = self.page if after else min(FIRST_PAGE, self.page)
        # What is known first: what comes meanwhile is not known, and not taken for gone.
        known = self.collections.known_files(
            collection.name, after=after.removeprefix(root.prefix), most=most
        )
        objects = self.images.buckets.listed(root, after=after, most=most + 1)
        ends = [_end([each.name for each in objects])] if len(objects) > most else []
        ends += [root.prefix + max(known)] if len(known) == most else []
        files = self.images.listed(root, objects)
        changed = [each for each in files if _is_changed(each, known.get(each.path))]
        there = {each.path for each in files}
        same = there - {each.path for each in changed}
        page = _Page(
            files,
            changed,
            {path: file.stamp.modified_ns for path, file in known.items() if path not in there},
            {known[path].image_id for path in same} - {""},
            {file.image_id for path, file in known.items() if path not in same} - {""},
            {path for path in same if not known[path].image_id},
            "",
        )
        return page.until(min(ends).removeprefix(root.prefix), min(ends)) if ends else page

    def _read(
        self, job: CollectJob, collection: Collection, root: BucketRoot, page: _Page
    ) -> tuple[_Page, list[CollectedFile], dict[str, bytes]]:
        """Read what changed, as much as there is time for; return that page, and what was read."""
        ends_at = self.clock.monotonic() + self.page_seconds
        files: list[CollectedFile] = []
        previews: dict[str, bytes] = {}

        def read(listed: ListedFile) -> tuple[CollectedFile, bytes] | None:
            return _read(self.images, collection, root, listed)

        with ThreadPoolExecutor(_READERS, thread_name_prefix="read") as readers:
            for start in range(0, len(page.changed), 2 * _READERS):
                few = page.changed[start : start + 2 * _READERS]
                some = [each for each in readers.map(read, few) if each is not None]
                self.collections.put_files(collection.name, [file for file, _ in some])
                files += [file for file, _ in some]
                previews |= {file.image_id: preview for file, preview in some if preview}
                self._tell(job, self.images.settle())  # of the pages before
                last = few[-1].path
                if self.clock.monotonic() > ends_at and last != page.changed[-1].path:
                    return page.until(last, root.prefix + last), files, previews
        return page, files, previews

    def _finished(
        self, job: CollectJob, in_work: Sequence[Pool], listed_at: datetime
    ) -> CollectReport:
        """Note that the update is over, once all is embedded; events begin more all the time."""
        self.images.renew(self.collections.to_renew())
        if any(pool.current.requested_at <= listed_at for pool in in_work):
            raise Overloaded("pictures are being embedded", retry_after_seconds=POLL_SECONDS)
        stand = replace(self.collections.last_update(job.collection), is_over=True)
        for each in self.collections.counts():
            if each.name == job.collection:
                problems = each.problems + each.taken_down
                stand = replace(stand, problems=problems, taken_down=each.taken_down)
        self.collections.note(job.collection, stand)
        self.collections.answer(job.collection, job.request)
        return CollectReport("up to date", stand.found, gone=stand.gone)

    def _tell(self, job: CollectJob, settled: Settled) -> None:
        """Note how many images of the update are embedded, and how many wait for it."""
        stand = self.collections.last_update(job.collection)
        pools = [pool.current for pool in settled.in_work]
        left = sum(pool.images - pool.embedded - pool.rejected for pool in pools)
        total = stand.embedded + stand.waiting - settled.rejected
        counted = replace(stand, embedded=max(total - left, 0), waiting=max(min(left, total), 0))
        if counted != stand:
            self.collections.note(job.collection, counted)


@dataclass(frozen=True)
class Follow:
    """Does what a bucket tells of an object, in whatever order it comes."""

    images: BucketImages
    clock: Clock

    def __call__(self, event: BucketEvent) -> CollectReport:
        """
        Do *event* in each collection that has the object.

        Raises:
            Overloaded: its image is being embedded: deliver it again.
            Unavailable: deliver it again later.
        """
        if event.change is BucketChange.OTHER:
            return CollectReport("nothing to do")
        if event.is_overwritten and event.change is not BucketChange.FINALIZED:
            return CollectReport("overwritten")
        report = CollectReport("of no collection")
        for collection in self.images.collections.all():
            root = bucket_root(collection.root) if is_bucket(collection.root) else None
            if root is None or not root.has(event.bucket, event.name):
                continue
            path = event.name.removeprefix(root.prefix)
            if self.images.pictures.is_sidecar(path):
                report = self._said(collection, root, path)
            elif not self.images.pictures.is_picture(path):
                report = CollectReport("no picture")
            elif event.change is BucketChange.FINALIZED:
                # Of which size it is, an event does not tell.
                report = self._came(collection, root, ListedFile(path, Stamp(0, event.generation)))
            else:
                report = self._went(collection, path, event)
        return report

    def _said(self, collection: Collection, root: BucketRoot, path: str) -> CollectReport:
        """Read the pictures again of which the sidecar *path* says something else, or came late."""
        reports = [self._came(collection, root, each) for each in self.images.beside(root, path)]
        return max(reports, key=lambda each: each.read, default=CollectReport("no picture"))

    def _came(self, collection: Collection, root: BucketRoot, listed: ListedFile) -> CollectReport:
        collections, name, path = self.images.collections, collection.name, listed.path
        report = CollectReport("known already")
        previews: dict[str, bytes] = {}
        ids: set[str] = set()
        known = collections.known(name, path)
        if _is_changed(listed, known):
            if len(self.images.settle().in_work) >= _EVENTS_AT_ONCE:
                raise Overloaded("pictures are being embedded", retry_after_seconds=POLL_SECONDS)
            if not listed.stamp.size:
                listed = self._with_sidecars(root, listed)
            read = _read(self.images, collection, root, listed)
            if read is None:  # what overwrote it, or deleted it, is told by another event
                return CollectReport("gone already")
            file, preview = read
            collections.put_files(name, [file])
            previews = {file.image_id: preview} if preview else {}
            ids = {file.image_id, known.image_id if known else ""}
            report = CollectReport("read", read=1)
        self.images.renew(ids | collections.unrenewed(name, [path]), previews)
        self._embedded(name, path)
        return report

    def _with_sidecars(self, root: BucketRoot, picture: ListedFile) -> ListedFile:
        """Return the picture that an event tells of with what lies beside it, if it is there."""
        for each in self.images.beside(root, picture.path):
            is_same = each.stamp.modified_ns == picture.stamp.modified_ns
            if each.path == picture.path and is_same:
                return each
        return picture

    def _went(self, collection: Collection, path: str, event: BucketEvent) -> CollectReport:
        collections, name = self.images.collections, collection.name
        known = collections.known(name, path)
        collections.bury(name, {path: event.generation}, self.clock.now())
        ids = {known.image_id if known else ""} | collections.unrenewed(name, [path])
        if self.images.renew(ids):  # a copy came as it went
            raise Overloaded("the picture is being embedded", retry_after_seconds=POLL_SECONDS)
        self.images.settle_stale()
        return CollectReport("gone", gone=1)

    def _embedded(self, name: str, path: str) -> None:
        """Return when what became of the file's image is noted, else raise Overloaded."""
        known = self.images.collections.known(name, path)
        if known is None or not (known.image_id and known.is_sound):
            self.images.settle_stale()
            return
        if known.image_id not in self.images.embedded([known.image_id]):
            if not self.images.settle().in_work:  # nothing else has it begun
                self.images.renew([known.image_id])
            raise Overloaded("the picture is being embedded", retry_after_seconds=POLL_SECONDS)
        self.images.settle_stale(known.image_id)


@dataclass(frozen=True)
class Remove:
    """Forgets a collection: its files, and images that no other one has, with their previews."""

    images: BucketImages
    clock: Clock
    seconds: float = PAGE_SECONDS

    def __call__(self, name: str) -> Forgotten:
        """
        Forget the collection *name*, its record last; the bucket stays as it is.

        Raises:
            Overloaded: some is left, or being embedded: deliver it again.
            Unavailable: deliver it again later.
        """
        ends_at = self.clock.monotonic() + self.seconds
        collections = self.images.collections
        collections.retire(name)
        gone = 0
        while known := collections.known_files(name, most=PAGE):
            collections.drop_files(name, known)
            image_ids = {file.image_id for file in known.values()} - {""}
            self.images.renew(image_ids)
            gone += len(image_ids - collections.files_of(image_ids).keys())
            if self.clock.monotonic() > ends_at:
                raise Overloaded("some images are left", retry_after_seconds=POLL_SECONDS)
        self.images.renew(collections.to_renew())  # of a delivery that died
        self.images.settle_stale()
        collections.forget(name)
        return Forgotten(images=gone, originals=gone)


def _is_changed(listed: ListedFile, known: KnownFile | None) -> bool:
    """
    Return whether it is to be read.

    Bytes of which there was no image are not read again, as they are the same: a bucket of films
    that are called pictures would be downloaded with each update.
    """
    if known is None:
        return True
    stands, generation = known.stamp.modified_ns, listed.stamp.modified_ns
    if stands != generation or not known.image_id:
        return stands < generation
    # With the generation the size is what it was: what differs is what lies beside it.
    is_said_otherwise = listed.stamp.size > 0 and known.stamp.size != stamp_of(listed).size
    return is_said_otherwise or not known.is_sound


def _end(names: Sequence[str]) -> str:
    """Return where a page ends before the last of *names*, so that sidecars are of one page."""
    alike = beginning_of(names[-1])
    others = [each for each in names if beginning_of(each) != alike]
    return others[-1] if others else names[-2]


def _read(
    images: BucketImages, collection: Collection, root: BucketRoot, listed: ListedFile
) -> tuple[CollectedFile, bytes] | None:
    """Return the file and its preview, or None where this generation of it is gone."""
    name = root.prefix + listed.path
    try:
        file, preview = images.read(root.bucket, name, listed, keeps_place=collection.keeps_place)
    except NotFound:
        return None
    page = object_url(root.bucket, name)
    return replace(file, facts=replace(file.facts, page_url=page)), preview
