"""Which embeddings can be the nearest to a query: a scan of int8 copies with proven bounds.

Where they are very many, `vector_graph.py` finds most of them sooner. What keeps both in step with
a file, and settles the order with the float32 vectors, is `sqlite.py`.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numkong import cdist
from numpy.typing import NDArray

from imagesearch.adapters.vector_graph import Piece, VectorGraph
from imagesearch.domain.errors import Bug
from imagesearch.domain.images import Embedding, Embeddings

GRAPH_ROWS = 500_000  # in full blocks: a scan takes some two times what encoding a query does
BLOCK_ROWS = 32_768  # what is computed of a block, 4 bytes a row, stays in a core's cache
_PIECE_ROWS = 256  # added to a graph in a fifth of a second, where a million are
_FAIR_SAMPLE = 4096  # rows whose mean is as good as that of all
_ROUNDING = 1e-4  # more than float32 sums of 1000 terms are off, for vectors of unit norm

_Floats = NDArray[np.float32]
_Rows = NDArray[np.int64]
_Answer = TypeVar("_Answer")
_logger = logging.getLogger(__name__)


class VectorIndex:
    """
    The embeddings of one model revision, by the id of their row in the file.

    Memory: embedding_dim + 16 bytes a row, in blocks of *block_rows*: nothing is copied as it
    grows. For one thread at a time; a scan itself runs on all cores. Where full blocks hold
    *graph_rows* or more, there is a graph of them, too.

    Attributes:
        last_id: how far its owner has read the file.
    """

    def __init__(self, graph_rows: int = GRAPH_ROWS, block_rows: int = BLOCK_ROWS) -> None:
        self._threads = ThreadPoolExecutor(os.cpu_count(), "vector-index")
        self._graph_rows = graph_rows
        self._block_rows = block_rows
        self._graph: VectorGraph | None = None
        self._changing = threading.Lock()  # the blocks, from which the graph is built
        self.clear()

    def clear(self) -> None:
        """Forget all rows, to take them over anew from the first."""
        self._end_graph()
        self.last_id = 0
        self._sample = 0  # of how many rows the centre is the mean
        self._centre: Embedding = np.empty(0, np.float32)  # (embedding_dim,)
        self._longest = 0.0  # the largest norm of what the codes stand for
        self._blocks: list[_Block] = []

    def close(self) -> None:
        """End its threads; it is not used again."""
        self._end_graph()
        self._threads.shutdown()

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
        for start in range(0, len(row_ids), self._block_rows):
            end = start + self._block_rows
            self._add(np.array(row_ids[start:end]), _Coded.of(embeddings[start:end] - self._centre))

    def drop(self, row_ids: Collection[int]) -> None:
        """Forget rows that are no longer in the file."""
        gone = np.array(list(row_ids), np.int64)
        with self._changing:
            for block in self._blocks:
                block.keep(np.isin(block.row_ids[: block.size], gone, invert=True))

    def candidates(self, query: Embedding, k: int) -> list[int]:
        """Return the ids of rows among which the *k* nearest to *query* are for certain."""
        asked = self._asked(query)
        return self._narrowed(self._scanned(self._blocks, asked, k), asked, k)

    @property
    def recall(self) -> float:
        """The share of the nearest that the graph finds; 0 where there is none, or none checked."""
        return self._graph.recall if self._graph else 0.0

    def likely(self, query: Embedding, k: int) -> list[int] | None:
        """
        Return the ids of rows among which most of the *k* nearest to *query* are.

        None where there is no graph that can be relied on, and for one answer in a few, which is
        to be exact and handed to `check`.
        """
        graph = self._up_to_date_graph()
        return self._by_graph(graph, query, k) if graph and graph.take_turn() else None

    def check(self, query: Embedding, nearest: Sequence[int]) -> None:
        """Compare what the graph finds with the ids of the rows that are *nearest* to *query*."""
        graph = self._graph
        if not graph or not nearest or graph.blocks < len(self._blocks) - 1:
            return  # what it does not have yet would be scanned a second time
        found = self._by_graph(graph, query, len(nearest))
        if found is None:
            return
        was_relied_on = graph.is_relied_on
        graph.check(found, nearest)
        if graph.is_relied_on and not was_relied_on:
            message = "a graph answers for %d embeddings now, %d rows in view: recall %.3f"
            _logger.info(message, len(self), graph.view, graph.recall)
        elif was_relied_on and not graph.is_relied_on:
            _logger.info("the scan answers for %d embeddings again: its graph misses", len(self))

    def _up_to_date_graph(self) -> VectorGraph | None:
        """Return the graph, which goes on with the full blocks that it lacks."""
        full = len(self._blocks) - 1  # rows are added to the last one still
        if self._graph is None and full * self._block_rows >= max(self._graph_rows, 1):
            largest = max(block.largest for block in self._blocks)
            self._graph = VectorGraph(len(self._centre), largest, self._full_block)
        if self._graph and self._graph.is_hopeless:
            _logger.warning("the graph of %d embeddings is given up", len(self))
            self._end_graph()
            self._graph_rows = sys.maxsize
        elif self._graph and self._graph.blocks < full:
            self._graph.build_behind()
        return self._graph

    def _end_graph(self) -> None:
        if self._graph:
            self._graph.close()
        self._graph = None

    def _by_graph(self, graph: VectorGraph, query: Embedding, k: int) -> list[int] | None:
        """Return what it and a scan of the rows that it lacks find; None if that is too little."""
        asked = self._asked(query)
        inside = graph.blocks  # first: it may have one more once it was asked
        found = graph.nearest(query, k)
        if found is None:
            return None
        rows = [block.rows_of(found) for block in self._blocks[:inside]]
        rows += self._scanned(self._blocks[inside:], asked, k)
        if sum(map(len, rows)) < min(k, len(self)):
            return None  # what was near is gone
        return self._narrowed(rows, asked, k)

    def _full_block(self, number: int) -> Iterator[Piece] | None:
        with self._changing:
            is_full = number < len(self._blocks) - 1
            return self._blocks[number].pieces() if is_full else None

    def _asked(self, query: Embedding) -> _Query:
        if self._blocks and query.shape != self._centre.shape:
            raise Bug(f"a query must have shape {self._centre.shape}, got {query.shape}")
        return _Query.of(query, self._longest)

    def _scanned(self, blocks: list[_Block], asked: _Query, k: int) -> list[_Rows]:
        """Return for each of *blocks* the rows among which the *k* nearest of them are."""
        return _reaching(self._each(blocks, lambda block: block.bounds(asked)), k)

    def _narrowed(self, rows: list[_Rows], asked: _Query, k: int) -> list[int]:
        """Return the ids of those *rows* of each block among which the *k* nearest of them are."""
        # Of these few, the query's own rounding is taken out: fewer still must be read.
        finer = [block.finer(some, asked) for block, some in zip(self._blocks, rows, strict=True)]
        ids = [
            block.row_ids[some[few]]
            for block, some, few in zip(self._blocks, rows, _reaching(finer, k), strict=True)
        ]
        return [int(row_id) for one in ids for row_id in one]

    def _add(self, row_ids: _Rows, coded: _Coded) -> None:
        self._longest = max(self._longest, float(coded.norms.max()))
        last = self._blocks[-1].room if self._blocks else 0
        if last:
            self._blocks[-1].add(row_ids[:last], coded.part(0, last))
        if len(row_ids) > last:
            self._blocks.append(_Block(self._block_rows, len(self._centre)))
            self._blocks[-1].add(row_ids[last:], coded.part(last, len(row_ids)))

    def _each(self, blocks: list[_Block], work: Callable[[_Block], _Answer]) -> list[_Answer]:
        if len(blocks) == 1:  # handing it over would take longer
            return [work(blocks[0])]
        return list(self._threads.map(work, blocks))


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
    """Room for *rows*, of which `size` are taken. Memory is used as they are."""

    def __init__(self, rows: int, embedding_dim: int) -> None:
        self.size = 0
        self.row_ids: _Rows = np.empty(rows, np.int64)
        self._codes = np.empty((rows, embedding_dim), np.int8)
        self._scales = np.empty(rows, np.float32)
        self._errors = np.empty(rows, np.float32)

    @property
    def room(self) -> int:
        return len(self.row_ids) - self.size

    @property
    def largest(self) -> float:
        """The largest element of a row."""
        return float(self._scales[: self.size].max(initial=0)) * 127

    def pieces(self) -> Iterator[Piece]:
        """Return all ids and what their codes stand for as they are now, some rows at a time."""
        here = slice(self.size)
        row_ids, codes = self.row_ids[here].copy(), self._codes[here].copy()
        scales = self._scales[here, None].copy()
        starts = range(0, len(row_ids), _PIECE_ROWS)
        parts = (slice(start, start + _PIECE_ROWS) for start in starts)
        return ((row_ids[part], codes[part] * scales[part]) for part in parts)

    def rows_of(self, row_ids: _Rows) -> _Rows:
        """Return where those of *row_ids* are that are here; both ascend, and none comes twice."""
        here = self.row_ids[: self.size]
        places = np.searchsorted(here, row_ids)
        known = places < self.size
        places, row_ids = places[known], row_ids[known]
        rows: _Rows = places[here[places] == row_ids]
        return rows

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
        if not self.size:  # cdist takes no matrix without rows
            return _Bounds(self._errors[:0], self._errors[:0], query.doubt)
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
    best = [_largest(one.lower, k) for one in bounds if len(one.lower) and k > 0]
    if not best:
        return [np.empty(0, np.int64) for _ in bounds]
    floor = _largest(np.concatenate(best), k).min()  # k rows are no less than this
    return [np.flatnonzero(one.upper >= floor) for one in bounds]


def _largest(values: _Floats, k: int) -> _Floats:
    """Return the *k* largest of *values*, or all when there are no more, in no order."""
    if len(values) <= k:
        return values
    return np.partition(values, len(values) - k)[len(values) - k :]
