"""
What stays forgotten, and when images were used, in Firestore.

A picture that was taken down is a document; so are images that were used on one day, some at a
time, as a batch of a pool is embedded or a search has shown them: a write for each image would cost
as much as its embedding.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from imagesearch.adapters.firestore import MAX_WRITES, Firestore, chunks, document_id
from imagesearch.adapters.google_errors import translated
from imagesearch.domain.forgetting import Withdrawal

# Of `array_contains_any`; firebase.google.com/docs/firestore/query-data/queries.
_ASKED = 30


class FirestoreRetention:
    """The port `Retention` over *database*."""

    def __init__(self, database: Firestore) -> None:
        self._database = database

    def version(self) -> str:
        """Return what is another text after each change: a read."""
        with translated("Firestore"):
            document = self._version().get(**self._database.limits())
            return str((document.to_dict() or {}).get("version", ""))

    def note_forgotten(self) -> None:
        """Note that something was forgotten."""
        self._commit([])

    def withdraw(self, withdrawals: Sequence[Withdrawal]) -> None:
        """Keep *withdrawals*, in place of what is kept of the same images."""
        for some in chunks(withdrawals, MAX_WRITES - 1):
            self._commit(
                (
                    self._withdrawn(each.image_id),
                    {"image_id": each.image_id, "at": each.at, "reason": each.reason},
                )
                for each in some
            )

    def allow(self, image_ids: Collection[str]) -> None:
        """Forget that the images were withdrawn."""
        for some in chunks(image_ids, MAX_WRITES - 1):
            self._commit((self._withdrawn(each), None) for each in some)

    def withdrawn(self) -> dict[str, Withdrawal]:
        """Return all that are withdrawn, by image_id: a read for each."""
        query = self._database.client.collection("withdrawn").order_by("__name__")
        every = (_withdrawal(document.to_dict()) for document in self._database.pages(query))
        return {each.image_id: each for each in every}

    def note_used(self, image_ids: Collection[str], day: int) -> None:
        """Note that images were used on *day*: a write for all of them."""
        ids = sorted(image_ids)
        if ids:
            with translated("Firestore"):
                fields = {"day": day, "image_ids": ids}
                document = self._uses().document(uuid.uuid4().hex)
                document.set(fields, **self._database.limits())

    def unused(self, before: int, most: int) -> list[str]:
        """
        Return up to *most* images that were used last before the day *before*, oldest first.

        It costs a read for each document of these days, and some for what it says. Documents
        whose images were all used later are deleted.
        """
        from google.cloud.firestore_v1.base_query import FieldFilter

        earlier = FieldFilter("day", "<", before)
        query = self._uses().where(filter=earlier).order_by("day").order_by("__name__")
        unused: dict[str, None] = {}
        for document in self._database.pages(query):
            ids = document.get("image_ids")
            later = self._used_since(ids, before)
            for each in ids:
                unused.pop(each, None)  # by its last use
                if each not in later:
                    unused[each] = None
            if later.issuperset(ids):
                with translated("Firestore"):
                    document.reference.delete(**self._database.limits())
            if len(unused) >= most:
                break
        return list(unused)[:most]

    def drop_uses(self, image_ids: Collection[str]) -> None:
        """Forget when the images were used."""
        from google.cloud.firestore_v1.base_query import FieldFilter

        for some in chunks(image_ids, _ASKED):
            having = FieldFilter("image_ids", "array_contains_any", some)
            with translated("Firestore"):
                documents = self._uses().where(filter=having).get(**self._database.limits())
                for part in chunks(documents, MAX_WRITES):
                    self._drop(part, set(some))

    def _drop(self, documents: Iterable[Any], image_ids: set[str]) -> None:
        from google.cloud.firestore_v1.transforms import ArrayRemove

        batch = self._database.client.batch()
        for document in documents:
            if image_ids.issuperset(document.get("image_ids")):
                batch.delete(document.reference)
            else:
                # An id may be gone meanwhile, or the document: both are well.
                removed = {"image_ids": ArrayRemove(sorted(image_ids))}
                batch.set(document.reference, removed, merge=True)
        batch.commit(**self._database.limits())

    def _used_since(self, image_ids: Sequence[str], day: int) -> set[str]:
        """Return those of *image_ids* that were used on *day* or later."""
        from google.cloud.firestore_v1.base_query import FieldFilter

        since = FieldFilter("day", ">=", day)
        used: set[str] = set()
        for some in chunks(image_ids, _ASKED):
            having = FieldFilter("image_ids", "array_contains_any", some)
            query = self._uses().where(filter=having).where(filter=since)
            with translated("Firestore"):
                for document in query.get(**self._database.limits()):
                    used.update(document.get("image_ids"))
        return used.intersection(image_ids)

    def _commit(self, changes: Iterable[tuple[Any, dict[str, Any] | None]]) -> None:
        """Write or, where there are no fields, delete documents, and change the version."""
        with translated("Firestore"):
            batch = self._database.client.batch()
            for reference, fields in changes:
                if fields is None:
                    batch.delete(reference)
                else:
                    batch.set(reference, fields)
            batch.set(self._version(), {"version": uuid.uuid4().hex})
            batch.commit(**self._database.limits())

    def _version(self) -> Any:
        return self._database.client.collection("retention").document("version")

    def _withdrawn(self, image_id: str) -> Any:
        return self._database.client.collection("withdrawn").document(document_id(image_id))

    def _uses(self) -> Any:
        return self._database.client.collection("uses")


def _withdrawal(fields: dict[str, Any]) -> Withdrawal:
    at: datetime = fields["at"]
    # The SDK's own class of moments knows nanoseconds.
    moment = datetime.fromtimestamp(at.timestamp(), UTC)
    return Withdrawal(fields["image_id"], moment, fields["reason"])
