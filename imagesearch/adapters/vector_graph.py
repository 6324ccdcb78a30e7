"""The nearest embeddings as a graph (HNSW) finds them: most of them, in a fraction of the time.

From when on there is one, and what answers in its place, is in `vector_index.py`.

Source: Malkov and Yashunin 2016, "Efficient and robust approximate nearest neighbor search using
Hierarchical Navigable Small World graphs"; the library is `usearch`.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from imagesearch.domain.images import Embedding, Embeddings

RECALL = 0.97  # the share of the k nearest that a graph must find
CHECKS = 100  # of the last so many searches that were compared: their mean is 0.01 off or so
_SURE = 0.98  # hence what it must have found to begin with
CHECK_EVERY = 32  # searches: one of them is answered exactly, and compared
VIEW, LARGEST_VIEW = 256, 4096  # rows in view while it is searched: more find more, and cost
_VIEW_PER_K = 4  # so many more for each of k
_LINKS = 16  # of a row to its neighbours; twice as many on the lowest level
_NICENESS = 19  # of the thread that adds, on Linux

# (n,) ids and (n, embedding_dim) rows that are added at a time, in which nothing can be searched
Piece: TypeAlias = tuple[NDArray[np.int64], Embeddings]

_logger = logging.getLogger(__name__)


class VectorGraph:
    """
    Int8 copies of rows by their ids, each linked with its neighbours.

    A thread behind adds them, while another asks; neither waits for the other. What a graph finds
    depends on the vectors, on the queries and on how many rows are in view, so that it is compared
    with exact answers: it is relied on while it finds RECALL of them, else keeps more in view.
    Rows stay in it for good; whoever asks knows which are gone.

    Memory: embedding_dim + some 300 bytes a row.

    Args:
        embedding_dim: of each row.
        largest: the largest element of a row; what is beyond is taken for it.
        block: returns a block by its number, in pieces; None where there is none yet.

    Attributes:
        blocks: how many it has whole.
        view: how many rows it keeps in view while it is searched, and some more for each of k.
        is_relied_on: whether comparison showed that it finds enough.
    """

    def __init__(
        self, embedding_dim: int, largest: float, block: Callable[[int], Iterable[Piece] | None]
    ) -> None:
        from usearch.index import Index  # here: most catalogs are too small for it

        self.blocks = 0
        self.view = VIEW
        self.is_relied_on = False
        self._index: Any = Index(ndim=embedding_dim, metric="ip", dtype="i8", connectivity=_LINKS)
        self._largest = largest
        self._block = block
        self._using = threading.Lock()  # the library promises nothing where one adds and one asks
        self._builder: threading.Thread | None = None
        self._is_closed = False
        self._recalls: deque[float] = deque(maxlen=CHECKS)
        self._asked = 0

    def build(self) -> None:
        """Add the blocks that it lacks."""
        while (block := self._block(self.blocks)) is not None:
            for row_ids, rows in block:
                if self._is_closed:
                    return
                self._add(row_ids, rows)
            self.blocks += 1

    def build_behind(self) -> None:
        """Have a thread add the blocks that it lacks, where none does."""
        if not self._is_closed and not (self._builder and self._builder.is_alive()):
            self._builder = threading.Thread(target=self._work, name="vector-graph", daemon=True)
            self._builder.start()

    def join(self) -> None:
        """Return when nothing is added."""
        if self._builder:
            self._builder.join()

    def close(self) -> None:
        """Stop adding, and return when that is so."""
        self._is_closed = True
        self.join()

    @property
    def recall(self) -> float:
        """The share of the nearest that the last checks found; 0 while they are too few."""
        return float(np.mean(self._recalls)) if len(self._recalls) == CHECKS else 0.0

    @property
    def is_hopeless(self) -> bool:
        """True when it misses too many, however much is in view, or could not be built."""
        misses = len(self._recalls) == CHECKS and self.recall < RECALL
        return self._is_closed or (misses and self.view == LARGEST_VIEW)

    def take_turn(self) -> bool:
        """Return whether this graph may answer next; else, and now and then, it is checked."""
        self._asked += 1
        return self.is_relied_on and self._asked % CHECK_EVERY > 0

    def check(self, found: Collection[int], nearest: Collection[int]) -> None:
        """Note how many of the *nearest*, at least one, are among those *found*."""
        self._recalls.append(len(set(found) & set(nearest)) / len(nearest))
        if len(self._recalls) < CHECKS:
            return
        self.is_relied_on = self.recall >= (RECALL if self.is_relied_on else _SURE)
        if not self.is_relied_on and self.view < LARGEST_VIEW:
            self.view *= 2
            self._recalls.clear()

    def nearest(self, query: Embedding, k: int) -> NDArray[np.int64] | None:
        """Return the ids of all rows in view, among them most of the *k* nearest; None if busy."""
        if not self._using.acquire(blocking=False):
            return None
        try:
            view = self.view + _VIEW_PER_K * k
            self._index.expansion_search = view
            found = self._index.search(_coded(query, float(np.abs(query).max())), view, threads=1)
            return np.sort(found.keys.astype(np.int64))
        finally:
            self._using.release()

    def _work(self) -> None:
        if sys.platform == "linux":  # elsewhere a niceness is the whole process's
            os.nice(_NICENESS)
        try:
            self.build()
        except Exception:  # a thread's door: searches go on without it
            _logger.exception("a graph of %d embeddings could not be added to", len(self._index))
            self._is_closed = True

    def _add(self, row_ids: NDArray[np.int64], rows: Embeddings) -> None:
        coded = _coded(rows, self._largest)
        with self._using:
            self._index.add(row_ids, coded, threads=1)


def _coded(rows: Embeddings, largest: float) -> NDArray[np.int8]:
    """Round *rows* to 127 steps on either side of zero, the last for *largest*."""
    steps = np.rint(rows * np.float32(127 / max(largest, 1e-12)))
    coded: NDArray[np.int8] = np.clip(steps, -127, 127).astype(np.int8)
    return coded
