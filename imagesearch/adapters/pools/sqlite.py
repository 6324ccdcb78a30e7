"""Pools in a SQLite file: a row a record, and one a listing with its marks."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from typing import TypeAlias

from imagesearch.adapters.records import Fields, marks_fields, members_of, record_of
from imagesearch.adapters.sqlite import Connection, SqliteFile, count_up, counted
from imagesearch.adapters.sqlite_rows import Statement, listing_row, record_row
from imagesearch.domain.pool_life import Absent, Members, Record
from imagesearch.domain.pools import Pool, PoolState
from imagesearch.ports import Change

_Rows: TypeAlias = tuple[str | None, Fields | None]  # of a record and of its listing


class SqlitePools:
    """
    The port `Pools` over *file*.

    A change is decided beside the file, and kept if what it was decided on is there still, else
    decided anew: nobody waits for a decision, and one that changes nothing never for a writer.
    """

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    def get(self, pool_id: str) -> Pool | None:
        """Return the pool, or None: also when its record is damaged, to be requested anew."""
        with self._file.reading() as connection:
            text, _ = _rows(connection, pool_id, None)
        record = record_of(pool_id, text)
        return record.pool if record else None

    def change(
        self,
        pool_id: str,
        decide: Callable[[Record | Absent], Record | None],
        *,
        marks_of: int | None = None,
    ) -> Change:
        """Keep what *decide* makes of the record: see the port."""
        while True:
            with self._file.reading() as connection:
                file, rows = self._file.identity, _rows(connection, pool_id, marks_of)
            before = record_of(pool_id, *rows)
            after = decide(before or Absent(self._last_number(pool_id)))
            pool = before.pool if before else None
            if after is None:
                return Change(pool, None)
            statements = list(_statements(before, after))
            with self._file.writing() as connection:
                stored = self._file.identity, _rows(connection, pool_id, marks_of)
                if stored == (file, rows):
                    for statement, values in statements:
                        connection.execute(statement, values)
                    self._file.note_number(after.pool.current.number)
                    return Change(pool, after.pool)

    def members(self, pool_id: str, generation: int) -> Members | None:
        """Return what the generation's listing has, and what became of it: see the port."""
        with self._file.reading() as connection:
            fields = _listing(connection, pool_id, generation)
        return members_of(pool_id, fields)

    def unfinished(self) -> list[Pool]:
        """
        Return the pools whose current generation is in progress, requested first first.

        It is not the port's: where messages outlive processes, nobody asks.
        """
        with self._file.reading() as connection:
            rows = connection.execute(
                "SELECT pool_id, record FROM records WHERE state NOT IN (?, ?)",
                (PoolState.READY, PoolState.FAILED),
            ).fetchall()
        pools = [record.pool for row in rows if (record := record_of(*row))]
        in_progress = [pool for pool in pools if pool.current.state.in_progress]
        return sorted(in_progress, key=lambda pool: (pool.current.requested_at, pool.pool_id))

    def count(self, what: str, day: int, most: int, more: int = 1) -> bool:
        """Count so many *more* of *what* on *day*, unless *most* are exceeded."""
        name = f"day/{what}/{day}"
        with self._file.writing() as connection:
            already = counted(connection, name)
            if already + more > most:
                return False
            if not already:  # those of days before are of no use
                connection.execute("DELETE FROM counters WHERE name GLOB ?", (f"day/{what}/*",))
            count_up(connection, name, at_least=already + more)
            return True

    def pool_ids(self, source: str = "") -> Iterator[str]:
        """Yield the ids of all pools, or those of *source*, in order."""
        after = ""
        while True:
            with self._file.reading() as connection:
                rows = connection.execute(
                    "SELECT pool_id, record FROM records WHERE pool_id > ?"
                    " ORDER BY pool_id LIMIT 100",
                    (after,),
                ).fetchall()
            if not rows:
                return
            for pool_id, text in rows:
                record = record_of(pool_id, text) if source else None
                if not source or (record and record.pool.options.source == source):
                    yield pool_id
            after = rows[-1][0]

    def forget(self, pool_id: str) -> None:
        """Delete the pool and its listings; new pools count on from its numbers."""
        with self._file.writing() as connection:
            count_up(connection, "number", at_least=self._numbered(connection, pool_id))
            for table in ("records", "listings"):
                connection.execute(f"DELETE FROM {table} WHERE pool_id = ?", (pool_id,))

    def naming(self, image_ids: Collection[str]) -> Iterator[str]:
        """Yield the pools any of whose listings has one of *image_ids*."""
        wanted, seen = set(image_ids), ""
        after = ("", 0)
        while True:
            with self._file.reading() as connection:
                rows = connection.execute(
                    "SELECT pool_id, number, image_ids FROM listings"
                    " WHERE (pool_id, number) > (?, ?) ORDER BY pool_id, number LIMIT 100",
                    after,
                ).fetchall()
            if not rows:
                return
            for pool_id, _, listed in rows:
                # Ten times as fast as SQLite's own functions of JSON.
                if pool_id != seen and not wanted.isdisjoint(_ids_of(listed)):
                    seen = pool_id
                    yield pool_id
            after = rows[-1][:2]

    def check(self) -> None:
        """Return when the file can be read and written, else raise Unavailable."""
        self._file.check()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _last_number(self, pool_id: str) -> int:
        """Return the largest number of the pool, of those forgotten, or of a file before."""
        with self._file.reading() as connection:
            number = self._numbered(connection, pool_id)
            return max(number, counted(connection, "number"), self._file.last_number)

    @staticmethod
    def _numbered(connection: Connection, pool_id: str) -> int:
        """Return the largest number of a generation that the pool has, or listed."""
        (number,) = connection.execute(
            "SELECT ifnull(max(number), 0) FROM listings"
            " WHERE pool_id = ? AND typeof(number) = 'integer'",
            (pool_id,),
        ).fetchone()
        text, _ = _rows(connection, pool_id, None)
        record = record_of(pool_id, text) if text else None
        return max(int(number), record.pool.current.number if record else 0)


def _ids_of(text: object) -> list[str]:
    """Return the image_ids of a listing; none where they are damaged."""
    try:
        ids = json.loads(text) if isinstance(text, str) else []
    except (RecursionError, ValueError):
        return []
    return [each for each in ids if isinstance(each, str)] if isinstance(ids, list) else []


def _rows(connection: Connection, pool_id: str, marks_of: int | None) -> _Rows:
    record = connection.execute(
        "SELECT record FROM records WHERE pool_id = ?", (pool_id,)
    ).fetchone()
    listing = None if marks_of is None else _listing(connection, pool_id, marks_of)
    return record[0] if record else None, listing


def _listing(connection: Connection, pool_id: str, number: int) -> Fields | None:
    row = connection.execute(
        "SELECT listing, states, reasons FROM listings WHERE pool_id = ? AND number = ?",
        (pool_id, number),
    ).fetchone()
    return dict(zip(("listing", "states", "reasons"), row, strict=True)) if row else None


def _statements(before: Record | None, after: Record) -> Iterator[Statement]:
    """Yield what writes what became of *before*."""
    pool, key = after.pool, (after.pool.pool_id, after.pool.current.number)
    yield record_row(after)
    if after.listing and after.marks:
        yield listing_row(*key, after.listing, after.marks)
    elif after.marks:
        fields = marks_fields(after.marks)
        yield (
            "UPDATE listings SET states = ?, reasons = ? WHERE pool_id = ? AND number = ?",
            (fields["states"], fields["reasons"].decode(), *key),
        )
    if pool.ready and before and pool.ready != before.pool.ready:
        # Searches under way may still read the generation that was ready until now.
        oldest = (before.pool.ready or pool.ready).number
        yield "DELETE FROM listings WHERE pool_id = ? AND number < ?", (pool.pool_id, oldest)
