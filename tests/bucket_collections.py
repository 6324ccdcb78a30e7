"""Collections that are buckets in memory: what the use case is tested over.

The contract suite holds them to what Firestore does.
"""

from __future__ import annotations

from collections.abc import Collection as AnyOf
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from imagesearch.domain.collections import (
    CollectedFile,
    Collection,
    CollectionCount,
    Stamp,
    Update,
)
from imagesearch.domain.errors import InvalidRequest, NotFound
from imagesearch.domain.forgetting import TAKEN_DOWN
from imagesearch.ports import KnownFile, Position


@dataclass
class _File:
    """A file, or what is kept of one that went: then *file* is None."""

    generation: int
    file: CollectedFile | None
    of: Collection
    renew: set[str] = field(default_factory=set)

    @property
    def image_id(self) -> str:
        return self.file.image_id if self.file else ""


@dataclass
class _Record:
    collection: Collection
    wanted: int = 0
    done: int = 0
    update: Update = field(default_factory=Update)
    position: Position = field(default_factory=Position)


class MemoryCollections:
    """The port `BucketCollections` in two dictionaries."""

    def __init__(self) -> None:
        self._records: dict[str, _Record] = {}
        self._retired: dict[str, _Record] = {}
        self._files: dict[tuple[str, str], _File] = {}

    def all(self) -> list[Collection]:
        return [self._records[name].collection for name in sorted(self._records)]

    def retire(self, name: str) -> None:
        if name in self._records:
            self._retired[name] = self._records.pop(name)

    def is_there(self, name: str) -> bool:
        return name in self._records or name in self._retired

    def keep(self, collection: Collection) -> None:
        if collection.name in self._retired:
            raise InvalidRequest(f"{collection.name!r} is being removed")
        record = self._records.setdefault(collection.name, _Record(collection))
        record.collection = collection

    def forget(self, name: str) -> None:
        self._records.pop(name, None)
        self._retired.pop(name, None)
        for (of, _), file in self._files.items():
            if of == name:
                file.renew |= {file.image_id} - {""}
                file.generation, file.file = -1 if file.file else file.generation, None

    def known_files(
        self, name: str, *, after: str = "", most: int | None = None
    ) -> dict[str, KnownFile]:
        record = self._records.get(name)
        root = record.collection.root if record else ""

        def stamp(file: _File) -> Stamp:
            assert file.file is not None
            stamp = file.file.known_by
            return stamp if file.of.root == root else replace(stamp, modified_ns=-1)

        known = {
            path: KnownFile(stamp(file), file.image_id, self._is_sound(file))
            for (of, path), file in sorted(self._files.items())
            if of == name and path > after and file.file is not None
        }
        return dict(list(known.items())[:most])

    def put_files(self, name: str, files: Sequence[CollectedFile]) -> None:
        of = self._existing(name).collection
        for file in files:
            generation = file.known_by.modified_ns
            before = self._files.get((name, file.path), _File(-1, None, of))
            if not self._is_over(before, generation):
                renew = {*before.renew, before.image_id, file.image_id} - {""}
                self._files[name, file.path] = _File(generation, file, of, renew)

    def drop_files(self, name: str, paths: AnyOf[str]) -> None:
        self._bury(name, dict.fromkeys(paths, -1), is_any=True)

    def bury(self, name: str, generations: Mapping[str, int], now: datetime) -> None:
        self._existing(name)
        self._bury(name, generations)

    def _bury(self, name: str, generations: Mapping[str, int], *, is_any: bool = False) -> None:
        for path, generation in generations.items():
            of = self._records[name].collection if name in self._records else Collection(name, "")
            before = self._files.get((name, path), _File(-1, None, of))
            is_same_root = before.of.root == of.root
            if not is_any and is_same_root and before.generation > generation:
                continue
            if before.file is None and before.generation >= generation:
                continue
            renew = {*before.renew, before.image_id} - {""}
            self._files[name, path] = _File(generation, None, of, renew)

    def known(self, name: str, path: str) -> KnownFile | None:
        record, file = self._existing(name), self._files.get((name, path))
        if file is None or file.of.root != record.collection.root:
            return None
        if file.file is None:
            return KnownFile(Stamp(0, file.generation), "", True)
        return KnownFile(file.file.known_by, file.image_id, self._is_sound(file))

    def unrenewed(self, name: str, paths: AnyOf[str]) -> set[str]:
        files = [self._files[name, path] for path in paths if (name, path) in self._files]
        return {each for file in files for each in file.renew}

    def files_of(self, image_ids: AnyOf[str]) -> dict[str, list[tuple[str, CollectedFile]]]:
        files: dict[str, list[tuple[str, CollectedFile]]] = {}
        for (name, _), file in sorted(self._files.items()):
            if file.file is not None and file.image_id in set(image_ids) - {""}:
                files.setdefault(file.image_id, []).append((name, file.file))
        return files

    def to_renew(self) -> list[str]:
        return sorted({each for file in self._files.values() for each in file.renew})

    def renewed(self, image_ids: AnyOf[str]) -> None:
        for file in self._files.values():
            file.renew.difference_update(image_ids)

    def not_of_one_file(self, image_ids: AnyOf[str]) -> set[str]:
        files = self.files_of(image_ids)
        return {each for each in image_ids if len(files.get(each, ())) != 1}

    def note_problems(self, problems: Mapping[str, str]) -> None:
        for file in self._files.values():
            if file.file is not None and file.image_id in problems:
                file.file = replace(file.file, problem=problems[file.image_id])

    def problems(self, name: str, most: int) -> tuple[list[tuple[str, str]], int]:
        found = [
            (path, file.file.problem)
            for (of, path), file in sorted(self._files.items())
            if of == name and file.file is not None and file.file.problem
        ]
        return found[:most], len(found)

    def counts(self) -> list[CollectionCount]:
        return [self._count(name) for name in sorted(self._records)]

    def _count(self, name: str) -> CollectionCount:
        files = [each.file for (of, _), each in self._files.items() if of == name and each.file]
        images = sum(1 for file in files if file.image_id and not file.problem)
        down = sum(1 for file in files if file.problem == TAKEN_DOWN)
        problems = sum(1 for file in files if file.problem) - down
        return CollectionCount(name, images, images, problems, name in self.asked(), down)

    def ask(self, name: str) -> int:
        if name not in self._records:
            return 0
        self._records[name].wanted += 1
        return self._records[name].wanted

    def asked(self) -> dict[str, int]:
        every = sorted(self._records.items())
        return {name: record.wanted for name, record in every if record.wanted > record.done}

    def answer(self, name: str, request: int) -> None:
        if record := self._records.get(name):
            record.done = max(record.done, request)

    def is_answered(self, name: str, request: int) -> bool:
        record = self._records.get(name)
        return record is None or record.done >= request

    def note(self, name: str, update: Update) -> None:
        if record := self._records.get(name):
            record.update = update

    def last_update(self, name: str) -> Update:
        return self._records[name].update if name in self._records else Update()

    def position(self, name: str) -> Position:
        return self._existing(name).position

    def advance(self, name: str, before: Position, after: Position, update: Update) -> bool:
        record = self._records.get(name)
        if record is None or record.position != before:
            return False
        record.position, record.update = after, update
        return True

    def _existing(self, name: str) -> _Record:
        if name not in self._records:
            raise NotFound(f"the collection {name!r} was removed meanwhile")
        return self._records[name]

    def _is_over(self, file: _File, generation: int) -> bool:
        record = self._records[file.of.name]
        if file.of.root != record.collection.root:
            return False
        went = file.file is None and file.generation == generation
        return file.generation > generation or went

    def _is_sound(self, file: _File) -> bool:
        record = self._records.get(file.of.name)
        is_same = record is not None and file.of == record.collection
        return is_same and file.file is not None and not (file.file.problem or file.renew)
