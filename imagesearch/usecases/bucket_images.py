"""The images of buckets, in the catalog and the store as their files have them.

Several processes change files at once, in any order. Whoever writes what files say looks at them
again after it wrote, and begins anew where they changed, so that the last one to write is right.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection as AnyOf
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from imagesearch.domain.buckets import BucketRoot, bucket_root
from imagesearch.domain.collections import OWN, CollectedFile, ListedFile, Stamp, image_of
from imagesearch.domain.errors import NotFound, Overloaded, RejectedImage
from imagesearch.domain.forgetting import TAKEN_DOWN
from imagesearch.domain.pool_life import Members
from imagesearch.domain.pools import Pool, PoolState
from imagesearch.ports import (
    BucketCollections,
    Buckets,
    Clock,
    ImageStore,
    ListedObject,
    PictureReader,
)
from imagesearch.usecases.own_images import parts
from imagesearch.usecases.pools import Catalog
from imagesearch.usecases.stored_pools import StoredPools
from imagesearch.usecases.withdrawn import Withdrawn

POLL_SECONDS = 1.0  # after which it is looked again whether images are embedded
_SIDECAR_BYTES = 262_144  # as many as are read of XMP
_BESIDE = 50  # objects that are called alike up to their first dot
_TIMES = 5  # that files may change while what they say is written
_STORED_AT_ONCE = 8

Files = Mapping[str, Sequence[tuple[str, CollectedFile]]]


@dataclass(frozen=True)
class Settled:
    """The pools that are in work, and how many images of the others were none to the embedder."""

    in_work: Sequence[Pool]
    rejected: int = 0


@dataclass(frozen=True)
class BucketImages:
    """
    Keeps the images of buckets as their files are.

    Attributes:
        max_bytes: of an object that is read.
        own_bucket: where previews are stored, each of which would be a picture to make one of.
    """

    catalog: Catalog
    collections: BucketCollections
    buckets: Buckets
    pictures: PictureReader
    store: ImageStore
    pools: StoredPools
    clock: Clock
    max_bytes: int
    own_bucket: str = ""
    _withdrawn: Withdrawn = field(init=False)

    def __post_init__(self) -> None:
        withdrawn = Withdrawn(self.catalog.retention, self.clock)
        object.__setattr__(self, "_withdrawn", withdrawn)

    def renew(
        self, image_ids: AnyOf[str], previews: Mapping[str, bytes] = MappingProxyType({})
    ) -> set[str]:
        """
        Have catalog and store say of images what their files do; return those to be embedded.

        Images that no file has are forgotten, with their previews.

        Args:
            previews: of those that were read just now; others are read again where one is lacking.

        Raises:
            Overloaded: the files change all the time.
        """
        begun: set[str] = set()
        for some in parts(sorted(set(image_ids) - {""})):
            begun |= self._renewed(some, previews)
        return begun

    def settle(self) -> Settled:
        """Note what became of pools that are done, and forget them."""
        rejected = 0
        while True:
            in_work: list[Pool] = []
            begun: set[str] = set()
            for pool in self._pools():
                if pool.current.state.in_progress:
                    in_work.append(pool)
                else:
                    rejected += pool.current.rejected
                    begun |= self._settle(pool)
            if not begun:
                return Settled(in_work, rejected)

    def settle_stale(self, image_id: str = "") -> None:
        """
        Return when no pool writes what its files no longer say, nor has *image_id*.

        Raises:
            Overloaded: one does, and is being embedded.
        """
        for pool in self.settle().in_work:
            members = self.catalog.members(pool.pool_id, pool.current.number)
            if members and (image_id in members.images or self._stale(members)):
                raise Overloaded(
                    "what changed since is being embedded", retry_after_seconds=POLL_SECONDS
                )

    def embedded(self, image_ids: AnyOf[str]) -> set[str]:
        """Return those of *image_ids* that some model has embedded."""
        library = self.catalog.library
        revisions = library.model_revisions()
        return {each for revision in revisions for each in library.embedded(image_ids, revision)}

    def listed(self, root: BucketRoot, objects: Sequence[ListedObject]) -> list[ListedFile]:
        """Return the pictures among *objects* of a bucket, each with its sidecars among them."""
        stamps = {
            each.name.removeprefix(root.prefix): Stamp(each.size, each.generation)
            for each in objects
            if root.has(root.bucket, each.name)
        }
        sidecars = self.pictures.sidecars(stamps)
        return [
            ListedFile(
                path, stamp, sidecars=tuple((each, stamps[each]) for each in sidecars.get(path, ()))
            )
            for path, stamp in stamps.items()
            if self.pictures.is_picture(path)
        ]

    def beside(self, root: BucketRoot, path: str) -> list[ListedFile]:
        """Return the pictures that are called as *path* is up to its first dot: see `listed`."""
        alike = BucketRoot(root.bucket, root.prefix + beginning_of(path))
        return self.listed(root, self.buckets.listed(alike, after="", most=_BESIDE))

    def read(
        self, bucket: str, name: str, listed: ListedFile, *, keeps_place: bool
    ) -> tuple[CollectedFile, bytes]:
        """Return the object's file and its preview; NotFound where this generation is gone."""
        data = b""
        stamp = listed.stamp
        try:
            if stamp.size <= self.max_bytes:  # of others only that is said
                data = self.buckets.get(bucket, name, stamp.modified_ns, self.max_bytes + 1)
        except RejectedImage as error:
            return CollectedFile(listed.path, stamp, stamp, problem=str(error)), b""
        if not stamp.size:  # which an event does not tell
            listed = replace(listed, stamp=Stamp(len(data), stamp.modified_ns))
        folder = name.removesuffix(listed.path)
        documents = [
            self._document(bucket, folder + path, its.modified_ns) for path, its in listed.sidecars
        ]
        return self.pictures.read(listed, data, keeps_place=keeps_place, documents=documents)

    def _document(self, bucket: str, name: str, generation: int) -> bytes:
        try:
            return self.buckets.get(bucket, name, generation, _SIDECAR_BYTES)
        except (NotFound, RejectedImage):  # what became of it is told by its own event
            return b""

    def _renewed(self, some: Sequence[str], previews: Mapping[str, bytes]) -> set[str]:
        begun: set[str] = set()
        for _ in range(_TIMES):
            files = self.collections.files_of(some)
            begun |= self._write(some, files, previews)
            if self.collections.files_of(some) == files:
                self.collections.renewed(some)
                return begun
        raise Overloaded("files of a bucket change all the time", retry_after_seconds=POLL_SECONDS)

    def _write(self, some: Sequence[str], files: Files, previews: Mapping[str, bytes]) -> set[str]:
        """Write what *files* say of *some* images; return those of which a pool was begun."""
        taken_down = {
            each
            for each in files.keys() & set(self._withdrawn())
            if any(file.problem != TAKEN_DOWN for _, file in files[each])
        }
        self.collections.note_problems(dict.fromkeys(taken_down, TAKEN_DOWN))
        sound = {
            each: its
            for each, its in files.items()
            if each not in taken_down and not all(file.problem for _, file in its)
        }
        self._forget([each for each in some if each not in sound])
        embedded = self._told(sound)
        new = {each: its for each, its in sound.items() if each not in embedded}
        kept = self._with_previews(new, previews)
        if kept:
            images = [image_of(each, new[each]) for each in sorted(kept)]
            # Its id is used once: what is left of a pool of the same images says nothing of it.
            self.pools.of(images, OWN, uuid.uuid4().hex)
        return kept

    def _told(self, files: Files) -> set[str]:
        """Have the catalog say what *files* do of embedded images; return these."""
        renewed: set[str] = set()
        library = self.catalog.library
        for revision in library.model_revisions() if files else ():
            embedded = library.embedded(files.keys(), revision)
            library.put([image_of(each, files[each]) for each in sorted(embedded)], {}, revision)
            renewed |= embedded
        return renewed

    def _with_previews(self, files: Files, previews: Mapping[str, bytes]) -> set[str]:
        """Return the images of *files* that have a preview in the store, which it is put into."""
        names = {each: _preview_name(each) for each in files if each not in previews}
        there = self.store.existing(names.values()) if names else set()
        kept = {each for each, name in names.items() if name in there}

        def put(image_id: str) -> str:
            data = previews.get(image_id) or self._read_again(image_id, files[image_id])
            if not data:
                return ""
            self.store.put(_preview_name(image_id), data)
            return image_id

        with ThreadPoolExecutor(_STORED_AT_ONCE, thread_name_prefix="preview") as threads:
            kept.update(threads.map(put, files.keys() - kept))
        return kept - {""}

    def _read_again(self, image_id: str, files: Sequence[tuple[str, CollectedFile]]) -> bytes:
        """Return the preview by any of its files that is there still, else b""."""
        collections = {each.name: each for each in self.collections.all()}
        for name, file in files:
            if name not in collections:
                continue
            root = bucket_root(collections[name].root)
            listed = ListedFile(file.path, file.stamp)
            try:
                read, preview = self.read(
                    root.bucket, root.prefix + file.path, listed, keeps_place=False
                )
            except NotFound:  # its own event is on its way
                continue
            if read.image_id == image_id:
                return preview
        return b""

    def _forget(self, image_ids: Sequence[str]) -> None:
        if image_ids:
            self.catalog.library.forget(image_ids)
            self.store.delete([_preview_name(each) for each in image_ids])

    def _pools(self) -> Iterator[Pool]:
        """Yield the pools of own images as they stand; what was lost of their work is done anew."""
        for pool_id in self.catalog.pools.pool_ids(OWN):
            pool = self.catalog.pool(pool_id)
            if pool is None:
                continue
            if self._is_empty(pool):
                self.catalog.pools.forget(pool_id)
            else:
                yield self.pools.looked_at(pool)

    def _settle(self, pool: Pool) -> set[str]:
        """Do so of one that is done; return the images of pools that were begun for it."""
        begun: set[str] = set()
        members = self.catalog.members(pool.pool_id, pool.current.number)
        if members is not None:
            rejections = dict(members.rejections)
            if pool.current.state is PoolState.FAILED:
                why = f"it could not be embedded: {pool.current.reason}"
                rejections |= {each.image.image_id: why for each in members.pending}
            # Without a preview it was not looked at: a file that came as another went.
            names = [_preview_name(each) for each in rejections]
            there = self.store.existing(names) if names else set()
            embedded = self.embedded(rejections) if rejections else set()
            self.collections.note_problems(
                {
                    each: why
                    for each, why in rejections.items()
                    if each not in embedded and _preview_name(each) in there
                }
            )
            begun = self.renew(self._stale(members) | set(rejections))
        self.catalog.pools.forget(pool.pool_id)
        return begun

    def _stale(self, members: Members) -> set[str]:
        """Return the images of a pool of which files say something else by now, or are none."""
        files = self.collections.files_of(members.images.keys())
        return {
            each
            for each, listed in members.images.items()
            if each not in files or image_of(each, files[each]) != listed.image
        }

    def _is_empty(self, pool: Pool) -> bool:
        """Return whether whoever began it died before it had images: they are begun anew."""
        is_lost = pool.due_generation(self.clock.now(), self.catalog.policy) is not None
        return is_lost and pool.current.state.in_progress and not pool.current.images


def beginning_of(name: str) -> str:
    """Return what the names of a picture and its sidecars have in common: `2019/a.` of both."""
    folder, slash, file = name.rpartition("/")
    return f"{folder}{slash}{file.partition('.')[0]}."


def _preview_name(image_id: str) -> str:
    return f"{image_id}.jpg"
