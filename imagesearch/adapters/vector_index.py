"""Which embeddings can be the nearest to a query: a scan of int8 copies with proven bounds.

Where the copies are kept is behind `Blocks`: in memory, or on disk in `vector_file.py`. What keeps
them in step with the catalog, and settles the order with the float32 vectors, is `sqlite.py`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
from numkong import cdist
from numpy.typing import NDArray

from imagesearch.domain.errors import Bug
from imagesearch.domain.images import Embedding, Embeddings

BLOCK_ROWS = 32_768  # what is computed of a block, 4 bytes a row, stays in a core's cache
_FAIR_SAMPLE = 4096  # rows whose mean is as good as that of all
_SAMPLED = 64  # rows that are compared with the catalog when a copy is opened, and as many newest
_PIECES = 3  # of all rows for each core, lest one has far more to do than the others
_LEAST_ROWS = 8192  # of a piece: handing over fewer would take longer than scanning them
_FEW = 8  # of one row in so many, codes are copied; of more, all products are made
_LEAST_VARIANCE = 1e-12  # of a dimension; of equal rows float32 sums make less
_FAR = np.float32(1e30)  # below any product, and no infinity, of which 0 times is no number
_ROUNDING = 1e-4  # more than float32 sums of 1000 terms are off, for vectors of unit norm

_Floats = NDArray[np.float32]
_Rows = NDArray[np.int64]
_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Columns:
    """What is kept of n rows, in the order of their ids."""

    row_ids: _Rows  # (n,)
    scales: _Floats  # (n,)
    errors: _Floats  # (n,)
    codes: NDArray[np.int8]  # (n, embedding_dim)

    def part(self, rows: slice | _Rows) -> Columns:
        """Return these *rows*."""
        return Columns(self.row_ids[rows], self.scales[rows], self.errors[rows], self.codes[rows])

    def pieces(self, rows: int) -> Iterator[Columns]:
        """Yield them in pieces of *rows* at most."""
        for start in range(0, len(self), rows):
            yield self.part(slice(start, start + rows))

    @classmethod
    def joined(cls, parts: Sequence[Columns]) -> Columns:
        """Return the rows of *parts*, of which there is one at least."""
        return cls(
            np.concatenate([part.row_ids for part in parts]),
            np.concatenate([part.scales for part in parts]),
            np.concatenate([part.errors for part in parts]),
            np.concatenate([part.codes for part in parts]),
        )

    def __len__(self) -> int:
        return len(self.row_ids)


@dataclass(frozen=True)
class Head:
    """
    What is known of all rows together.

    Attributes:
        last_id: how far the catalog has been read.
        sample: of how many rows the centre is the mean; 0 before the first.
        longest: the largest norm of what the codes stand for, a row divided by the spreads.
        centre: (embedding_dim,), which is taken off every row.
        spreads: (embedding_dim,), by which it is divided then: where rows vary little, the codes
            have finer steps.
    """

    last_id: int
    sample: int
    longest: float
    centre: Embedding
    spreads: Embedding


NOTHING = Head(0, 0, 0.0, np.empty(0, np.float32), np.empty(0, np.float32))


class Candidates(NamedTuple):
    """
    Rows that may be among the nearest, the most promising first.

    Attributes:
        at_most: what the cosine of each does not exceed; these descend.
    """

    row_ids: list[int]
    at_most: list[float]


class Blocks(Protocol):
    """
    Where the rows are: blocks of `rows` at most, of which only the last one grows.

    Any method but `part` may raise OSError; what is kept is then to be made anew, elsewhere.
    """

    rows: int

    def __len__(self) -> int:
        """Return how many blocks there are."""

    def part(self, number: int) -> Columns:
        """Return the rows of a block, which are not to be written to."""

    def append(self, columns: Columns) -> None:
        """Add rows to the last block, or to a new one when it is full; they fit it."""

    def replace(self, number: int, columns: Columns) -> None:
        """Put *columns*, no more rows than it has, in the place of a block's."""

    def keep_head(self, head: Head) -> None:
        """Note that all rows up to `head.last_id` are there, and no other."""

    def clear(self) -> None:
        """Forget all blocks, and the head."""

    def close(self) -> None:
        """Let go of what is kept; it is not used again."""


class VectorIndex:
    """
    The embeddings of one model revision, by the id of their row in the catalog.

    embedding_dim + 16 bytes a row. For one thread at a time; a scan itself runs on all cores.

    Args:
        blocks: where the rows are kept.
        head: of the rows that *blocks* has already.
    """

    def __init__(self, blocks: Blocks | None = None, head: Head = NOTHING) -> None:
        self._cores = os.cpu_count() or 1
        self._threads = ThreadPoolExecutor(self._cores, "vector-index")
        self._blocks = MemoryBlocks() if blocks is None else blocks
        self._head = head

    @property
    def last_id(self) -> int:
        """How far the catalog has been read."""
        return self._head.last_id

    def clear(self) -> None:
        """Forget all rows, to take them over anew from the first."""
        self._blocks.clear()
        self._head = NOTHING

    def close(self) -> None:
        """End its threads; it is not used again."""
        self._threads.shutdown()
        self._blocks.close()

    @property
    def is_outgrown(self) -> bool:
        """True when it began with so few rows that what all have in common may be another."""
        return self._head.sample < _FAIR_SAMPLE and len(self) > 16 * self._head.sample

    def __len__(self) -> int:
        return sum(len(self._blocks.part(number)) for number in range(len(self._blocks)))

    def extend(self, row_ids: Sequence[int], embeddings: Embeddings, last_id: int = 0) -> None:
        """
        Take over *embeddings*, (n, embedding_dim), one for each of *row_ids*, which ascend.

        Args:
            last_id: how far the catalog has been read with them, if beyond the last of them.
        """
        last_id = max(last_id, row_ids[-1] if row_ids else 0)
        centre, spreads = self._head.centre, self._head.spreads
        sample, longest = self._head.sample, self._head.longest
        if row_ids and not sample:
            # What embeddings have in common ranks none of them, and would take most of the bits.
            centre, spreads, sample = *_centre_and_spreads(embeddings), len(row_ids)
        for start in range(0, len(row_ids), self._blocks.rows):
            part = slice(start, start + self._blocks.rows)
            coded = _Coded.of(embeddings[part] - centre, spreads)
            longest = max(longest, float(coded.norms.max()))
            self._add(coded.columns(np.array(row_ids[part], np.int64)))
        head = Head(last_id, sample, longest, centre, spreads)
        if row_ids or last_id != self.last_id:
            self._blocks.keep_head(head)
        self._head = head

    def sampled_ids(self) -> list[int]:
        """Return the ids of some rows: spread over all, and the newest."""
        ids = [self._blocks.part(number).row_ids for number in range(len(self._blocks))]
        all_ids = np.concatenate(ids) if ids else np.empty(0, np.int64)
        spread = np.linspace(0, len(all_ids) - 1, _SAMPLED, dtype=np.int64)
        newest = np.arange(len(all_ids))[-_SAMPLED:]
        rows = np.union1d(spread, newest) if len(all_ids) else newest
        return [int(row_id) for row_id in all_ids[rows]]

    def stands_for(self, row_ids: Sequence[int], embeddings: Embeddings) -> bool:
        """Return whether the copies of these rows are *embeddings*, within their errors."""
        if embeddings.shape[1:] != self._head.centre.shape:
            return False
        wanted = dict(zip(row_ids, embeddings - self._head.centre, strict=True))
        for number in range(len(self._blocks)):
            columns = self._blocks.part(number)
            rows = columns.part(np.flatnonzero(np.isin(columns.row_ids, list(wanted))))
            decoded = rows.codes * rows.scales[:, None] * self._head.spreads  # (n, d)
            true = np.array([wanted[row_id] for row_id in rows.row_ids.tolist()], np.float32)
            if len(rows) and (_norms(decoded - true) > rows.errors + _ROUNDING).any():
                return False
        return True

    def drop(self, row_ids: Collection[int]) -> None:
        """Forget rows that are no longer in the catalog."""
        gone = np.array(list(row_ids), np.int64)
        for number in range(len(self._blocks)):
            columns = self._blocks.part(number)
            is_kept = np.isin(columns.row_ids, gone, invert=True)
            if not is_kept.all():
                self._blocks.replace(number, columns.part(np.flatnonzero(is_kept)))
        self._blocks.keep_head(self._head)  # which counts them

    def scan(self, query: Embedding, k: int, among: NDArray[np.bool_] | None = None) -> Scan:
        """
        Return what the codes say of who is nearest to *query*.

        Args:
            k: how many of the nearest are looked for.
            among: for each row id, from 0 to the last, whether it may be one; None for all.
        """
        parts = [self._blocks.part(number) for number in range(len(self._blocks))]
        if parts and query.shape != self._head.centre.shape:
            raise Bug(f"a query must have shape {self._head.centre.shape}, got {query.shape}")
        # Without rows there is no centre either, and nothing that it would be taken off.
        asked = _Query.of(
            query, self._head if parts else replace(NOTHING, centre=query, spreads=query)
        )
        size = max(_LEAST_ROWS, sum(map(len, parts)) // (_PIECES * self._cores))
        pieces = [piece for part in parts for piece in part.pieces(size)]
        return Scan(asked, k, self._each(pieces, lambda piece: _Scanned.of(piece, asked, k, among)))

    def _add(self, columns: Columns) -> None:
        """Fill the last block, then a new one."""
        room = 0
        if len(self._blocks):
            room = self._blocks.rows - len(self._blocks.part(len(self._blocks) - 1))
        if room:
            self._blocks.append(columns.part(slice(room)))
        if len(columns) > room:
            self._blocks.append(columns.part(slice(room, None)))

    def _each(self, pieces: list[Columns], work: Callable[[Columns], _Answer]) -> list[_Answer]:
        """Return what *work* makes of each of *pieces*, in no order."""
        if len(pieces) == 1:  # handing it over would take longer
            return [work(pieces[0])]
        return list(self._threads.map(work, pieces))


@dataclass(frozen=True)
class _Coded:
    """
    Rows as integers: row i is about `scales[i] * codes[i] * spreads`.

    Attributes:
        errors: the norm of what the codes leave out of a row.
        norms: that of `scales[i] * codes[i]`.
    """

    codes: NDArray[np.int8]  # (n, embedding_dim)
    scales: _Floats  # (n,)
    errors: _Floats  # (n,)
    norms: _Floats  # (n,)

    @classmethod
    def of(cls, rows: _Floats, spreads: _Floats) -> _Coded:
        """Round *rows*, (n, d), in *spreads*, (d,), to 127 steps on either side of zero."""
        left = rows / spreads
        largest = np.abs(left).max(axis=1)  # (n,)
        scales = np.where(largest > 0, largest / 127, 1).astype(np.float32)
        steps = np.rint(left / scales[:, None])  # (n, d)
        decoded = steps * scales[:, None]
        left -= decoded
        left *= spreads
        return cls(steps.astype(np.int8), scales, _norms(left), _norms(decoded))

    def columns(self, row_ids: _Rows) -> Columns:
        """Return what is kept of them."""
        return Columns(row_ids, self.scales, self.errors, self.codes)


@dataclass(frozen=True)
class _Query:
    """
    A query and what the scan multiplies by in its place.

    Attributes:
        vector: the query times the spreads, which codes are without: (embedding_dim,).
        coded: that, as integers.
        common: the query's product with the centre, which all other products are without.
        norm: of the query: a row's error moves its product by no more than this times as much.
        doubt: how far rounding the query moves any product.
    """

    vector: _Floats
    coded: _Coded  # of one row
    common: float
    norm: float
    doubt: float

    @classmethod
    def of(cls, query: Embedding, head: Head) -> _Query:
        """Return *query* for the rows of *head*."""
        vector = (query * head.spreads).astype(np.float32)
        coded = _Coded.of(vector[None], np.ones_like(vector))
        common = float(np.vecdot(head.centre, query))
        norm = float(np.linalg.norm(query))
        return cls(vector, coded, common, norm, float(coded.errors[0]) * head.longest)


@dataclass(frozen=True)
class _Scanned:
    """
    What a scan found of some rows.

    Attributes:
        places: which of *rows* it looked at, (n,); None for all.
        at_most: what the product of a row with the coded query's does not exceed but for the
            query's doubt; far below all others of a row that may not be one.
        likeliest: the ids of those that have the largest products, as many as are looked for.
        products: of these.
    """

    rows: Columns
    places: _Rows | None
    at_most: _Floats  # (n,)
    likeliest: _Rows  # (m,)
    products: _Floats  # (m,)

    @classmethod
    def of(cls, rows: Columns, query: _Query, k: int, among: NDArray[np.bool_] | None) -> _Scanned:
        """Scan those of *rows* that are *among* the row ids."""
        is_among = None if among is None else _of_rows(among, rows.row_ids)
        looked_at, places = rows, None
        if is_among is not None and np.count_nonzero(is_among) * _FEW < len(rows):
            places, is_among = np.flatnonzero(is_among), None
            looked_at = rows.part(places)  # and let go of: fresh memory for all would be waited for
        products = _products(looked_at, query)
        if is_among is not None:
            # Arithmetic: choosing by a mask of half of the rows takes ten times as long.
            farther = is_among.astype(np.float32)  # one array: fresh memory is waited for
            farther -= 1
            farther *= _FAR
            products += farther
        likeliest = _largest(products, k)
        likeliest = likeliest[products[likeliest] > -_FAR / 2]
        at_most = products + looked_at.errors * np.float32(query.norm)
        return cls(rows, places, at_most, looked_at.row_ids[likeliest], products[likeliest])

    def part(self, some: _Rows) -> Columns:
        """Return *some* of the rows that it looked at."""
        return self.rows.part(some if self.places is None else self.places[some])


class Scan:
    """
    What the codes say of who is nearest to a query.

    Attributes:
        likeliest: the ids of k rows that may well be the nearest, or of all where there are fewer.
    """

    def __init__(self, query: _Query, k: int, scanned: Sequence[_Scanned]) -> None:
        self._query = query
        self._scanned = scanned
        self.likeliest: list[int] = []
        if scanned:
            ids = np.concatenate([some.likeliest for some in scanned])
            products = np.concatenate([some.products for some in scanned])
            self.likeliest = ids[_largest(products, k)].tolist()

    def reaching(self, cosine: float) -> Candidates:
        """Return all rows whose cosine with the query may be *cosine* or more."""
        query = self._query
        floor = cosine - query.common - query.doubt - _ROUNDING
        few = [some.part(np.flatnonzero(some.at_most >= floor)) for some in self._scanned]
        if not few:
            return Candidates([], [])
        rows = Columns.joined(few)
        # Of these few, the query's own rounding is taken out: fewer still must be read.
        # Not `@`: for so few rows, BLAS's threads on a busy machine wait longer than they work.
        products = rows.scales * np.vecdot(rows.codes, query.vector)
        at_most = products + rows.errors * np.float32(query.norm)
        at_most += np.float32(query.common + _ROUNDING)
        order = np.argsort(-at_most)[: np.count_nonzero(at_most >= cosine)]
        return Candidates(rows.row_ids[order].tolist(), at_most[order].tolist())


class MemoryBlocks:
    """The port `Blocks` in this process; memory is used as rows come."""

    rows = BLOCK_ROWS

    def __init__(self) -> None:
        self._blocks: list[Columns] = []
        self._sizes: list[int] = []

    def __len__(self) -> int:
        """Return how many blocks there are."""
        return len(self._blocks)

    def part(self, number: int) -> Columns:
        """Return the rows of a block."""
        return self._blocks[number].part(slice(self._sizes[number]))

    def append(self, columns: Columns) -> None:
        """Add rows to the last block, or to a new one."""
        if not self._blocks or self._sizes[-1] == self.rows:
            self._blocks.append(_room(self.rows, columns.codes.shape[1]))
            self._sizes.append(0)
        _put(self._blocks[-1].part(slice(self._sizes[-1], self.rows)), columns)
        self._sizes[-1] += len(columns)

    def replace(self, number: int, columns: Columns) -> None:
        """Put *columns* in the place of a block's."""
        _put(self._blocks[number], columns)
        self._sizes[number] = len(columns)

    def keep_head(self, head: Head) -> None:
        """Do nothing: who asks has it."""

    def clear(self) -> None:
        """Forget all blocks."""
        self._blocks.clear()
        self._sizes.clear()

    def close(self) -> None:
        """Forget all blocks."""
        self.clear()


def _room(rows: int, embedding_dim: int) -> Columns:
    return Columns(
        np.empty(rows, np.int64),
        np.empty(rows, np.float32),
        np.empty(rows, np.float32),
        np.empty((rows, embedding_dim), np.int8),
    )


def _put(room: Columns, columns: Columns) -> None:
    here = slice(len(columns))
    room.row_ids[here], room.codes[here] = columns.row_ids, columns.codes
    room.scales[here], room.errors[here] = columns.scales, columns.errors


def _products(rows: Columns, query: _Query) -> _Floats:
    """Return the products of *rows* with the coded query, (n,)."""
    if not len(rows):  # cdist takes no matrix without rows
        return np.empty(0, np.float32)
    # (n, d) times (1, d), both int8 and summed as integers -> (n, 1)
    sums = np.asarray(cdist(rows.codes, query.coded.codes, "dot"))[:, 0]
    products = sums.astype(np.float32)
    products *= rows.scales
    products *= query.coded.scales[0]
    return products


def _centre_and_spreads(rows: Embeddings) -> tuple[Embedding, Embedding]:
    """Return the mean of *rows*, (n, d), and how far they spread around it: (d,) each."""
    centre = rows.mean(axis=0)
    variances = np.square(rows - centre).mean(axis=0)
    # Of few rows a dimension's variance may be much too small, and others' codes too coarse then.
    return centre, np.sqrt(variances + max(variances.mean(), _LEAST_VARIANCE))


def _norms(rows: _Floats) -> _Floats:
    """Return the L2 norm of each row."""
    squares: _Floats = np.vecdot(rows, rows)
    return np.sqrt(squares)


def _of_rows(among: NDArray[np.bool_], row_ids: _Rows) -> NDArray[np.bool_]:
    """Return what *among* says of each of *row_ids*, which ascend and seldom leave one out."""
    if len(row_ids) and row_ids[-1] - row_ids[0] + 1 == len(row_ids):
        return among[row_ids[0] : row_ids[-1] + 1]
    return among[row_ids]


def _largest(values: _Floats, k: int) -> _Rows:
    """Return the places of the *k* largest of *values*, or of all when there are no more."""
    if len(values) <= k:
        return np.arange(len(values))
    return np.argpartition(values, -max(k, 1))[len(values) - k :]
