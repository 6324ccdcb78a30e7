"""What filters ask of the images in the SQLite file, in memory by the row of their embeddings.

Of a million rows of `images` SQLite makes a matter of seconds, these columns one of milliseconds.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from imagesearch.adapters.sqlite import Connection
from imagesearch.adapters.sqlite_rows import collected_of, last_embedding_ever, tags_of
from imagesearch.domain.filters.declaration import (
    FACTS,
    TEXT_FACTS,
    Comparison,
    Condition,
    TextFact,
    Where,
    alike,
    collected_texts,
)

Reading: TypeAlias = Callable[[], AbstractContextManager[Connection]]

_OF_COLLECTED: Final[tuple[TextFact, ...]] = ("collection", "folder", "album", "camera")
_ROWS_AT_ONCE = 20_000  # after which others may have the connection: some 20 ms


class ImageFacts:
    """
    The facts of all images that one model embedded, each kind read when it is first asked for.

    Any number of threads may ask; who asks of a kind that is being read waits for it alone. A row
    keeps its facts: an image whose facts change gets new rows, see `SqliteLibrary.put`.
    """

    def __init__(self, model_revision: str) -> None:
        self._numbers = _Numbers(model_revision)
        self._texts = _Texts(model_revision)

    def matching(self, where: Where, reading: Reading) -> NDArray[np.bool_]:
        """
        Return for each row id whether its image is one that *where* leaves: (last_id + 1,).

        What was stored before the call is among them.
        """
        self.bring_up_to_date(where, reading)
        each = []
        for condition in where:
            kind = self._kind_of(condition)
            with kind.lock:
                each.append(kind.matching(condition))
        known = min(map(len, each))
        matches: NDArray[np.bool_] = np.logical_and.reduce([mask[:known] for mask in each])
        return matches

    def bring_up_to_date(self, where: Where, reading: Reading) -> None:
        """Read what *where* asks for and is new: the first time all, which takes seconds."""
        for kind in dict.fromkeys(map(self._kind_of, where)):
            with kind.lock:
                kind.bring_up_to_date(reading)

    def _kind_of(self, condition: Condition) -> _Rows:
        return self._numbers if isinstance(condition, Comparison) else self._texts


class _Rows(ABC):
    """
    Some columns of the images of all rows up to *last_id*.

    Attributes:
        lock: is held by whoever calls a method.
    """

    columns: str

    def __init__(self, model_revision: str) -> None:
        self._model_revision = model_revision
        self._select = (
            f"SELECT embeddings.id, embeddings.image_id, {self.columns}"
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
            after = rows[-1][1] if rows else after
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

    # Damage is no number, and text would be larger than each.
    columns = ", ".join(f"iif(typeof({fact}) = 'integer', {fact}, 0)" for fact in FACTS)

    def __init__(self, model_revision: str) -> None:
        super().__init__(model_revision)
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
    """Which rows have each text; 8 bytes for each text of each row."""

    columns = "credit_user, credit_source, tags, collected"

    def __init__(self, model_revision: str) -> None:
        super().__init__(model_revision)
        self._rows: dict[TextFact, dict[str, array[int]]] = {fact: {} for fact in TEXT_FACTS}
        # By the text as it is stored, too: its normal form takes longer than all else.
        self._stored: dict[TextFact, dict[str, array[int]]] = {fact: {} for fact in TEXT_FACTS}

    def matching(self, condition: Any) -> NDArray[np.bool_]:
        matches = np.zeros(self.last_id + 1, np.bool_)
        rows = self._rows[condition.fact].get(condition.text)
        if rows is not None:
            matches[np.array(rows)] = True
        return matches

    def _note(self, row_ids: Sequence[int], columns: Sequence[Sequence[Any]]) -> None:
        for row_id, user, source, tags, own in zip(row_ids, *columns, strict=True):
            if isinstance(user, str):
                self._rows_of("user", user).append(row_id)
            if isinstance(source, str):
                self._rows_of("source", source).append(row_id)
            for tag in tags_of(tags):
                self._rows_of("tag", tag).append(row_id)
            collected = collected_of(own) if own else None
            for fact in _OF_COLLECTED if collected else ():
                for text in collected_texts(collected, fact):
                    self._rows_of(fact, text).append(row_id)

    def _rows_of(self, fact: TextFact, text: str) -> array[int]:
        stored = self._stored[fact]
        if text not in stored:
            stored[text] = self._rows[fact].setdefault(alike(text), array("q"))
        return stored[text]

    def _make_room(self, last_id: int) -> None:
        """Do nothing: what has no text has no row."""
