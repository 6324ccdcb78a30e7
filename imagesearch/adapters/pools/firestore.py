"""
Pools in Firestore: a document a record, and one a listing with its marks.

A change of a pool is one atomic commit that holds only if no document it read was written since
(Firestore's `update_time` precondition), and is decided anew otherwise. Unlike the SDK's
read-write transactions this locks nothing while a client thinks, or dies, and every call has a
time limit of ours. Source: firebase.google.com/docs/firestore/transaction-data-contention.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from datetime import datetime, timedelta
from itertools import count
from typing import Any
from urllib.parse import unquote

from imagesearch.adapters.firestore import Firestore
from imagesearch.adapters.google_errors import translated
from imagesearch.adapters.records import (
    Fields,
    marks_fields,
    members_of,
    packed,
    record_fields,
    record_of,
)
from imagesearch.domain.errors import Unavailable
from imagesearch.domain.pool_life import Absent, Members, Record
from imagesearch.domain.pools import Pool, PoolPolicy
from imagesearch.ports import Change

_KEEP_SECONDS = 30 * 86_400.0  # how long a stale pool that nobody asks for is kept
_CHECK_SECONDS = 2.0


class FirestorePools:
    """The port `Pools` over *database*; a pool expires 30 days after it went stale."""

    def __init__(self, database: Firestore, policy: PoolPolicy) -> None:
        self._database = database
        self._kept = timedelta(seconds=policy.max_age_seconds + _KEEP_SECONDS)
        self._full: dict[str, tuple[int, int]] = {}  # a day, and how many were its most

    def get(self, pool_id: str) -> Pool | None:
        """Return the pool, or None: also when its record is damaged, to be requested anew."""
        with translated("Firestore"):
            document = self._database.pool(pool_id).get(**self._database.limits())
            record = record_of(pool_id, _fields(document))
        return record.pool if record else None

    def change(
        self,
        pool_id: str,
        decide: Callable[[Record | Absent], Record | None],
        *,
        marks_of: int | None = None,
    ) -> Change:
        """Read, decide and commit, again while others commit in between: see the port."""
        change_id = uuid.uuid4().hex
        deadline = time.monotonic() + self._database.total_seconds
        with translated("Firestore"):
            for attempt in count():
                documents = self._read(pool_id, marks_of)
                listing = documents[1].to_dict() if documents[1:] else None
                before = record_of(pool_id, _fields(documents[0]), listing)
                pool = before.pool if before else None
                if pool is not None and documents[0].get("change_id") == change_id:
                    return Change(pool, pool)  # committed, though the answer was lost
                after = decide(before or Absent(self._last_number(documents[0])))
                if after is None:
                    return Change(pool, None)
                if self._commit(documents, before, after, change_id):
                    return Change(pool, after.pool)
                _rest(attempt, deadline, pool_id)
        raise AssertionError("unreachable")

    def members(self, pool_id: str, generation: int) -> Members | None:
        """Return what the generation's listing has, and what became of it: see the port."""
        with translated("Firestore"):
            reference = self._database.generation(pool_id, generation)
            return members_of(pool_id, reference.get(**self._database.limits()).to_dict())

    def count(self, what: str, day: int, most: int, more: int = 1) -> bool:
        """
        Count so many *more* of *what* on *day*, unless *most* are exceeded: a write, and no read.

        Firestore adds and answers what that makes, so that no two callers get the same number.
        """
        from google.cloud.firestore_v1.transforms import Increment

        if self._full.get(what) == (day, most):  # refusals write nothing
            return False
        with translated("Firestore"):
            batch = self._database.client.batch()
            batch.set(self._database.days(what), {str(day): Increment(more)}, merge=True)
            [result] = batch.commit(**self._database.limits())
        if result.transform_results[0].integer_value <= most:
            return True
        self._full[what] = (day, most)
        return False

    def pool_ids(self, source: str = "") -> Iterator[str]:
        """Yield the ids of all pools, or those of *source*, in order."""
        from google.cloud.firestore_v1.base_query import FieldFilter

        query = self._database.client.collection("pools").select([]).order_by("__name__")
        if source:
            query = query.where(filter=FieldFilter("options.source", "==", source))
        for document in self._database.pages(query):
            yield unquote(document.id)

    def forget(self, pool_id: str) -> None:
        """Delete the pool's document, and those of its generations; their numbers are over."""
        from google.cloud.firestore_v1.transforms import Maximum

        with translated("Firestore"):
            pool = self._database.pool(pool_id)
            generations = pool.collection("generations").select([]).get(**self._database.limits())
            batch = self._database.client.batch()
            numbers = [int(document.id) for document in generations]
            if numbers:
                last = Maximum(max(numbers))
                batch.set(self._database.counter(), {"last": last}, merge=True)
            for document in generations:
                batch.delete(document.reference)
            batch.delete(pool)
            batch.commit(**self._database.limits())

    def naming(self, image_ids: Collection[str]) -> Iterator[str]:
        """
        Yield the pools any of whose listings has one of *image_ids*.

        No index has them: each listing is read, which is a read for each generation.
        """
        wanted, seen = set(image_ids), set[str]()
        generations = self._database.client.collection_group("generations")
        fields = ["listing", "states", "reasons"]
        for document in self._database.pages(generations.select(fields).order_by("__name__")):
            pool_id = unquote(document.reference.parent.parent.id)
            members = members_of(pool_id, document.to_dict())
            if members and pool_id not in seen and not wanted.isdisjoint(members.marks.image_ids):
                seen.add(pool_id)
                yield pool_id

    def check(self) -> None:
        """Return when Firestore answers, else raise Unavailable; it is asked once, for 2 s."""
        with translated("Firestore"):
            self._database.pool("check").get(["keyword"], retry=None, timeout=_CHECK_SECONDS)

    def close(self) -> None:
        """Close the connection, if there is one."""
        self._database.close()

    def _read(self, pool_id: str, marks_of: int | None) -> list[Any]:
        """Return the pool's document and, when asked for, the generation's."""
        references = [self._database.pool(pool_id)]
        if marks_of is not None:
            references.append(self._database.generation(pool_id, marks_of))
        answers = self._database.client.get_all(references, **self._database.limits())
        documents = {document.reference: document for document in answers}
        return [documents[reference] for reference in references]

    def _last_number(self, document: Any) -> int:
        """Return the largest number of a listed generation of a pool that may be damaged."""
        if not document.exists:
            # New, expired or forgotten; of expired ones the cached copies are, too.
            last = self._database.counter().get(**self._database.limits()).to_dict() or {}
            return int(last.get("last", 0))
        generations = document.reference.collection("generations").select(["states"])
        stored = generations.get(**self._database.limits())
        return max((int(each.id) for each in stored if "states" in each.to_dict()), default=0)

    def _commit(
        self, documents: list[Any], before: Record | None, after: Record, change_id: str
    ) -> bool:
        """Write *after* at once; False when a document that was read is another by now."""
        from google.api_core import exceptions as api

        batch = self._database.client.batch()
        pool = after.pool
        kept = {"expire_at": pool.current.requested_at + self._kept}
        self._write(batch, documents[0], {**record_fields(after), **kept, "change_id": change_id})
        if before is None or before.pool.current.number != pool.current.number:
            # A pool that expired may have left a document of this number, so it is made anew.
            batch.set(self._database.generation(pool.pool_id, pool.current.number), kept)
            if pool.ready is not None:
                ready = self._database.generation(pool.pool_id, pool.ready.number)
                batch.set(ready, kept, merge=True)
        elif after.marks is not None:
            listing = {"listing": packed(after.listing)} if after.listing else {}
            self._write(batch, documents[1], {**listing, **marks_fields(after.marks), **kept})
        try:
            batch.commit(**self._database.limits())
        except (api.Aborted, api.AlreadyExists, api.FailedPrecondition, api.NotFound):
            return False
        return True

    def _write(self, batch: Any, document: Any, fields: Fields) -> None:
        """Create the document, or change *fields* of the one that was read."""
        if not document.exists:
            batch.create(document.reference, fields)
            return
        unchanged = self._database.client.write_option(last_update_time=document.update_time)
        batch.update(document.reference, fields, option=unchanged)


def _fields(document: Any) -> Fields | None:
    """Return a pool's fields; moments of the version before are a class of the SDK: as text."""
    fields: Fields | None = document.to_dict()
    return fields and {name: _with_text(value) for name, value in fields.items()}


def _with_text(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {
        name: each.isoformat() if isinstance(each, datetime) else each
        for name, each in value.items()
    }


def _rest(attempt: int, deadline: float, pool_id: str) -> None:
    """Wait a random, growing time; Unavailable when the deadline is over."""
    if time.monotonic() > deadline:
        raise Unavailable(f"Firestore: too many changes of pool {pool_id} at once")
    time.sleep(random.uniform(0, min(0.5, 0.02 * 1.5 ** min(attempt, 10))))
