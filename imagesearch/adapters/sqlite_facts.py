"""What filters ask of the images in the SQLite file, in memory by the row of their embeddings.

Of a million rows of `images` SQLite makes a matter of seconds, these columns one of milliseconds.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import Any, Final, TypeAlias

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from imagesearch.adapters.sqlite import Connection
from imagesearch.adapters.sqlite_rows import collected_of, last_embedding_ever, tags_of
from imagesearch.domain.filters.declaration import (
    FACTS,
    Comparison,
    Condition,
    Naming,
    TextFact,
    Where,
    alike,
    collected_texts,
)

Reading: TypeAlias = Callable[[], AbstractContextManager[Connection]]

Text: TypeAlias = tuple[TextFact, str]

_COLUMNS_KEPT = 4096  # of the ones last read: folders, days, people
_MASKS_KEPT = 8  # of the filters last asked for: a byte a row each
_ROWS_AT_ONCE = 20_000  # after which others may have the connection: some 20 ms


@dataclass(frozen=True)
class _TextColumn:
    """
    A column of `images` that filters by text ask of.

    Attributes:
        texts: what an image has, of whose column that is.
        read: what is read of it, as SQL; "" for all of it.
    """

    name: str
    texts: Callable[[str], Iterable[Text]]
    read: str = ""


def _texts_of_collected(column: str) -> Iterable[Text]:
    collected = collected_of(column)
    for fact in _OF_COLLECTED:
        for text in collected_texts(collected, fact):
            yield fact, text


_OF_COLLECTED: Final[tuple[TextFact, ...]] = ("collection", "folder", "album", "camera")
_COLLECTED = _TextColumn(
    "collected",
    _texts_of_collected,
    # Without what each picture has alone: what is left is the same for thousands of them.
    "iif(json_valid(collected),"
    " json_remove(collected, '$.file', '$.title', '$.rating', '$.place'), collected)",
)
_TEXT_COLUMNS: Final[dict[TextFact, _TextColumn]] = {
    "user": _TextColumn("credit_user", lambda user: [("user", user)]),
    "source": _TextColumn("credit_source", lambda source: [("source", source)]),
    "tag": _TextColumn("tags", lambda tags: [("tag", tag) for tag in tags_of(tags)]),
    **dict.fromkeys(_OF_COLLECTED, _COLLECTED),
}


class ImageFacts:
    """
    The facts of all images that one model embedded, each kind read when it is first asked for.

    Any number of threads may ask; who asks of a kind that is being read waits for it alone. A row
    keeps its facts: an image whose facts change gets new rows, see `SqliteLibrary.put`.
    """

    def __init__(self, model_revision: str) -> None:
        self._numbers = _Numbers(model_revision)
        columns = dict.fromkeys(_TEXT_COLUMNS.values())
        self._texts = {column: _Texts(model_revision, column) for column in columns}
        # A row keeps its facts, so what was once found of it stays true.
        self._masks: LRUCache[Where, NDArray[np.bool_]] = LRUCache(_MASKS_KEPT)
        self._lock = threading.Lock()  # is held to look at the masks

    def matching(self, where: Where, last_id: int, reading: Reading) -> NDArray[np.bool_]:
        """
        Return for each row id whether its image is one that *where* leaves: (last_id + 1,) or more.

        It is kept for whoever asks the same, and not to be written to.

        Args:
            last_id: the last row that is asked for.
        """
        with self._lock:
            mask = self._masks.get(where)
        if mask is None or len(mask) <= last_id:
            mask = self._computed(where, last_id, reading)
            with self._lock:
                self._masks[where] = mask
        return mask

    def _computed(self, where: Where, last_id: int, reading: Reading) -> NDArray[np.bool_]:
        self.bring_up_to_date(where, reading, last_id)
        each = []
        for condition in where:
            kind = self._kind_of(condition)
            with kind.lock:
                each.append(kind.matching(condition))
        known = min(map(len, each))
        return reduce(np.logical_and, [mask[:known] for mask in each])

    def bring_up_to_date(self, where: Where, reading: Reading, last_id: int | None = None) -> None:
        """
        Read what *where* asks for and is new: the first time all, which takes seconds.

        Args:
            last_id: where it is known up to this row, nothing is read.
        """
        for kind in dict.fromkeys(map(self._kind_of, where)):
            with kind.lock:
                if last_id is None or kind.last_id < last_id:
                    kind.bring_up_to_date(reading)

    def _kind_of(self, condition: Condition) -> _Rows:
        if isinstance(condition, Comparison):
            return self._numbers
        return self._texts[_TEXT_COLUMNS[condition.fact]]


class _Rows(ABC):
    """
    Some columns of the images of all rows up to *last_id*.

    Attributes:
        lock: is held by whoever calls a method.
    """

    def __init__(self, model_revision: str, columns: str) -> None:
        self._model_revision = model_revision
        # Texts as their bytes: to decode each would take longer than to read it.
        self._select = (
            f"SELECT embeddings.id, CAST(embeddings.image_id AS BLOB), {columns}"
            " FROM embeddings CROSS JOIN images USING (image_id)"
        )
        self.last_id = 0
        self.lock = threading.Lock()

    @abstractmethod
    def matching(self, condition: Any) -> NDArray[np.bool_]:
        """Return for each row id whether *condition* holds of its image: (last_id + 1,)."""

    @abstractmethod
    def _note(self, row_ids: Sequence[int], columns: Sequence[Sequence[Any]]) -> None:
        """Take over rows, of which each is noted once or more; *last_id* is no less than any."""

    @abstractmethod
    def _make_room(self, last_id: int) -> None:
        """Have room for rows up to *last_id*."""

    def bring_up_to_date(self, reading: Reading) -> None:
        """Take over the rows that are new; the connection is let go of after every few."""
        if self.last_id == 0:
            self._read_all(reading)
        while True:
            with reading() as connection:
                rows = connection.execute(
                    # The + keeps SQLite from its index by model, which would give it all rows.
                    f"{self._select} WHERE +model_revision = ? AND embeddings.id > ?"
                    " ORDER BY embeddings.id LIMIT ?",
                    (self._model_revision, self.last_id, _ROWS_AT_ONCE),
                ).fetchall()
                is_behind = len(rows) == _ROWS_AT_ONCE
                last_id = rows[-1][0] if is_behind else last_embedding_ever(connection)
            self._take_over(rows, last_id)
            if not is_behind:
                return

    def _read_all(self, reading: Reading) -> None:
        """Read by the index of image_ids, which unlike the table is without the embeddings."""
        with reading() as connection:  # what is stored from now on is read by its id
            newest = last_embedding_ever(connection)
        after, is_behind = "", True
        self._make_room(newest)
        while is_behind:
            with reading() as connection:
                rows = connection.execute(
                    f"{self._select} WHERE model_revision = ? AND embeddings.image_id >= ?"
                    " ORDER BY embeddings.image_id LIMIT ?",
                    (self._model_revision, after, _ROWS_AT_ONCE),
                ).fetchall()
            is_behind = len(rows) == _ROWS_AT_ONCE
            self._take_over([row for row in rows if row[0] <= newest])
            after = _decoded(rows[-1][1]) if rows else after
        self.last_id = newest

    def _take_over(self, rows: Sequence[tuple[Any, ...]], last_id: int = 0) -> None:
        if last_id > self.last_id:
            self._make_room(last_id)
        if rows:
            row_ids, _, *columns = zip(*rows, strict=True)
            self._note(row_ids, columns)
        self.last_id = max(self.last_id, last_id)


class _Numbers(_Rows):
    """What is compared; 8 bytes a fact and row id."""

    def __init__(self, model_revision: str) -> None:
        # Damage is no number, and text would be larger than each.
        columns = (f"iif(typeof({fact}) = 'integer', {fact}, 0)" for fact in FACTS)
        super().__init__(model_revision, ", ".join(columns))
        self._facts = np.zeros((len(FACTS), 1), np.int64)  # (facts, last_id + 1)

    def matching(self, condition: Comparison) -> NDArray[np.bool_]:
        columns = dict(zip(FACTS, self._facts, strict=True))
        matches: NDArray[np.bool_] = condition.over(columns.__getitem__)
        return matches

    def _note(self, row_ids: Sequence[int], columns: Sequence[Sequence[Any]]) -> None:
        self._facts[:, np.array(row_ids)] = columns

    def _make_room(self, last_id: int) -> None:
        room = np.zeros((len(FACTS), last_id + 1 - self._facts.shape[1]), np.int64)
        self._facts = np.concatenate([self._facts, room], axis=1)


class _Texts(_Rows):
    """
    Which rows have each text of a column; 8 bytes for each text of each row.

    What many rows have in common, as own pictures of a folder do, is read once for all of them.
    """

    def __init__(self, model_revision: str, column: _TextColumn) -> None:
        read = f"CAST({column.read or column.name} AS BLOB)"
        super().__init__(model_revision, f"iif(typeof({column.name}) = 'text', {read}, NULL)")
        self._texts = column.texts
        self._rows: dict[Text, array[int]] = {}  # of each text, as it is compared
        # By the text as it is stored, too: its normal form takes longer than all else.
        self._stored: dict[Text, array[int]] = {}
        self._rows_of = lru_cache(_COLUMNS_KEPT)(self._rows_of_column)

    def matching(self, condition: Naming) -> NDArray[np.bool_]:
        matches = np.zeros(self.last_id + 1, np.bool_)
        rows = self._rows.get((condition.fact, condition.text))
        if rows is not None:
            matches[np.frombuffer(rows, np.int64)] = True
        return matches

    def _note(self, row_ids: Sequence[int], columns: Sequence[Sequence[Any]]) -> None:
        for row_id, column in zip(row_ids, *columns, strict=True):
            if column is not None:  # which is damage
                for rows in self._rows_of(column):
                    rows.append(row_id)

    def _rows_of_column(self, column: bytes) -> list[array[int]]:
        stored = self._stored
        return [stored.get(text) or self._first(text) for text in self._texts(_decoded(column))]

    def _first(self, text: Text) -> array[int]:
        """Return the rows with a text that has none yet, as it is stored."""
        fact, stored = text
        self._stored[text] = self._rows.setdefault((fact, alike(stored)), array("q"))
        return self._stored[text]

    def _make_room(self, last_id: int) -> None:
        """Do nothing: what has no text has no row."""


def _decoded(text: bytes) -> str:
    """Return a text of the file, as `SqliteFile` reads it."""
    return text.decode("utf-8", "replace")
