"""What filters compare of the images in the SQLite file, in memory by the row of their embeddings.

Of a million rows of `images` SQLite makes a matter of seconds, these columns one of milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from imagesearch.adapters.sqlite import Connection
from imagesearch.adapters.sqlite_rows import last_embedding_ever
from imagesearch.domain.filters.declaration import FACTS, Where

Reading: TypeAlias = Callable[[], AbstractContextManager[Connection]]

_ROWS_AT_ONCE = 20_000  # after which others may have the connection: some 20 ms
# Damage is no number, and text would be larger than each.
_COLUMNS = ", ".join(f"iif(typeof({fact}) = 'integer', {fact}, 0)" for fact in FACTS)
_SELECT = (
    f"SELECT embeddings.id, embeddings.image_id, {_COLUMNS}"
    " FROM embeddings CROSS JOIN images USING (image_id)"
)


class FactColumns:
    """
    The facts of all images that one model embedded; 8 bytes a fact and row id.

    A row keeps its facts: an image whose facts change gets new rows, see `SqliteLibrary.put`.
    """

    def __init__(self, model_revision: str) -> None:
        self._model_revision = model_revision
        self._last_id = 0
        self._facts = np.zeros((len(FACTS), 1), np.int64)  # (facts, last_id + 1)

    def bring_up_to_date(self, reading: Reading) -> None:
        """Take over the rows that are new; the connection is let go of after every few."""
        if self._last_id == 0:
            self._read_all(reading)
        while True:
            with reading() as connection:
                rows = connection.execute(
                    # The + keeps SQLite from its index by model, which would give it all rows.
                    f"{_SELECT} WHERE +model_revision = ? AND embeddings.id > ?"
                    " ORDER BY embeddings.id LIMIT ?",
                    (self._model_revision, self._last_id, _ROWS_AT_ONCE),
                ).fetchall()
                is_behind = len(rows) == _ROWS_AT_ONCE
                last_id = rows[-1][0] if is_behind else last_embedding_ever(connection)
            facts = np.zeros((len(FACTS), last_id - self._last_id), np.int64)
            _note(rows, facts, first_id=self._last_id + 1)
            self._facts = np.concatenate([self._facts, facts], axis=1)
            self._last_id = last_id
            if not is_behind:
                return

    def matching(self, where: Where) -> NDArray[np.bool_]:
        """Return for each row id, (last_id + 1,), whether its image is one that *where* leaves."""
        columns = dict(zip(FACTS, self._facts, strict=True))
        matches = np.ones(self._facts.shape[1], np.bool_)
        for comparison in where:
            matches &= comparison.over(columns.__getitem__)
        return matches

    def _read_all(self, reading: Reading) -> None:
        """Read by the index of image_ids, which unlike the table is without the embeddings."""
        with reading() as connection:  # what is stored from now on is read by its id
            newest = last_embedding_ever(connection)
        facts = np.zeros((len(FACTS), newest + 1), np.int64)
        after, is_behind = "", True
        while is_behind:
            with reading() as connection:
                rows = connection.execute(
                    f"{_SELECT} WHERE model_revision = ? AND embeddings.image_id >= ?"
                    " ORDER BY embeddings.image_id LIMIT ?",
                    (self._model_revision, after, _ROWS_AT_ONCE),
                ).fetchall()
            is_behind = len(rows) == _ROWS_AT_ONCE
            _note([row for row in rows if row[0] <= newest], facts)
            after = rows[-1][1] if rows else after
        self._facts, self._last_id = facts, newest


def _note(rows: Sequence[tuple[int, ...]], facts: NDArray[np.int64], first_id: int = 0) -> None:
    """Put rows of `_SELECT` into *facts*, (facts, n), whose first column is of row *first_id*."""
    if rows:
        row_ids, _, *columns = zip(*rows, strict=True)
        facts[:, np.array(row_ids) - first_id] = columns
