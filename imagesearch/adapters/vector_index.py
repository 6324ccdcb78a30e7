"""Which embeddings can be the nearest to a query: a scan of int8 copies with proven bounds.

What keeps it in step with a file, and settles the order with the float32 vectors, is `sqlite.py`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numkong import cdist
from numpy.typing import NDArray

from imagesearch.errors import Bug
from imagesearch.model import Embedding, Embeddings

_BLOCK_ROWS = 32_768  # what is computed of a block, 4 bytes a row, stays in a core's cache
_FAIR_SAMPLE = 4096  # rows whose mean is as good as that of all
_ROUNDING = 1e-4  # more than float32 sums of 1000 terms are off, for vectors of unit norm

_Floats = NDArray[np.float32]
_Rows = NDArray[np.int64]
_Answer = TypeVar("_Answer")


class VectorIndex:
    """
    The embeddings of one model revision, by the id of their row in the file.

    Memory: embedding_dim + 16 bytes a row, in blocks: nothing is copied as it grows.
    For one thread at a time; a scan itself runs on all cores.

    Attributes:
        last_id: how far its owner has read the file.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(os.cpu_count(), "vector-index")
        self.clear()

    def clear(self) -> None:
        """Forget all rows, to take them over anew from the first."""
        self.last_id = 0
        self._sample = 0  # of how many rows the centre is the mean
        self._centre: Embedding = np.empty(0, np.float32)  # (embedding_dim,)
        self._longest = 0.0  # the largest norm of what the codes stand for
        self._blocks: list[_Block] = []

    @property
    def is_outgrown(self) -> bool:
        """True when it began with so few rows that what all have in common may be another."""
        return self._sample < _FAIR_SAMPLE and len(self) > 16 * self._sample

    def __len__(self) -> int:
        return sum(block.size for block in self._blocks)

    def extend(self, row_ids: Sequence[int], embeddings: Embeddings) -> None:
        """Take over *embeddings*, (n, embedding_dim), one for each of *row_ids*."""
        if not row_ids:
            return
        if not self._blocks:
            # What embeddings have in common ranks none of them, and would take most of the bits.
            self._centre, self._sample = embeddings.mean(axis=0), len(row_ids)
        for start in range(0, len(row_ids), _BLOCK_ROWS):
            end = start + _BLOCK_ROWS
            self._add(np.array(row_ids[start:end]), _Coded.of(embeddings[start:end] - self._centre))

    def drop(self, row_ids: Collection[int]) -> None:
        """Forget rows that are no longer in the file."""
        gone = np.array(list(row_ids), np.int64)
        for block in self._blocks:
            block.keep(np.isin(block.row_ids[: block.size], gone, invert=True))

    def candidates(self, query: Embedding, k: int) -> list[int]:
        """Return the ids of rows among which the *k* nearest to *query* are for certain."""
        k = min(k, len(self))
        if k <= 0:
            return []
        if query.shape != self._centre.shape:
            raise Bug(f"a query must have shape {self._centre.shape}, got {query.shape}")
        asked = _Query.of(query, self._longest)
        scanned = self._each(lambda block: block.bounds(asked))
        rows = _reaching(scanned, k)
        # Of these few, the query's own rounding is taken out: fewer still must be read.
        again = [block.finer(some, asked) for block, some in zip(self._blocks, rows, strict=True)]
        left = _reaching(again, k)
        ids = [
            block.row_ids[some[few]]
            for block, some, few in zip(self._blocks, rows, left, strict=True)
        ]
        return [int(row_id) for row_id in np.concatenate(ids)]

    def _add(self, row_ids: _Rows, coded: _Coded) -> None:
        self._longest = max(self._longest, float(coded.norms.max()))
        last = self._blocks[-1].room if self._blocks else 0
        if last:
            self._blocks[-1].add(row_ids[:last], coded.part(0, last))
        if len(row_ids) > last:
            self._blocks.append(_Block(len(self._centre)))
            self._blocks[-1].add(row_ids[last:], coded.part(last, len(row_ids)))

    def _each(self, work: Callable[[_Block], _Answer]) -> list[_Answer]:
        if len(self._blocks) == 1:  # handing it over would take longer
            return [work(self._blocks[0])]
        return list(self._threads.map(work, self._blocks))


@dataclass(frozen=True)
class _Coded:
    """
    Rows as integers: row i is about `scales[i] * codes[i]`.

    Attributes:
        errors: the norm of what the codes leave out of a row.
        norms: the norm of what they stand for.
    """

    codes: NDArray[np.int8]  # (n, embedding_dim)
    scales: _Floats  # (n,)
    errors: _Floats  # (n,)
    norms: _Floats  # (n,)

    @classmethod
    def of(cls, rows: _Floats) -> _Coded:
        """Round each of *rows*, (n, d), to 127 steps on either side of zero."""
        largest = np.abs(rows).max(axis=1)  # (n,)
        scales = np.where(largest > 0, largest / 127, 1).astype(np.float32)
        steps = np.rint(rows / scales[:, None])  # (n, d)
        decoded = steps * scales[:, None]
        return cls(steps.astype(np.int8), scales, _norms(rows - decoded), _norms(decoded))

    def part(self, start: int, end: int) -> _Coded:
        """Return the rows from *start* to *end*."""
        here = slice(start, end)
        return _Coded(self.codes[here], self.scales[here], self.errors[here], self.norms[here])


@dataclass(frozen=True)
class _Query:
    """
    A query and what the scan multiplies by in its place.

    Attributes:
        norm: of the query: a row's error moves its product by no more than this times as much.
        doubt: how far rounding the query moves any product.
    """

    vector: Embedding  # (embedding_dim,)
    coded: _Coded  # of one row
    norm: float
    doubt: float

    @classmethod
    def of(cls, vector: Embedding, longest: float) -> _Query:
        """Return *vector* for rows whose norm is no more than *longest*."""
        coded = _Coded.of(vector[None].astype(np.float32))
        norm = float(np.linalg.norm(vector))
        return cls(vector, coded, norm, float(coded.errors[0]) * longest)


class _Bounds:
    """Between what the product of each row with the query lies, but for a common constant."""

    def __init__(self, products: _Floats, errors: _Floats, doubt: float) -> None:
        self.lower = products - errors - np.float32(doubt + _ROUNDING)
        self.upper = products + errors + np.float32(doubt + _ROUNDING)


class _Block:
    """Room for _BLOCK_ROWS rows, of which `size` are taken. Memory is used as they are."""

    def __init__(self, embedding_dim: int) -> None:
        self.size = 0
        self.row_ids: _Rows = np.empty(_BLOCK_ROWS, np.int64)
        self._codes = np.empty((_BLOCK_ROWS, embedding_dim), np.int8)
        self._scales = np.empty(_BLOCK_ROWS, np.float32)
        self._errors = np.empty(_BLOCK_ROWS, np.float32)

    @property
    def room(self) -> int:
        return len(self.row_ids) - self.size

    def add(self, row_ids: _Rows, coded: _Coded) -> None:
        here = slice(self.size, self.size + len(row_ids))
        self.row_ids[here], self._codes[here] = row_ids, coded.codes
        self._scales[here], self._errors[here] = coded.scales, coded.errors
        self.size += len(row_ids)

    def keep(self, kept: NDArray[np.bool_]) -> None:
        if kept.all():
            return
        rows, self.size = np.flatnonzero(kept), int(kept.sum())
        for column in (self.row_ids, self._codes, self._scales, self._errors):
            column[: self.size] = column[rows]

    def bounds(self, query: _Query) -> _Bounds:
        # (n, d) times (1, d), both int8 and summed as integers -> (n, 1)
        sums = np.asarray(cdist(self._codes[: self.size], query.coded.codes, "dot"))[:, 0]
        scales = self._scales[: self.size] * query.coded.scales[0]
        products = scales * sums.astype(np.float32)
        return _Bounds(products, self._errors[: self.size] * np.float32(query.norm), query.doubt)

    def finer(self, rows: _Rows, query: _Query) -> _Bounds:
        # Not `@`: for so few rows, BLAS's threads on a busy machine wait longer than they work.
        products = self._scales[rows] * np.vecdot(self._codes[rows], query.vector)
        return _Bounds(products, self._errors[rows] * np.float32(query.norm), 0.0)


def _norms(rows: _Floats) -> _Floats:
    """Return the L2 norm of each row."""
    squares: _Floats = np.vecdot(rows, rows)
    return np.sqrt(squares)


def _reaching(bounds: Sequence[_Bounds], k: int) -> list[_Rows]:
    """Return for each block the rows that may be among the *k* largest of all."""
    best = np.concatenate([_largest(one.lower, k) for one in bounds])
    floor = _largest(best, k).min()  # k rows are no less than this
    return [np.flatnonzero(one.upper >= floor) for one in bounds]


def _largest(values: _Floats, k: int) -> _Floats:
    """Return the *k* largest of *values*, or all when there are no more, in no order."""
    if len(values) <= k:
        return values
    return np.partition(values, len(values) - k)[len(values) - k :]
