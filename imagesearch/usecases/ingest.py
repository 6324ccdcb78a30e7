"""The use case `ingest`: what a collection's folder or list has now, in the catalog and embedded.

Files are told by path, size and time, and images by their bytes: what is renamed, moved or copied
is read and not embedded again. Nothing is noted before it is so, and an update that was broken off
is begun again where it was.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial

from imagesearch.domain.collections import (
    OWN,
    CollectedFile,
    Collection,
    ListedFile,
    Unreadable,
    Update,
    image_of,
    is_own_id,
    stamp_of,
)
from imagesearch.domain.errors import InvalidRequest, NotFound, Unavailable
from imagesearch.domain.forgetting import TAKEN_DOWN
from imagesearch.domain.pools import Pool, PoolState
from imagesearch.ports import Cache, Clock, CollectionFolders, Collections, KnownFile
from imagesearch.usecases.cache_slots import BYTES
from imagesearch.usecases.own_images import PAGE, parts, renew
from imagesearch.usecases.pools import Catalog
from imagesearch.usecases.stored_pools import StoredPools
from imagesearch.usecases.withdrawn import Withdrawn

_READERS = 2  # threads that read files
_READ_AT_ONCE = 25
_TELL_SECONDS = 0.5
_CACHED_BYTES = 100_000  # of a picture that is not read twice: those of some pages fit in a cache


@dataclass
class _Work:
    """An update under way; *rejections* are why there is no image, by its image_id."""

    collection: Collection
    model_revision: str
    began: float
    told_at: float
    update: Update = field(default_factory=Update)
    rejections: dict[str, str] = field(default_factory=dict)

    def count(self, **more: int) -> None:
        """Add to what is counted."""
        totals = {name: getattr(self.update, name) + number for name, number in more.items()}
        self.update = replace(self.update, **totals)


@dataclass(frozen=True)
class Ingest:
    """
    Brings collections up to date with their folders, one update at a time.

    Attributes:
        model_revision: of the model that embeds.
        keep_down: forgets what is stored of images that were taken down, and notes it at their
            files.
    """

    catalog: Catalog
    collections: Collections
    folders: CollectionFolders
    cache: Cache
    pools: StoredPools
    clock: Clock
    model_revision: Callable[[], str]
    keep_down: Callable[[Sequence[str]], object]
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock)
    _withdrawn: Withdrawn = field(init=False)

    def __post_init__(self) -> None:
        withdrawn = Withdrawn(self.catalog.retention, self.clock)
        object.__setattr__(self, "_withdrawn", withdrawn)

    def __call__(self, collection: Collection, tell: Callable[[Update], None]) -> Update:
        """
        Bring *collection* up to date, and return what came of it.

        Args:
            tell: called now and then with how far it is.

        Raises:
            NotFound: its folder is not there.
            InvalidRequest: its folder is empty, and was not: a disk that is not mounted, say.
            Overloaded, Unavailable: the catalog does not answer, or the disk is full; what is done
                is kept.
        """
        with self._one_at_a_time:
            now = self.clock.monotonic()
            work = _Work(collection, self.model_revision(), now, now - _TELL_SECONDS)
            self._settle_earlier()
            known = self.collections.known_files(collection.name)
            listed, unreadable = self._listed(collection, known)
            pools = self._pools(work, listed, known)

            def tell_now_and_then(in_work: Iterable[Pool] = ()) -> None:
                if self.clock.monotonic() >= work.told_at + _TELL_SECONDS:
                    # A full disk ends it here, and not after an hour in which batches are tried.
                    self.catalog.check()
                    self._tell(work, tell, sum(pool.current.embedded for pool in in_work))

            try:
                for pool in self.pools.in_turn(pools, tell_now_and_then):
                    self._settle(pool, work)
            except NotFound:  # the collection was removed: what is on its way is not to come back
                self._settle_earlier()
                raise
            if self.pools.is_stopping:
                raise Unavailable("the update was broken off; it goes on when it is begun again")
            self._note_rejected_copies(work)
            self._drop_gone(work, listed, unreadable, known)
            _, problems = self.collections.problems(collection.name, 0)
            work.count(problems=problems + sum(not each.is_note for each in unreadable))
            few = tuple(unreadable[:PAGE])
            work.update = replace(work.update, waiting=0, is_over=True, unreadable=few)
            self._tell(work, tell)
            return work.update

    def _listed(
        self, collection: Collection, known: dict[str, KnownFile]
    ) -> tuple[dict[str, ListedFile], list[Unreadable]]:
        """Return the files of the folder by path, and what of it cannot be read."""
        listed: dict[str, ListedFile] = {}
        unreadable: list[Unreadable] = []
        for entry in self.folders.listed(collection.root):
            if isinstance(entry, Unreadable):
                unreadable.append(entry)
            else:
                listed[entry.path] = entry
        if known and not listed and not unreadable:
            raise InvalidRequest(
                f"{collection.root} has no picture any more, and had {len(known)}: nothing was"
                f" changed. Is its disk there? If so: imagesearch remove {collection.name!r}"
            )
        return listed, unreadable

    def _pools(
        self, work: _Work, listed: dict[str, ListedFile], known: dict[str, KnownFile]
    ) -> Iterator[Pool]:
        """Yield pools of the images that are to be embedded, as they are read."""
        left = self._left(work.collection, listed)
        work.count(taken_down=len(left))
        changed = [
            file for file in listed.values() if file.path not in left and not _is_known(file, known)
        ]
        same = listed.keys() - {file.path for file in changed} - left
        ids = {known[path].image_id for path in same} - {""}
        # Of an update that was broken off.
        waiting = self._not_embedded(ids, work)
        unchanged = sum(1 for path in same if known[path].image_id not in waiting)
        work.update = replace(work.update, found=len(listed), unchanged=unchanged)
        work.count(waiting=len(waiting) + len(changed))
        begun: set[str] = set()
        for some in parts(sorted(waiting)):
            yield from self._pool_of(self.collections.files_of(some), begun)
        with ThreadPoolExecutor(_READERS, thread_name_prefix="read") as readers:
            for page in parts(changed):
                # A few in each thread: to hand over a single one costs as much as to read it.
                few = [page[at : at + _READ_AT_ONCE] for at in range(0, len(page), _READ_AT_ONCE)]
                before = self._before(work.collection, page, known)
                read = readers.map(partial(self._read_all, work.collection, before), few)
                yield from self._taken_in(
                    [file for part in read for file in part], work, known, begun
                )

    def _left(self, collection: Collection, listed: Mapping[str, ListedFile]) -> set[str]:
        """
        Return the files whose image was taken down, and which are as they were.

        They are not read, as a list's would be downloaded again.
        """
        own = sorted(filter(is_own_id, self._withdrawn(at_once=True)))
        left = set()
        for some in parts(own):
            files = self.collections.files_of(some)
            self.collections.note_problems(dict.fromkeys(files, TAKEN_DOWN))
            left |= {
                file.path
                for its in files.values()
                for name, file in its
                if name == collection.name
                and file.path in listed
                and listed[file.path].stamp == file.stamp
            }
        return left

    def _before(
        self, collection: Collection, files: Sequence[ListedFile], known: Mapping[str, KnownFile]
    ) -> dict[str, CollectedFile]:
        """Return those of *files* that were read before and may be believed, by path."""
        sound = {
            file.path: known[file.path].image_id
            for file in files
            if file.path in known and known[file.path].may_be_believed
        }
        by_id = self.collections.files_of({*sound.values()} - {""})
        return {
            file.path: file
            for its in by_id.values()
            for name, file in its
            if name == collection.name and file.path in sound
        }

    def _read_all(
        self,
        collection: Collection,
        before: Mapping[str, CollectedFile],
        files: Sequence[ListedFile],
    ) -> list[CollectedFile]:
        return [self._read(collection, file, before.get(file.path)) for file in files]

    def _read(
        self, collection: Collection, listed: ListedFile, known: CollectedFile | None
    ) -> CollectedFile:
        if self.pools.is_stopping:  # what is not begun would keep the process from its end
            raise Unavailable("the update was broken off; it goes on when it is begun again")
        file, picture = self.folders.read(
            collection.root, listed, keeps_place=collection.keeps_place, known=known
        )
        if file.image_id and 0 < len(picture) <= _CACHED_BYTES:
            self.cache.put(BYTES, file.image_id, picture)
        return file

    def _taken_in(
        self,
        files: Sequence[CollectedFile],
        work: _Work,
        known: dict[str, KnownFile],
        begun: set[str],
    ) -> Iterator[Pool]:
        """Keep *files*, and yield the pool of those whose images are new."""
        self.collections.put_files(work.collection.name, files)
        work.count(passing=sum(file.passes for file in files))
        ids = {file.image_id for file in files} - {""}
        withdrawn = ids.intersection(self._withdrawn())
        if withdrawn:  # whose pictures a list may have brought again
            self.keep_down(sorted(withdrawn))
        ids -= withdrawn
        work.count(taken_down=sum(1 for file in files if file.image_id in withdrawn))
        before = {known[file.path].image_id for file in files if file.path in known}
        new = self._not_embedded(ids, work) - begun
        # What is said of the others may have changed with their files, or with the lack of them.
        renew(
            self.catalog.library, self.collections, [*(ids - new - begun), *(before - ids - {""})]
        )
        # Copies of the new ones among them: each image is embedded once.
        reused = sum(1 for file in files if file.image_id in ids) - len(new)
        work.count(waiting=len(new) - len(files), reused=reused)
        by_id: dict[str, list[tuple[str, CollectedFile]]] = {each: [] for each in sorted(new)}
        for file in files:
            if file.image_id in new:
                by_id[file.image_id].append((work.collection.name, file))
        yield from self._pool_of(by_id, begun)

    def _pool_of(
        self, files: Mapping[str, Sequence[tuple[str, CollectedFile]]], begun: set[str]
    ) -> Iterator[Pool]:
        """Yield the pool of the images of *files*; what others say of them is added at its end."""
        begun.update(files)
        images = [image_of(image_id, its) for image_id, its in files.items()]
        if images:
            # Its id is used once: what is left of a pool of the same images says nothing of it.
            yield self.pools.of(images, OWN, uuid.uuid4().hex)

    def _not_embedded(self, image_ids: set[str], work: _Work) -> set[str]:
        embedded: set[str] = set()
        for some in parts(sorted(image_ids)):
            embedded |= self.catalog.library.embedded(some, work.model_revision)
        return image_ids - embedded - set(self._withdrawn())

    def _settle(self, pool: Pool, work: _Work) -> None:
        """Note what became of a pool that is done, and forget it."""
        current = pool.current
        members = self.catalog.members(pool.pool_id, current.number)
        rejections = members.rejections if members else {}
        self.collections.note_problems(rejections)
        work.rejections |= rejections
        if down := sorted(each for each, why in rejections.items() if why == TAKEN_DOWN):
            self.keep_down(down)
            work.count(taken_down=len(down))
        if current.state is PoolState.FAILED:
            raise Unavailable(f"pictures could not be embedded: {current.reason}")
        work.count(embedded=current.embedded, waiting=-current.images)
        # A file that came meanwhile may say more of an image than the pool knew.
        embedded = set(members.images) - set(rejections) if members else set()
        several = self.collections.not_of_one_file(embedded)
        renew(self.catalog.library, self.collections, sorted(several))
        self.collections.renewed([*(embedded - several), *rejections])
        self.catalog.pools.forget(pool.pool_id)

    def _note_rejected_copies(self, work: _Work) -> None:
        """Note why there is no image of the copies, too, that were read after it was rejected."""
        self.collections.note_problems(work.rejections)
        files = self.collections.files_of(work.rejections)
        own = [name for its in files.values() for name, _ in its if name == work.collection.name]
        work.count(reused=len(files) - len(own))  # as which they were counted

    def _drop_gone(
        self,
        work: _Work,
        listed: dict[str, ListedFile],
        unreadable: Sequence[Unreadable],
        known: dict[str, KnownFile],
    ) -> None:
        """Forget the files that are there no more; of folders that cannot be read, none."""
        unseen = {each.path for each in unreadable}
        # Of the folder itself the path is empty, and all is within it.
        folders = tuple(f"{each.path}/".lstrip("/") for each in unreadable if each.is_folder)
        gone = [
            path
            for path in known
            if path not in listed and path not in unseen and not path.startswith(folders)
        ]
        for some in parts(gone):
            self.collections.drop_files(work.collection.name, some)
            renew(self.catalog.library, self.collections, [known[path].image_id for path in some])
        work.count(gone=len(gone))

    def _settle_earlier(self) -> None:
        """
        Make good what an update that was broken off left.

        Its pools are forgotten, and what they have not embedded is asked for anew; what changed of
        files is said of their images.
        """
        for pool_id in self.catalog.pools.pool_ids(OWN):
            pool = self.catalog.pool(pool_id)
            if pool is not None:
                members = self.catalog.members(pool_id, pool.current.number)
                self.catalog.pools.forget(pool_id)
                renew(
                    self.catalog.library, self.collections, list(members.images if members else ())
                )
        renew(self.catalog.library, self.collections, self.collections.to_renew())

    def _tell(self, work: _Work, tell: Callable[[Update], None], in_work: int = 0) -> None:
        """Note and tell how far it is; *in_work* are embedded in pools that are not done."""
        work.told_at = self.clock.monotonic()
        work.update = replace(work.update, seconds=work.told_at - work.began)
        embedded, waiting = work.update.embedded + in_work, work.update.waiting - in_work
        stand = replace(work.update, embedded=embedded, waiting=waiting)
        self.collections.note(work.collection.name, stand)
        tell(stand)


def _is_known(file: ListedFile, known: dict[str, KnownFile]) -> bool:
    """Return whether the file is as it was; one that could not be read is tried again."""
    before = known.get(file.path)
    return before is not None and before.is_sound and before.stamp == stamp_of(file)
