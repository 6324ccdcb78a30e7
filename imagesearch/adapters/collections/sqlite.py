"""Collections in a SQLite file: a row a collection, and one a file."""

from __future__ import annotations

from collections.abc import Collection as AnyOf
from collections.abc import Mapping, Sequence
from dataclasses import replace

from pydantic import TypeAdapter

from imagesearch.adapters.records import DAMAGE
from imagesearch.adapters.sqlite import SqliteFile, id_list
from imagesearch.domain.collections import (
    CollectedFile,
    Collection,
    CollectionCount,
    Stamp,
    Update,
)
from imagesearch.domain.errors import NotFound
from imagesearch.domain.forgetting import TAKEN_DOWN
from imagesearch.ports import KnownFile

_FILE = TypeAdapter(CollectedFile)
_UPDATE = TypeAdapter(Update)
_RENEW = "INSERT OR IGNORE INTO to_renew SELECT DISTINCT image_id FROM files"
_OF_PATHS = "WHERE collection = ? AND path IN (SELECT value FROM json_each(?))"


class SqliteCollections:
    """The port `Collections` over *file*."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    def all(self) -> list[Collection]:
        """Return them in the order of their names."""
        with self._file.reading() as connection:
            rows = connection.execute(
                "SELECT name, root, keeps_place FROM collections ORDER BY name"
            ).fetchall()
        return [Collection(name, root, bool(keeps_place)) for name, root, keeps_place in rows]

    def keep(self, collection: Collection) -> None:
        """Add *collection*, or give the one of its name another root: see the port."""
        with self._file.writing() as connection:
            connection.execute(  # so that each of its files is read again
                "UPDATE files SET modified_ns = -1 WHERE collection IN"
                " (SELECT name FROM collections WHERE name = ? AND keeps_place <> ?)",
                (collection.name, collection.keeps_place),
            )
            connection.execute(
                "INSERT INTO collections (name, root, keeps_place) VALUES (?, ?, ?)"
                " ON CONFLICT (name) DO UPDATE SET root = excluded.root,"
                " keeps_place = excluded.keeps_place",
                (collection.name, collection.root, collection.keeps_place),
            )

    def forget(self, name: str) -> None:
        """Delete the collection and what is kept of its files."""
        with self._file.writing() as connection:
            connection.execute(f"{_RENEW} WHERE collection = ?", (name,))
            connection.execute("DELETE FROM files WHERE collection = ?", (name,))
            connection.execute("DELETE FROM collections WHERE name = ?", (name,))

    def known_files(
        self, name: str, *, after: str = "", most: int | None = None
    ) -> dict[str, KnownFile]:
        """Return the files of the collection by path, in order: *most* after the path *after*."""
        with self._file.reading() as connection:
            rows = connection.execute(
                "SELECT path, size, modified_ns, image_id, problem = '' AND json_valid(file)"
                " FROM files"
                " WHERE collection = ? AND path > ? ORDER BY path LIMIT ?",
                (name, after, -1 if most is None else most),
            ).fetchall()
        return {
            path: KnownFile(Stamp(*stamp), image_id, bool(is_sound))
            for path, *stamp, image_id, is_sound in rows
        }

    def put_files(self, name: str, files: Sequence[CollectedFile]) -> None:
        """Keep *files*; what was kept of their paths is replaced."""
        rows = [
            (
                *(name, file.path, file.known_by.size, file.known_by.modified_ns),
                *(
                    file.image_id,
                    file.problem,
                    _FILE.dump_json(file, exclude_defaults=True).decode(),
                ),
            )
            for file in files
        ]
        paths = (name, id_list([file.path for file in files]))
        with self._file.writing() as connection:
            if not connection.execute(
                "SELECT 1 FROM collections WHERE name = ?", (name,)
            ).fetchone():
                raise NotFound(f"the collection {name!r} was removed meanwhile")
            connection.execute(f"{_RENEW} {_OF_PATHS}", paths)  # what they were
            connection.executemany(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
            connection.execute(f"{_RENEW} {_OF_PATHS}", paths)  # and what they are

    def drop_files(self, name: str, paths: AnyOf[str]) -> None:
        """Forget the files of these *paths*."""
        with self._file.writing() as connection:
            connection.execute(f"{_RENEW} {_OF_PATHS}", (name, id_list(paths)))
            connection.execute(f"DELETE FROM files {_OF_PATHS}", (name, id_list(paths)))

    def to_renew(self) -> list[str]:
        """Return the images whose files changed since they were renewed."""
        with self._file.reading() as connection:
            rows = connection.execute(
                "SELECT image_id FROM to_renew WHERE image_id <> '' ORDER BY image_id"
            ).fetchall()
        return [image_id for (image_id,) in rows]

    def renewed(self, image_ids: AnyOf[str]) -> None:
        """Note that the library says of these images what their files do."""
        with self._file.writing() as connection:
            connection.execute(
                "DELETE FROM to_renew WHERE image_id IN (SELECT value FROM json_each(?))",
                (id_list(image_ids),),
            )

    def files_of(self, image_ids: AnyOf[str]) -> dict[str, list[tuple[str, CollectedFile]]]:
        """Return by image_id its files, each with its collection's name, in order of both."""
        with self._file.reading() as connection:
            rows = connection.execute(
                "SELECT image_id, collection, file, problem FROM files"
                " WHERE image_id IN (SELECT value FROM json_each(?)) ORDER BY collection, path",
                (id_list(image_ids),),
            ).fetchall()
        files: dict[str, list[tuple[str, CollectedFile]]] = {}
        for image_id, name, text, problem in rows:
            try:
                file = replace(_FILE.validate_json(text), problem=problem)  # as noted since
                files.setdefault(image_id, []).append((name, file))
            except DAMAGE:  # the next update reads it again, where it is no JSON: see `known_files`
                continue
        return files

    def not_of_one_file(self, image_ids: AnyOf[str]) -> set[str]:
        """Return those of *image_ids* that have several files, or none."""
        with self._file.reading() as connection:
            rows = connection.execute(
                "SELECT image_id FROM files WHERE image_id IN (SELECT value FROM json_each(?))"
                " GROUP BY image_id HAVING count(*) = 1",
                (id_list(image_ids),),
            )
            return set(image_ids).difference(image_id for (image_id,) in rows)

    def note_problems(self, problems: Mapping[str, str]) -> None:
        """Note of files why their image, by image_id, is none."""
        with self._file.writing() as connection:
            connection.executemany(
                "UPDATE files SET problem = ? WHERE image_id = ?",
                [(problem, image_id) for image_id, problem in problems.items()],
            )

    def problems(self, name: str, most: int) -> tuple[list[tuple[str, str]], int]:
        """Return up to *most* paths with why there is no image of each, and how many there are."""
        with self._file.reading() as connection:
            rows = connection.execute(
                "SELECT path, problem FROM files WHERE collection = ? AND problem <> ''"
                " ORDER BY path LIMIT ?",
                (name, most),
            ).fetchall()
            (total,) = connection.execute(
                "SELECT count(*) FROM files WHERE collection = ? AND problem <> ''", (name,)
            ).fetchone()
        return rows, total

    def counts(self) -> list[CollectionCount]:
        """Return what is there of each collection, in the order of their names."""
        with self._file.reading() as connection:
            rows = connection.execute(
                "SELECT name, count(image_id) FILTER (WHERE problem = '' AND image_id <> ''),"
                " count(DISTINCT image_id) FILTER (WHERE problem = '' AND image_id <> ''),"
                " count(path) FILTER (WHERE problem NOT IN ('', :down)), wanted > done,"
                " count(path) FILTER (WHERE problem = :down)"
                " FROM collections LEFT JOIN files ON collection = name"
                " GROUP BY name ORDER BY name",
                {"down": TAKEN_DOWN},
            ).fetchall()
        return [
            CollectionCount(name, pictures, images, problems, bool(is_updating), taken_down)
            for name, pictures, images, problems, is_updating, taken_down in rows
        ]

    def ask(self, name: str) -> int:
        """Ask whoever has the data folder for an update; return the number of the request."""
        with self._file.writing() as connection:
            row = connection.execute(
                "UPDATE collections SET wanted = wanted + 1 WHERE name = ? RETURNING wanted",
                (name,),
            ).fetchone()
        return int(row[0]) if row else 0

    def asked(self) -> dict[str, int]:
        """Return the collections whose updates are asked for, each with its last request."""
        with self._file.reading() as connection:
            rows = connection.execute(
                "SELECT name, wanted FROM collections WHERE wanted > done ORDER BY name"
            )
            return dict(rows.fetchall())

    def answer(self, name: str, request: int) -> None:
        """Note that the requests up to *request* are done."""
        with self._file.writing() as connection:
            connection.execute(
                "UPDATE collections SET done = max(done, ?) WHERE name = ?", (request, name)
            )

    def is_answered(self, name: str, request: int) -> bool:
        """Return whether *request* is done, or the collection gone."""
        with self._file.reading() as connection:
            row = connection.execute(
                "SELECT done FROM collections WHERE name = ?", (name,)
            ).fetchone()
        return row is None or row[0] >= request

    def note(self, name: str, update: Update) -> None:
        """Note how far the update of the collection is."""
        with self._file.writing() as connection:
            text = _UPDATE.dump_json(update).decode()
            connection.execute("UPDATE collections SET progress = ? WHERE name = ?", (text, name))

    def last_update(self, name: str) -> Update:
        """Return what was noted last."""
        with self._file.reading() as connection:
            row = connection.execute(
                "SELECT progress FROM collections WHERE name = ?", (name,)
            ).fetchone()
        try:
            return _UPDATE.validate_json(row[0]) if row and row[0] else Update()
        except DAMAGE:
            return Update()
