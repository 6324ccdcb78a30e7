"""What stays forgotten, and when images were used, in a SQLite file: a row an image."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from imagesearch.adapters.sqlite import SqliteFile, count_up, counted, id_list
from imagesearch.domain.forgetting import Withdrawal

_FORGOTTEN = "forgotten"


class SqliteRetention:
    """The port `Retention` over *file*."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    def version(self) -> str:
        """Return what is another text after each change."""
        with self._file.reading() as connection:
            return str(counted(connection, _FORGOTTEN) or "")

    def note_forgotten(self) -> None:
        """Note that something was forgotten."""
        with self._file.writing() as connection:
            count_up(connection, _FORGOTTEN)

    def withdraw(self, withdrawals: Sequence[Withdrawal]) -> None:
        """Keep *withdrawals*, in place of what is kept of the same images."""
        rows = [(each.image_id, each.at.timestamp(), each.reason) for each in withdrawals]
        with self._file.writing() as connection:
            connection.executemany("INSERT OR REPLACE INTO withdrawn VALUES (?, ?, ?)", rows)
            count_up(connection, _FORGOTTEN)

    def allow(self, image_ids: Collection[str]) -> None:
        """Forget that the images were withdrawn."""
        with self._file.writing() as connection:
            connection.execute(
                "DELETE FROM withdrawn WHERE image_id IN (SELECT value FROM json_each(?))",
                (id_list(image_ids),),
            )
            count_up(connection, _FORGOTTEN)

    def withdrawn(self) -> dict[str, Withdrawal]:
        """Return all that are withdrawn, by image_id."""
        with self._file.reading() as connection:
            rows = connection.execute("SELECT image_id, at, reason FROM withdrawn").fetchall()
        return {
            image_id: Withdrawal(image_id, datetime.fromtimestamp(at, UTC), reason)
            for image_id, at, reason in rows
        }

    def note_used(self, image_ids: Collection[str], day: int) -> None:
        """Note that images were used on *day*."""
        with self._file.writing() as connection:
            connection.executemany(
                "INSERT INTO uses VALUES (?, ?)"
                " ON CONFLICT (image_id) DO UPDATE SET day = max(day, excluded.day)",
                [(image_id, day) for image_id in image_ids],
            )

    def unused(self, before: int, most: int) -> list[str]:
        """Return up to *most* images that were used last before the day *before*."""
        with self._file.reading() as connection:
            rows = connection.execute(
                "SELECT image_id FROM uses WHERE day < ? ORDER BY day, image_id LIMIT ?",
                (before, most),
            ).fetchall()
        return [image_id for (image_id,) in rows]

    def drop_uses(self, image_ids: Collection[str]) -> None:
        """Forget when the images were used."""
        with self._file.writing() as connection:
            connection.execute(
                "DELETE FROM uses WHERE image_id IN (SELECT value FROM json_each(?))",
                (id_list(image_ids),),
            )
