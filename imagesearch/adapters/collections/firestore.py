"""
Collections in Firestore: a document a collection, and one a file.

    collections/{name}           its root, requests, and how far it is
    collected/{digest}           a file, or that it went: `expire_at` then

Messages change files in any order, several at once. So a change is a commit that holds only if no
document that it read was written since, and is decided anew otherwise; see `pools/firestore.py`.
The composite indexes that are
needed are `collection, is_gone, path` and `collection, has_problem, path`; those and the TTL policy
are Terraform's.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Collection as AnyOf
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from types import MappingProxyType
from typing import Any

from pydantic import TypeAdapter

from imagesearch.adapters.firestore import Firestore, chunks, document_id
from imagesearch.adapters.google_errors import translated
from imagesearch.adapters.records import DAMAGE, Fields
from imagesearch.domain.collections import (
    CollectedFile,
    Collection,
    CollectionCount,
    Stamp,
    Update,
)
from imagesearch.domain.errors import InvalidRequest, NotFound, Unavailable
from imagesearch.domain.forgetting import TAKEN_DOWN
from imagesearch.ports import KnownFile, Position

# Of `in` and `array_contains_any`; firebase.google.com/docs/firestore/query-data/queries.
_ASKED = 30
_CHANGED = 100  # files of a commit: the fewer the rarer it meets another
_BURIED = timedelta(days=8)  # a notification that cannot be delivered is dropped after 7
_NEVER = -1  # the generation of what may come back as it was
_NO_FIELDS: Mapping[str, Fields] = MappingProxyType({})
_FILE = TypeAdapter(CollectedFile)
_UPDATE = TypeAdapter(Update)
_POSITION = TypeAdapter(Position)

Decide = Callable[[Fields], Fields | None]  # the fields of a document that change, or None


class FirestoreCollections:
    """The port `BucketCollections` over *database*."""

    def __init__(self, database: Firestore) -> None:
        self._database = database

    def all(self) -> list[Collection]:
        """Return them in the order of their names, but for those that are being removed."""
        return [_collection(fields) for fields in self._records()]

    def keep(self, collection: Collection) -> None:
        """
        Add *collection*, or give the one of its name another root: see the port.

        What was read of another root, or with other places, is told by each file: see `_is_sound`.

        Raises:
            InvalidRequest: one of its name is being removed.
        """
        if (self._document(collection.name) or {}).get("is_removing"):
            bound = "a collection must not be added again before it is removed"
            raise InvalidRequest(f"{bound}, got {collection.name!r}", field="--name")
        fields = {
            "name": collection.name,
            "root": collection.root,
            "keeps_place": collection.keeps_place,
        }
        with translated("Firestore"):
            self._record(collection.name).set(fields, merge=True, **self._database.limits())

    def retire(self, name: str) -> None:
        """Have the collection be none but to `known_files` and `drop_files`: see the port."""
        self._change_record(name, lambda _: {"is_removing": True})

    def is_there(self, name: str) -> bool:
        """Return whether anything is kept of the collection, be it that it is being removed."""
        return self._document(name) is not None

    def forget(self, name: str) -> None:
        """
        Delete the collection and what is kept of its files.

        The images that these were are in `to_renew` until they are `renewed`.
        """
        with translated("Firestore"):  # first: what is put meanwhile finds that it is gone
            self._record(name).delete(**self._database.limits())
        self._change(self._files(name), lambda fields: _buried(fields, _NEVER))

    def known_files(
        self, name: str, *, after: str = "", most: int | None = None
    ) -> dict[str, KnownFile]:
        """Return the files of the collection by path, in order: *most* after the path *after*."""
        record = self._document(name)
        known: dict[str, KnownFile] = {}
        for document in self._files(name, after=after):
            fields = document.to_dict()
            is_of_root = record is not None and fields["root"] == record["root"]
            stamp = Stamp(fields["size"], fields["generation"] if is_of_root else _NEVER)
            is_sound = record is not None and is_of_root and _is_sound(fields, record)
            known[fields["path"]] = KnownFile(stamp, fields["image_id"], is_sound)
            if most is not None and len(known) == most:
                break
        return known

    def put_files(self, name: str, files: Sequence[CollectedFile]) -> None:
        """Keep *files*, but for those of which a later generation is kept: see the port."""
        by_path = {file.path: file for file in files}
        record = self._existing(name)

        def kept(fields: Fields) -> Fields | None:
            file = by_path[fields["path"]]
            return (
                None
                if _is_over(fields, record, file.known_by.modified_ns)
                else _file_fields(file, record, fields)
            )

        self._change_files(name, by_path, kept)
        try:  # what was removed meanwhile may have been, before this was put
            self._existing(name)
        except NotFound:
            self.drop_files(name, by_path)
            raise

    def drop_files(self, name: str, paths: AnyOf[str]) -> None:
        """Forget the files of these *paths*, whatever generation they are of."""
        self._change_files(name, paths, lambda fields: _buried(fields, _NEVER))

    def bury(self, name: str, generations: Mapping[str, int], now: datetime) -> None:
        """Forget the files that are of this generation, or an earlier one: see the port."""
        record = self._existing(name)

        def buried(fields: Fields) -> Fields | None:
            generation = generations[fields["path"]]
            if fields["root"] == record["root"] and fields["generation"] > generation:
                return None
            return _buried({**fields, "root": record["root"]}, generation, now + _BURIED)

        self._change_files(name, generations, buried)

    def known(self, name: str, path: str) -> KnownFile | None:
        """Return what is remembered of a file: see the port; None of another root's."""
        record = self._existing(name)
        fields = self._read([self._file(name, path)])[0].to_dict()
        if fields is None or fields["root"] != record["root"]:
            return None
        stamp = Stamp(fields["size"], fields["generation"])
        is_sound = bool(fields["is_gone"]) or _is_sound(fields, record)
        return KnownFile(stamp, fields["image_id"], is_sound)

    def unrenewed(self, name: str, paths: AnyOf[str]) -> set[str]:
        """Return the images that are to be renewed as these files changed."""
        documents = self._read([self._file(name, path) for path in paths]) if paths else []
        return {each for document in documents if document.exists for each in document.get("renew")}

    def files_of(self, image_ids: AnyOf[str]) -> dict[str, list[tuple[str, CollectedFile]]]:
        """Return by image_id its files, each with its collection's name, in order of both."""
        documents = [document.to_dict() for document in self._of_images(image_ids)]
        files: dict[str, list[tuple[str, CollectedFile]]] = {}
        for fields in sorted(documents, key=lambda each: (each["collection"], each["path"])):
            try:
                file = _FILE.validate_json(fields["file"])
            except DAMAGE:  # the next update reads it again: see `_is_sound`
                continue
            file = replace(file, problem=fields["problem"])  # as it was noted since
            files.setdefault(fields["image_id"], []).append((fields["collection"], file))
        return files

    def to_renew(self) -> list[str]:
        """Return the images whose files changed since they were renewed."""
        query = self._collected().where(filter=_is("is_renewed", False)).order_by("__name__")
        ids = {each for document in self._database.pages(query) for each in document.get("renew")}
        return sorted(ids)

    def renewed(self, image_ids: AnyOf[str]) -> None:
        """Note that the library says of these images what their files do."""
        done = set(image_ids)

        def rest(fields: Fields) -> Fields | None:
            left = [each for each in fields["renew"] if each not in done]
            return None if left == fields["renew"] else {"renew": left, "is_renewed": not left}

        for some in chunks(done, _ASKED):
            query = self._collected().where(filter=_is("renew", some, "array_contains_any"))
            self._change(self._got(query), rest)

    def not_of_one_file(self, image_ids: AnyOf[str]) -> set[str]:
        """Return those of *image_ids* that have several files, or none."""
        counts = dict.fromkeys(image_ids, 0)
        for document in self._of_images(image_ids):
            counts[document.get("image_id")] += 1
        return {image_id for image_id, files in counts.items() if files != 1}

    def note_problems(self, problems: Mapping[str, str]) -> None:
        """Note of files why their image, by image_id, is none."""

        def noted(fields: Fields) -> Fields | None:
            why = problems.get(fields["image_id"])
            return None if why is None else _problem_fields(fields["image_id"], why)

        self._change(self._of_images(problems), noted)

    def problems(self, name: str, most: int) -> tuple[list[tuple[str, str]], int]:
        """Return up to *most* paths with why there is no image of each, and how many there are."""
        query = self._collected().where(filter=_is("collection", name))
        query = query.where(filter=_is("has_problem", True))
        with translated("Firestore"):
            total = _counted(query, self._database)
        ordered = query.order_by("path").limit(most).select(["path", "problem"])
        documents = self._got(ordered) if total else []
        return [(each.get("path"), each.get("problem")) for each in documents], total

    def counts(self) -> list[CollectionCount]:
        """
        Return what is there of each collection, in the order of their names.

        No query counts different values, so copies are among the images. A count costs a read for
        each 1000 files.
        """
        return [self._count(fields) for fields in self._records()]

    def ask(self, name: str) -> int:
        """Ask for an update; return the number of the request, 0 where the collection is gone."""
        changed = self._change_record(name, lambda fields: {"wanted": fields.get("wanted", 0) + 1})
        return int(changed["wanted"]) if changed else 0

    def asked(self) -> dict[str, int]:
        """Return the collections whose updates are asked for, each with its last request."""
        return {each["name"]: each["wanted"] for each in self._records() if _is_asked(each)}

    def answer(self, name: str, request: int) -> None:
        """Note that the requests up to *request* are done."""
        self._change_record(name, lambda fields: {"done": max(fields.get("done", 0), request)})

    def is_answered(self, name: str, request: int) -> bool:
        """Return whether *request* is done, or the collection gone."""
        record = self._record_or_none(name)
        return record is None or record.get("done", 0) >= request

    def note(self, name: str, update: Update) -> None:
        """Note how far the update of the collection is."""
        self._change_record(name, lambda _: {"progress": _UPDATE.dump_json(update).decode()})

    def last_update(self, name: str) -> Update:
        """Return what was noted last."""
        record = self._record_or_none(name) or {}
        try:
            return _UPDATE.validate_json(record["progress"]) if "progress" in record else Update()
        except DAMAGE:
            return Update()

    def position(self, name: str) -> Position:
        """Return how far the bucket is listed; NotFound where the collection is none."""
        return _position(self._existing(name))

    def advance(self, name: str, before: Position, after: Position, update: Update) -> bool:
        """Note *after* and *update* where *before* is noted; return whether it was."""
        progress = _UPDATE.dump_json(update).decode()

        def advanced(fields: Fields) -> Fields | None:
            if _position(fields) != before:
                return None
            return {"position": _POSITION.dump_python(after), "progress": progress}

        return self._change_record(name, advanced) is not None

    def _count(self, record: Fields) -> CollectionCount:
        ofit = self._collected().where(filter=_is("collection", record["name"]))
        with translated("Firestore"):
            pictures = _counted(ofit.where(filter=_is("is_image", True)), self._database)
            without = _counted(ofit.where(filter=_is("has_problem", True)), self._database)
            down = _counted(ofit.where(filter=_is("is_taken_down", True)), self._database)
        # Of two counts the second may be of a file more.
        problems = max(without - down, 0)
        name = record["name"]
        return CollectionCount(name, pictures, pictures, problems, _is_asked(record), down)

    def _records(self) -> list[Fields]:
        query = self._database.client.collection("collections").order_by("name")
        every = [document.to_dict() for document in self._database.pages(query)]
        return [fields for fields in every if not fields.get("is_removing")]

    def _record(self, name: str) -> Any:
        return self._database.client.collection("collections").document(document_id(name))

    def _record_or_none(self, name: str) -> Fields | None:
        record = self._document(name)
        return None if record is None or record.get("is_removing") else record

    def _document(self, name: str) -> Fields | None:
        with translated("Firestore"):
            fields: Fields | None = self._record(name).get(**self._database.limits()).to_dict()
        return fields

    def _existing(self, name: str) -> Fields:
        record = self._record_or_none(name)
        if record is None:
            raise NotFound(f"the collection {name!r} was removed meanwhile")
        return record

    def _collected(self) -> Any:
        return self._database.client.collection("collected")

    def _file(self, name: str, path: str) -> Any:
        digest = hashlib.sha256(f"{name}\n{path}".encode("utf-8", "surrogatepass"))
        return self._collected().document(digest.hexdigest()[:40])

    def _files(self, name: str, *, after: str = "") -> Iterator[Any]:
        """Yield the documents of the files that it has, in order of their paths."""
        query = self._collected().where(filter=_is("collection", name))
        query = query.where(filter=_is("is_gone", False))
        if after:
            query = query.where(filter=_is("path", after, ">"))
        return self._database.pages(query.order_by("path"))

    def _of_images(self, image_ids: AnyOf[str]) -> Iterator[Any]:
        """Yield the documents of the files of these images."""
        for some in chunks(filter(None, dict.fromkeys(image_ids)), _ASKED):
            yield from self._got(self._collected().where(filter=_is("image_id", some, "in")))

    def _got(self, query: Any) -> list[Any]:
        with translated("Firestore"):
            documents: list[Any] = query.get(**self._database.limits())
        return documents

    def _change_record(self, name: str, decide: Decide) -> Fields | None:
        """Return what *decide* changed of the collection's document; None where that is nothing."""
        changed: Fields | None = None

        def deciding(fields: Fields) -> Fields | None:
            nonlocal changed
            changed = decide(fields)
            return changed

        self._commit(self._read([self._record(name)]), deciding)
        return changed

    def _change_files(self, name: str, paths: AnyOf[str], decide: Decide) -> None:
        """Do what *decide* says of files that may not be there yet."""
        for some in chunks(paths, _CHANGED):
            absent = {self._file(name, path).id: _absent(name, path) for path in some}
            references = [self._file(name, path) for path in some]
            self._commit(self._read(references), decide, absent)

    def _change(self, documents: Iterable[Any], decide: Decide) -> None:
        """Do what *decide* says of *documents* that are there."""
        for some in chunks(documents, _CHANGED):
            self._commit(some, decide)

    def _commit(
        self, documents: list[Any], decide: Decide, absent: Mapping[str, Fields] = _NO_FIELDS
    ) -> None:
        """
        Change some documents at once; those that others changed meanwhile are decided anew.

        Args:
            absent: what stands for documents that are not there, by id; others stay away.
        """
        from google.api_core import exceptions as api

        deadline = time.monotonic() + self._database.total_seconds
        for attempt in count():
            batch, changed = self._database.client.batch(), []
            for document in documents:
                fields = document.to_dict() or absent.get(document.id)
                changes = None if fields is None else decide(fields)
                if changes is not None and fields is not None:
                    self._write(batch, document, fields, changes)
                    changed.append(document.reference)
            if not changed:
                return
            with translated("Firestore"):
                try:
                    batch.commit(**self._database.limits())
                    return
                except (api.Aborted, api.AlreadyExists, api.FailedPrecondition, api.NotFound):
                    _rest(attempt, deadline)
            documents = self._read(changed)

    def _read(self, references: Sequence[Any]) -> list[Any]:
        with translated("Firestore"):
            return list(self._database.client.get_all(references, **self._database.limits()))

    def _write(self, batch: Any, document: Any, fields: Fields, changes: Fields) -> None:
        """Create the document, or change the one that was read."""
        if not document.exists:
            batch.create(document.reference, {**fields, **changes})
            return
        unchanged = self._database.client.write_option(last_update_time=document.update_time)
        batch.update(document.reference, changes, option=unchanged)


def _collection(fields: Fields) -> Collection:
    return Collection(fields["name"], fields["root"], fields["keeps_place"])


def _is_asked(record: Fields) -> bool:
    return bool(record.get("wanted", 0) > record.get("done", 0))


def _position(record: Fields) -> Position:
    return _POSITION.validate_python(record.get("position", {}))


def _absent(name: str, path: str) -> Fields:
    """Return what stands for a file that nothing is known of."""
    return {
        **{"collection": name, "path": path, "root": "", "keeps_place": False},
        **{"is_gone": True, "generation": _NEVER, "size": 0, "image_id": "", "renew": []},
    }


def _file_fields(file: CollectedFile, record: Fields, before: Fields) -> Fields:
    """Return the fields of a file, after those *before*, whose image is to be renewed, too."""
    renew = sorted({*before["renew"], before["image_id"], file.image_id} - {""})
    return {
        "root": record["root"],
        "keeps_place": record["keeps_place"],
        "is_gone": False,
        "generation": file.known_by.modified_ns,
        "size": file.known_by.size,
        "image_id": file.image_id,
        **_problem_fields(file.image_id, file.problem),
        "file": _FILE.dump_json(file, exclude_defaults=True),
        "renew": renew,
        "is_renewed": not renew,
        "expire_at": None,
    }


def _problem_fields(image_id: str, problem: str) -> Fields:
    return {
        "problem": problem,
        "has_problem": bool(problem),
        "is_taken_down": problem == TAKEN_DOWN,
        "is_image": bool(image_id and not problem),
    }


def _buried(fields: Fields, generation: int, expire_at: datetime | None = None) -> Fields | None:
    """Return what is kept of a file that went; None where that is nothing, and nothing was."""
    if fields["is_gone"] and fields["generation"] >= generation:
        return None
    renew = sorted({*fields["renew"], fields["image_id"]} - {""})
    return {
        "root": fields["root"],
        "is_gone": True,
        "generation": generation,
        "size": 0,
        "image_id": "",
        **_problem_fields("", ""),
        "file": b"",
        "renew": renew,
        "is_renewed": not renew,
        "expire_at": expire_at or datetime.now(UTC) + _BURIED,
    }


def _is_over(fields: Fields, record: Fields, generation: int) -> bool:
    """Return whether another generation took the place of this one, or it went."""
    if fields["root"] != record["root"]:
        return False
    stands = int(fields["generation"])
    return stands > generation or (bool(fields["is_gone"]) and stands == generation)


def _is_sound(fields: Fields, record: Fields) -> bool:
    """Return whether a file was read as its collection is, and all came of it that should."""
    return (
        not (fields["is_gone"] or fields["has_problem"] or fields["renew"])
        and fields["root"] == record["root"]
        and fields["keeps_place"] == record["keeps_place"]
    )


def _is(field: str, value: object, op: str = "==") -> Any:
    from google.cloud.firestore_v1.base_query import FieldFilter

    return FieldFilter(field, op, value)


def _counted(query: Any, database: Firestore) -> int:
    return int(query.count().get(**database.limits())[0][0].value)


def _rest(attempt: int, deadline: float) -> None:
    """Wait a random, growing time; Unavailable when the deadline is over."""
    if time.monotonic() > deadline:
        raise Unavailable("Firestore: too many changes of a collection at once")
    time.sleep(random.uniform(0, min(0.5, 0.02 * 1.5 ** min(attempt, 10))))
