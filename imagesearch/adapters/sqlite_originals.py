"""What the SQLite file says of stored originals: where they came from, and which nobody needs."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator

from imagesearch.adapters.records import members_of, record_of
from imagesearch.adapters.sqlite import Connection, SqliteFile, id_list
from imagesearch.domain.collections import downloaded_name, is_downloaded, is_own, url_of_path
from imagesearch.domain.images import ListedImage
from imagesearch.domain.object_names import image_id_of
from imagesearch.domain.pool_life import EMBEDDED, PENDING, REJECTED, Marks
from imagesearch.domain.pools import SourceOptions


class SqliteOriginals:
    """Answers for the originals of the images in *file*, by the names they are stored under."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    def listed(self, object_name: str) -> tuple[str, SourceOptions, ListedImage] | None:
        """Return a keyword and its options whose pool listed the original, and as what; or None."""
        image_id = image_id_of(object_name)
        with self._file.reading() as connection:
            rows = connection.execute(
                "SELECT pool_id, record, listing, states, reasons"
                " FROM listings JOIN records USING (pool_id)"
                " WHERE instr(image_ids, ?) ORDER BY number DESC",
                (json.dumps(image_id),),
            ).fetchall()
        for pool_id, record_text, listing, states, reasons in rows:
            record = record_of(pool_id, record_text)
            fields = {"listing": listing, "states": states, "reasons": reasons}
            members = members_of(pool_id, fields)
            if record is None or members is None:  # the next search on the keyword begins it anew
                continue
            listed = members.images.get(image_id)
            is_usable = image_id in members.marks.in_state(PENDING + EMBEDDED)
            # Without a link it is of no keyword: `usecases/reembed.py` listed what was stored.
            has_link = listed is not None and listed.download_url
            if is_usable and listed and has_link and listed.image.object_name == object_name:
                return record.pool.keyword, record.pool.options, listed
        return None

    def _of_no_collection(self, names: Collection[str]) -> set[str]:
        """Return the previews of pictures that no collection has any more."""
        own = {image_id_of(name): name for name in names if is_own(name)}
        with self._file.reading() as connection:
            rows = connection.execute(
                "SELECT image_id FROM files WHERE image_id IN (SELECT value FROM json_each(?))",
                (id_list(own),),
            )
            had = {image_id for (image_id,) in rows}
        return {name for image_id, name in own.items() if image_id not in had}

    def unused(self) -> Callable[[Collection[str]], set[str]]:
        """
        Return what says which of some object names nobody needs; nothing may change meanwhile.

        Those are the originals of images that were rejected, and of images that are stored under
        another name by now, and what was downloaded for a list that has it no more. A name of
        which the catalog knows no image is not among them: it may belong to a catalog that was
        moved away.
        """
        of_collections = self.unused_of_collections()
        with self._file.reading() as connection:
            rejected = _rejected(connection)

        def of(names: Collection[str]) -> set[str]:
            with self._file.reading() as connection:
                rows = connection.execute(
                    "SELECT image_id, object_name FROM images"
                    " WHERE image_id IN (SELECT value FROM json_each(?))",
                    (id_list([image_id_of(name) for name in names]),),
                )
                current = dict(rows.fetchall())
            replaced = [name for name in names if current.get(image_id_of(name), name) != name]
            unlisted = {name for name in replaced if self.listed(name) is None}
            of_rejected = {name for name in names if image_id_of(name) in rejected}
            return unlisted | of_rejected | of_collections(names)

        return of

    def unused_of_collections(self) -> Callable[[Collection[str]], set[str]]:
        """
        Return what says as much of previews of own pictures, and of what was downloaded for lists.

        Which there are the file says, whatever library has the images.
        """
        with self._file.reading() as connection:
            downloaded = _downloaded(connection)

        def of(names: Collection[str]) -> set[str]:
            of_lists = set() if downloaded is None else {*filter(is_downloaded, names)} - downloaded
            return of_lists | self._of_no_collection(names)

        return of


def _downloaded(connection: Connection) -> set[str] | None:
    """
    Return the names of what was downloaded for the lists that are collections.

    None while an update is asked for: one that was broken off has files that no list has yet.
    """
    if connection.execute("SELECT 1 FROM collections WHERE wanted > done").fetchone():
        return None
    rows = connection.execute("SELECT path FROM files").fetchall()
    return {downloaded_name(url_of_path(path)) for (path,) in rows}


def _rejected(connection: Connection) -> set[str]:
    """Return the images that are neither embedded, by whatever model, nor on their way to be."""
    rejected = {each for marks in _marks(connection) for each in marks.in_state(REJECTED)}
    for marks in _marks(connection) if rejected else ():
        rejected.difference_update(marks.in_state(PENDING + EMBEDDED))
    rows = connection.execute(
        "SELECT value FROM json_each(?) WHERE value NOT IN (SELECT image_id FROM embeddings)",
        (id_list(rejected),),
    )
    return {image_id for (image_id,) in rows}


def _marks(connection: Connection) -> Iterator[Marks]:
    """Yield the marks of each listing, without their reasons; damaged ones are left out."""
    for image_ids, states in connection.execute("SELECT image_ids, states FROM listings"):
        try:
            ids = tuple(json.loads(image_ids))
        except (RecursionError, TypeError, ValueError):
            continue
        if isinstance(states, str) and len(ids) == len(states):
            yield Marks(ids, states)
