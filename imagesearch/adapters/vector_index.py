"""Exact nearest-neighbour search over embeddings in memory.

What keeps it in step with a file is `sqlite.py`.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from imagesearch.errors import Bug
from imagesearch.model import Embedding, Embeddings


class VectorIndex:
    """The embeddings of one model revision in memory, kept up with the rows of the file."""

    def __init__(self) -> None:
        self.last_id = 0
        self._positions: dict[str, int] = {}
        self._image_ids: list[str] = []
        self._rows: Embeddings = np.empty((0, 0), np.float32)  # (capacity, embedding_dim)

    def extend(self, rows: Iterable[tuple[int, str, bytes]]) -> None:
        """Take over *rows* of (id, image_id, vector); the newest of an image counts."""
        for row_id, image_id, vector in rows:
            row = np.frombuffer(vector, "<f4")
            position = self._positions.get(image_id, len(self._image_ids))
            if position == len(self._rows):
                room = np.empty((position + 1024, len(row)), np.float32)
                self._rows = np.concatenate([self._rows.reshape(-1, len(row)), room])
            self._rows[position] = row
            if position == len(self._image_ids):
                self._positions[image_id] = position
                self._image_ids.append(image_id)
            self.last_id = row_id

    def nearest(self, query: Embedding, k: int) -> list[tuple[str, float]]:
        """Return the *k* nearest image_ids with their cosines, best first, ties by image_id."""
        rows = self._rows[: len(self._image_ids)]  # (n, d)
        k = min(k, len(rows))
        if k <= 0:
            return []
        if query.shape != rows.shape[1:]:
            raise Bug(f"a query must have shape {rows.shape[1:]}, got {query.shape}")
        rough = rows @ query  # (n, d) @ (d,) -> (n,)
        # A product's last bits depend on a row's place: equal images would not tie. So all near
        # the k-th are computed again, each row by itself.
        threshold = np.partition(rough, len(rough) - k)[len(rough) - k] - 1e-4
        near = np.flatnonzero(rough >= threshold)  # (m,), m >= k
        cosines = (rows[near].astype(np.float64) * query).sum(axis=1)  # (m,)
        image_ids = np.array([self._image_ids[i] for i in near])
        best = np.lexsort((image_ids, -cosines))[:k]
        return [(str(image_ids[i]), float(cosines[i])) for i in best]
