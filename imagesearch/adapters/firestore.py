"""The catalog of the cloud edition: Firestore in Native mode, with its vector search.

What a document holds and how a pool changes is in `firestore_documents.py`; SQLite, the same port
on one machine, has a file of its own beside this one.

A change of a pool is one atomic commit that holds only if no document it read was written since
(Firestore's `update_time` precondition), and is decided anew otherwise. Unlike the SDK's
read-write transactions this locks nothing while a client thinks, or dies, and every call has a
time limit of ours. Source: firebase.google.com/docs/firestore/transaction-data-contention.

The indexes and the TTL policies on `expire_at` are Terraform's.
"""

from __future__ import annotations

import logging
import random
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import count, islice
from typing import TYPE_CHECKING, Any, TypeAlias

from imagesearch.adapters.firestore_documents import (
    Fields,
    Members,
    document_id,
    embedding_fields,
    embedding_id,
    finished_when_done,
    image_of,
    marks_fields,
    members_fields,
    members_of,
    pool_fields,
    pool_of,
    with_listing,
)
from imagesearch.adapters.google_errors import translated
from imagesearch.adapters.vectors import matrix_of, sound_matrix, vector_bytes
from imagesearch.domain.errors import Unavailable
from imagesearch.domain.images import Embedding, Image, ListedImage, Listing, PackedPool
from imagesearch.domain.pools import (
    Generation,
    Pool,
    PoolKey,
    PoolPolicy,
    PoolRequest,
    PoolState,
)

if TYPE_CHECKING:  # the SDK takes 0.3 s to import: it is loaded with the client
    from google.cloud.firestore import Client, DocumentReference, DocumentSnapshot

    _Found: TypeAlias = DocumentSnapshot[DocumentReference]

_logger = logging.getLogger(__name__)
MAX_NEAREST = 1000  # Firestore's limit; firebase.google.com/docs/firestore/vector-search

_KEEP_SECONDS = 30 * 86_400.0  # how long a stale pool that nobody asks for is kept
_CHECK_SECONDS = 2.0
_READ_DOCUMENTS = 300  # in a call
_WRITE_DOCUMENTS = 500  # in a commit
_WRITE_BYTES = 3_500_000  # in a commit; Firestore takes 10 MiB and its emulator 4 MiB


@dataclass(frozen=True)
class _Change:
    """What becomes of a pool, and of its current generation's members unless None."""

    pool: Pool
    members: Members | None = None
    model_revision: str | None = None  # that made it ready; None leaves what is noted


@dataclass(frozen=True)
class _Outcome:
    """The pool as it was found, and as it was written unless None."""

    found: Pool | None
    written: Pool | None


_Decide: TypeAlias = Callable[[Pool | None, Members | None], _Change | None]
_Step: TypeAlias = Callable[[Pool, Members | None], _Change | None]


def connect(project: str, policy: PoolPolicy, *, database: str = "(default)") -> FirestoreCatalog:
    """
    Return the catalog in *database* of *project*, which connects when first used.

    FIRESTORE_EMULATOR_HOST names an emulator. Without credentials every call is Unavailable.
    """

    def client() -> Client:
        from google.cloud.firestore import Client

        return Client(project=project, database=database)

    return FirestoreCatalog(client, policy)


class FirestoreCatalog:
    """
    The port `Catalog` over the client that *make_client* makes when it is first needed.

    Embeddings are committed before the pool that counts them, so an Unavailable from
    `record_batch` may leave embeddings, which a repeat finds or replaces; the pool is unchanged.

    Args:
        total_seconds: how long a call may take with its retries, and how long a change of a pool
            goes on being decided anew because others change it; then Unavailable.
    """

    def __init__(
        self, make_client: Callable[[], Client], policy: PoolPolicy, *, total_seconds: float = 10.0
    ) -> None:
        self._make_client = make_client
        # The SDK's own annotations of retry, field paths and streams do not fit their use.
        self._made: Any = None
        self._making = threading.Lock()
        self._policy = policy
        self._total_seconds = total_seconds

    def request_pool(self, key: PoolKey, now: datetime) -> PoolRequest:
        """Return the pool of *key*, created or due to be worked on: see the port."""

        def request(pool: Pool | None, _: Members | None) -> _Change | None:
            if pool is None:
                return _Change(Pool(key.pool_id, key.keyword, key.options, self._new(1, now)))
            due = pool.due_generation(now, self._policy)
            if due is None:
                return None
            if due == pool.current.number:
                return _Change(self._leased(pool, now))
            return _Change(replace(pool, current=self._new(due, now)))

        outcome = self._change(key.pool_id, request, now=now)
        pool = outcome.written or outcome.found
        assert pool is not None  # noqa: S101 - what is not found is written
        return PoolRequest(pool, created=outcome.written is not None)

    def pool(self, pool_id: str) -> Pool | None:
        """Return the pool, or None."""
        with translated("Firestore"):
            return pool_of(pool_id, self._get(self._pool_ref(pool_id)).to_dict())

    def note_published(self, pool_id: str, generation: int, now: datetime) -> Pool | None:
        """Renew the lease."""
        return self._advance(
            pool_id, generation, lambda pool, _: _Change(self._renewed(pool, now)), now
        )

    def begin_fetch(self, pool_id: str, generation: int, now: datetime) -> Pool | None:
        """Mark the generation `fetching` when `requested` and renew its lease."""
        return self._step_on(pool_id, generation, PoolState.REQUESTED, PoolState.FETCHING, now)

    def finish_fetch(self, pool_id: str, generation: int, now: datetime) -> Pool | None:
        """Mark a `fetching` generation `embedding` and renew its lease."""
        return self._step_on(pool_id, generation, PoolState.FETCHING, PoolState.EMBEDDING, now)

    def record_listing(
        self, pool_id: str, generation: int, listing: Listing, now: datetime
    ) -> Pool | None:
        """
        Record what the source offers; an image listed twice counts once.

        Raises:
            InvalidRequest: it takes more than a document holds.
        """
        with translated("Firestore"):
            offered = Members.of(listing)

        def record(pool: Pool, members: Members | None) -> _Change:
            kept = members or offered
            listed = with_listing(self._renewed(pool, now), kept)
            return _Change(finished_when_done(listed, kept, now), kept)

        return self._advance(pool_id, generation, record, now, with_members=True)

    def listing(self, pool_id: str, generation: int) -> Listing | None:
        """Return the listing as it was recorded, or None."""
        members = self._members(pool_id, generation)
        return members.listing if members else None

    def pending(self, pool_id: str, generation: int) -> Sequence[ListedImage]:
        """Return the listed images that are neither embedded nor rejected, in listing order."""
        members = self._members(pool_id, generation)
        return members.pending if members else ()

    def rejections(self, pool_id: str, generation: int) -> Mapping[str, str]:
        """Return the reason of each image that was rejected, by image_id."""
        members = self._members(pool_id, generation)
        return members.rejections if members else {}

    def record_batch(
        self,
        pool_id: str,
        generation: int,
        *,
        model_revision: str,
        embeddings: Mapping[str, Embedding],
        rejections: Mapping[str, str],
        reused: Collection[str] = (),
        now: datetime,
    ) -> Pool | None:
        """
        Store *embeddings*, mark them, the *reused* and the *rejections* done: see the port.

        What comes first about an image stays. Embeddings of images that the generation never
        listed are left out, and so are *reused* images with no embedding of *model_revision*.
        """
        rows = {image_id: vector_bytes(image_id, one) for image_id, one in embeddings.items()}
        stored = self._store(pool_id, generation, rows, model_revision)
        done = stored | self.embedded(reused, model_revision)

        def record(pool: Pool, members: Members | None) -> _Change:
            renewed = self._renewed(pool, now)
            if members is None:
                return _Change(renewed)
            marked = members.marked(done, rejections)
            finished = finished_when_done(with_listing(renewed, marked), marked, now)
            is_ready = finished.current.state is PoolState.READY
            return _Change(finished, marked, (model_revision or None) if is_ready else None)

        return self._advance(pool_id, generation, record, now, with_members=True)

    def embedded(self, image_ids: Collection[str], model_revision: str) -> set[str]:
        """Return those of *image_ids* that have an embedding of *model_revision*."""
        return {image_id for image_id, _ in self._rows(image_ids, model_revision, [])}

    def packed_pool(self, pool_id: str, generation: int, model_revision: str) -> PackedPool:
        """Return the generation's images that have an embedding, but for the rejected ones."""
        members = self._members(pool_id, generation)
        images = members.usable if members else []
        ids = [image.image_id for image in images]
        found = {one: fields.get("row") for one, fields in self._rows(ids, model_revision, ["row"])}
        stored = [(image, found[image.image_id]) for image in images if image.image_id in found]
        sound, matrix, damaged = sound_matrix(stored)
        self._forget_embeddings([image.image_id for image, _ in damaged], model_revision)
        return PackedPool(tuple(image for image, _ in sound), matrix)

    def reopen(
        self, pool_id: str, generation: int, model_revision: str, now: datetime
    ) -> Pool | None:
        """
        Put a ready current generation back to `embedding` when images lack an embedding.

        One whose listing is damaged is put back to `requested`, to be listed anew.
        """
        if not _is_ready(self.pool(pool_id), generation):
            return None
        members = self._members(pool_id, generation)
        ids = [image.image_id for image in members.usable] if members else []
        known = self.embedded(ids, model_revision)
        if members and len(known) == len(ids):
            return None

        def reopened(pool: Pool | None, members: Members | None) -> _Change | None:
            if pool is None or not _is_ready(pool, generation):
                return None
            if members is None:
                return _Change(replace(pool, current=self._new(generation, now), ready=None))
            pending = members.lacking(known)
            current = replace(pool.current, state=PoolState.EMBEDDING, ready_at=None)
            again = replace(pool, current=current, ready=None)
            return _Change(with_listing(self._leased(again, now), pending), pending)

        return self._change(pool_id, reopened, now=now, generation=generation).written

    def record_error(self, pool_id: str, generation: int, reason: str) -> None:
        """Keep *reason* as why the last attempt on a generation in progress failed."""

        def note(pool: Pool, _: Members | None) -> _Change:
            return _Change(replace(pool, current=replace(pool.current, reason=reason)))

        self._advance(pool_id, generation, note, None)

    def fail(self, pool_id: str, generation: int, reason: str, now: datetime) -> Pool | None:
        """Mark a generation in progress failed until the policy's retry time."""
        retry_at = now + timedelta(seconds=self._policy.retry_seconds)

        def give_up(pool: Pool, _: Members | None) -> _Change:
            kept = pool.current.reason or reason
            failed = replace(
                pool.current,
                state=PoolState.FAILED,
                reason=kept,
                retry_at=retry_at,
                lease_until=None,
            )
            return _Change(replace(pool, current=failed))

        return self._advance(pool_id, generation, give_up, now)

    def nearest(
        self, query: Embedding, k: int, model_revision: str
    ) -> Sequence[tuple[Image, float]]:
        """
        Return the *k* images nearest to *query*, at most 1000, with their cosines: see the port.

        Needs a composite index of `model_revision` and `vector`. Equal images at the k-th place
        are chosen by the order of their documents, which is that of image_id.
        """
        import numpy as np

        if k <= 0:
            return []
        with translated("Firestore"):
            found = self._nearest_documents(query, min(k, MAX_NEAREST), model_revision)
        hits = [(image, fields.get("row")) for fields in found if (image := image_of(fields))]
        sound, rows, damaged = sound_matrix(hits, len(query))
        self._forget_embeddings([image.image_id for image, _ in damaged], model_revision)
        if not sound:
            return []
        images = [image for image, _ in sound]
        # Firestore's own distance is not exact in its last bits: equal images would not tie.
        cosines = (rows.astype(np.float64) * query).sum(axis=1)  # (n, d) * (d,) -> (n,)
        best = np.lexsort(([image.image_id for image in images], -cosines))
        return [(images[i], float(cosines[i])) for i in best]

    def lacks(self, model_revision: str) -> bool:
        """
        Return whether a pool that another model made ready is there still; it costs one read.

        Its images may have been embedded again with another pool's, or before a model was taken
        back: it is told to lack them until it is ready the next time.
        """
        from google.cloud.firestore_v1.base_query import FieldFilter

        with translated("Firestore"):
            other = FieldFilter("model_revision", "!=", model_revision)
            pools = self._client.collection("pools").where(filter=other).select(["keyword"])
            return bool(list(pools.limit(1).get(**self._limits())))

    def check(self) -> None:
        """Return when the catalog answers, else raise Unavailable; it is asked once, for 2 s."""
        with translated("Firestore"):
            self._pool_ref("check").get(["keyword"], retry=None, timeout=_CHECK_SECONDS)

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._made is not None:
            # The client's own close() knows of its HTTP session only, which it never opens.
            self._made._firestore_api.transport.close()

    @property
    def _client(self) -> Any:
        with self._making:
            if self._made is None:
                self._made = self._make_client()
            return self._made

    # The life of a pool

    def _step_on(
        self, pool_id: str, generation: int, before: PoolState, after: PoolState, now: datetime
    ) -> Pool | None:
        def step(pool: Pool, _: Members | None) -> _Change:
            renewed = self._renewed(pool, now)
            if pool.current.state is not before:
                return _Change(renewed)
            return _Change(replace(renewed, current=replace(renewed.current, state=after)))

        return self._advance(pool_id, generation, step, now)

    def _new(self, number: int, now: datetime) -> Generation:
        lease_until = now + timedelta(seconds=self._policy.lease_seconds)
        return Generation(number, PoolState.REQUESTED, now, lease_until=lease_until)

    def _leased(self, pool: Pool, now: datetime) -> Pool:
        """Return *pool* with the lease of one whose job is still to be published."""
        lease_until = now + timedelta(seconds=self._policy.lease_seconds)
        current = replace(pool.current, requested_at=now, lease_until=lease_until)
        return replace(pool, current=current)

    def _renewed(self, pool: Pool, now: datetime) -> Pool:
        lease_until = now + timedelta(seconds=self._policy.queue_seconds)
        return replace(pool, current=replace(pool.current, lease_until=lease_until))

    def _advance(
        self,
        pool_id: str,
        generation: int,
        step: _Step,
        now: datetime | None,
        *,
        with_members: bool = False,
    ) -> Pool | None:
        """Do *step* when the generation is the current one and in progress."""

        def decide(pool: Pool | None, members: Members | None) -> _Change | None:
            if pool is None or pool.current.number != generation:
                return None
            return step(pool, members) if pool.current.state.in_progress else None

        read = generation if with_members else None
        return self._change(pool_id, decide, now=now, generation=read).written

    # Atomic changes

    def _change(
        self,
        pool_id: str,
        decide: _Decide,
        *,
        now: datetime | None,
        generation: int | None = None,
    ) -> _Outcome:
        """Read, decide and commit, again while others commit in between."""
        change_id = uuid.uuid4().hex
        deadline = time.monotonic() + self._total_seconds
        with translated("Firestore"):
            for attempt in count():
                found = self._read(pool_id, generation)
                pool = pool_of(pool_id, found[0].to_dict())
                if pool is not None and found[0].get("change_id") == change_id:
                    return _Outcome(pool, pool)  # committed, though the answer was lost
                members = members_of(found[1].to_dict()) if len(found) > 1 else None
                change = decide(pool, members)
                if change is None:
                    return _Outcome(pool, None)
                is_listed = members is not None
                if self._commit(found, pool, change, self._stamp(now, change_id), is_listed):
                    return _Outcome(pool, change.pool)
                _rest(attempt, deadline, pool_id)
        raise AssertionError("unreachable")

    def _read(self, pool_id: str, generation: int | None) -> list[_Found]:
        """Return the pool's document and, when asked for, the generation's."""
        refs = [self._pool_ref(pool_id)]
        if generation is not None:
            refs.append(self._generation_ref(pool_id, generation))
        found = {one.reference: one for one in self._client.get_all(refs, **self._limits())}
        return [found[ref] for ref in refs]

    def _commit(
        self,
        found: list[_Found],
        pool: Pool | None,
        change: _Change,
        stamp: Fields,
        is_listed: bool,
    ) -> bool:
        """Write *change* at once; False when a document that was read is another by now."""
        from google.api_core import exceptions as api

        batch = self._client.batch()
        made_by = {"model_revision": change.model_revision} if change.model_revision else {}
        self._write(batch, found[0], {**pool_fields(change.pool), **made_by, **stamp})
        kept = {name: value for name, value in stamp.items() if name == "expire_at"}
        if pool is None or pool.current.number != change.pool.current.number:
            self._begin_generation(batch, change.pool, kept)
        elif change.members is not None:
            fields = marks_fields if is_listed else members_fields
            self._write(batch, found[1], {**fields(change.members), **kept})
        try:
            batch.commit(**self._limits())
        except (api.Aborted, api.AlreadyExists, api.FailedPrecondition, api.NotFound):
            return False
        return True

    def _write(self, batch: Any, found: _Found, fields: Fields) -> None:
        """Create the document, or change *fields* of the one that was found."""
        if not found.exists:
            batch.create(found.reference, fields)
            return
        unchanged = self._client.write_option(last_update_time=found.update_time)
        batch.update(found.reference, fields, option=unchanged)

    def _begin_generation(self, batch: Any, pool: Pool, kept: Fields) -> None:
        # A pool that expired may have left a document of this number, so it is made anew.
        batch.set(self._generation_ref(pool.pool_id, pool.current.number), kept)
        if pool.ready is not None:
            batch.set(self._generation_ref(pool.pool_id, pool.ready.number), kept, merge=True)

    def _stamp(self, now: datetime | None, change_id: str) -> Fields:
        if now is None:
            return {"change_id": change_id}
        kept = timedelta(seconds=self._policy.max_age_seconds + _KEEP_SECONDS)
        return {"change_id": change_id, "expire_at": now + kept}

    # Documents

    def _members(self, pool_id: str, generation: int) -> Members | None:
        with translated("Firestore"):
            return members_of(self._get(self._generation_ref(pool_id, generation)).to_dict())

    def _store(
        self, pool_id: str, generation: int, rows: Mapping[str, bytes], model_revision: str
    ) -> set[str]:
        """Commit the embeddings of listed images and return which they are; a newer replaces."""
        from google.cloud.firestore_v1.vector import Vector

        members = self._members(pool_id, generation) if rows else None
        listed = members.images if members else {}
        known = [(listed[one].image, row) for one, row in rows.items() if one in listed]
        with translated("Firestore"):
            for some in _chunks(known, _commit_size(rows)):
                batch = self._client.batch()
                for image, row in some:
                    vector = Vector(matrix_of([row])[0].tolist())
                    fields = embedding_fields(image, model_revision, row)
                    ref = self._embedding_ref(image.image_id, model_revision)
                    batch.set(ref, {**fields, "vector": vector})
                batch.commit(**self._limits())
        return {image.image_id for image, _ in known}

    def _forget_embeddings(self, image_ids: Sequence[str], model_revision: str) -> None:
        """Delete damaged embeddings: the next search on their pool has them made anew."""
        if not image_ids:
            return
        _logger.warning("%d damaged embeddings are deleted: %s", len(image_ids), image_ids[:10])
        with translated("Firestore"):
            for some in _chunks(image_ids, _WRITE_DOCUMENTS):
                batch = self._client.batch()
                for image_id in some:
                    batch.delete(self._embedding_ref(image_id, model_revision))
                batch.commit(**self._limits())

    def _rows(
        self, image_ids: Iterable[str], model_revision: str, field_paths: list[str]
    ) -> Iterator[tuple[str, Fields]]:
        """Yield (image_id, fields) of the embeddings that are stored."""
        # An empty mask would mean every field, with the vector.
        mask = field_paths or ["model_revision"]
        with translated("Firestore"):
            refs = {self._embedding_ref(one, model_revision): one for one in image_ids}
            for some in _chunks(refs, _READ_DOCUMENTS):
                for found in self._client.get_all(some, mask, **self._limits()):
                    if found.exists:
                        yield refs[found.reference], found.to_dict()

    def _nearest_documents(self, query: Embedding, k: int, model_revision: str) -> list[Fields]:
        from google.cloud.firestore_v1.base_query import FieldFilter
        from google.cloud.firestore_v1.base_vector_query import DistanceMeasure
        from google.cloud.firestore_v1.vector import Vector

        of_model = FieldFilter("model_revision", "==", model_revision)
        rows = self._client.collection("embeddings").where(filter=of_model).select(["image", "row"])
        # The dot product of unit vectors is their cosine, and the cheaper of the two.
        measure = DistanceMeasure.DOT_PRODUCT
        nearest = rows.find_nearest(
            "vector", Vector(query.tolist()), distance_measure=measure, limit=k
        )
        return [found.to_dict() for found in nearest.get(**self._limits())]

    def _get(self, ref: DocumentReference) -> _Found:
        return ref.get(**self._limits())

    def _pool_ref(self, pool_id: str) -> DocumentReference:
        ref: DocumentReference = self._client.collection("pools").document(document_id(pool_id))
        return ref

    def _generation_ref(self, pool_id: str, number: int) -> DocumentReference:
        generations: Any = self._pool_ref(pool_id).collection("generations")
        ref: DocumentReference = generations.document(str(number))
        return ref

    def _embedding_ref(self, image_id: str, model_revision: str) -> DocumentReference:
        name = embedding_id(image_id, model_revision)
        ref: DocumentReference = self._client.collection("embeddings").document(name)
        return ref

    def _limits(self) -> dict[str, Any]:
        """Try again what may pass, soon, within the time limit."""
        from google.api_core import exceptions as api
        from google.api_core.retry import Retry, if_exception_type

        passing = if_exception_type(
            api.Cancelled, api.InternalServerError, api.ServiceUnavailable, api.Unknown
        )
        limit = self._total_seconds
        retry = Retry(passing, initial=0.1, maximum=1.0, multiplier=2.0, timeout=limit)
        return {"retry": retry, "timeout": limit}


def _is_ready(pool: Pool | None, generation: int) -> bool:
    if pool is None or pool.current.number != generation:
        return False
    return pool.current.state is PoolState.READY


def _rest(attempt: int, deadline: float, pool_id: str) -> None:
    """Wait a random, growing time; Unavailable when the deadline is over."""
    if time.monotonic() > deadline:
        raise Unavailable(f"Firestore: too many changes of pool {pool_id} at once")
    time.sleep(random.uniform(0, min(0.5, 0.02 * 1.5 ** min(attempt, 10))))


def _commit_size(rows: Mapping[str, bytes]) -> int:
    """Return how many of these embeddings fit a commit: 11 bytes a number, and the row itself."""
    largest = max((len(row) for row in rows.values()), default=0)
    return min(_WRITE_DOCUMENTS, _WRITE_BYTES // (4 * largest + 2000))


def _chunks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some
