"""Embeddings as the catalogs store them, float32 little-endian, and which of them are sound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from imagesearch.domain.errors import Bug
from imagesearch.domain.images import Embedding, Embeddings, Image
from imagesearch.ports import Tagged

_FLOAT_BYTES = 4
_NORM_ERROR = 1e-3  # of the square; float32 is off by less than a thousandth of it
_Row = TypeVar("_Row", bound=tuple[Any, ...])

# numpy is imported where it computes: a function stores no embedding, and need not wait for it.


def vector_bytes(image_id: str, embedding: Embedding) -> bytes:
    """Return an embedding as it is stored."""
    import numpy as np

    if embedding.ndim != 1 or not np.isfinite(embedding).all():
        raise Bug(f"the embedding of {image_id} must be one finite row, got {embedding!r:.200}")
    return embedding.astype("<f4").tobytes()


def matrix_of(vectors: Sequence[bytes]) -> Embeddings:
    """Return *vectors* as the rows of one matrix, (0, 0) when there is none."""
    import numpy as np

    if not vectors:
        return np.empty((0, 0), np.float32)
    return np.frombuffer(b"".join(vectors), "<f4").reshape(len(vectors), -1).astype(np.float32)


def sound_matrix(
    rows: Sequence[_Row], embedding_dim: int | None = None
) -> tuple[list[_Row], Embeddings, list[_Row]]:
    """
    Read the embeddings that are the last column of *rows*.

    A sound one is finite, of unit norm, and has *embedding_dim* numbers: unless given, as many as
    most of the others.

    Returns:
        the n sound rows, their embeddings, (n, embedding_dim), and the damaged rows.
    """
    import numpy as np

    lengths = [len(row[-1]) if isinstance(row[-1], bytes) else -1 for row in rows]
    length = max(set(lengths), key=lengths.count, default=0)
    if embedding_dim is not None:
        length = _FLOAT_BYTES * embedding_dim
    if length <= 0 or length % _FLOAT_BYTES:
        return [], matrix_of([]), list(rows)
    whole = [row for row, size in zip(rows, lengths, strict=True) if size == length]
    matrix = matrix_of([row[-1] for row in whole])
    with np.errstate(all="ignore"):  # what overflows is no unit vector
        is_unit = np.abs(np.vecdot(matrix, matrix) - 1.0) < _NORM_ERROR  # (n, d) -> (n,)
    if len(whole) == len(rows) and is_unit.all():
        return whole, matrix, []
    sound = [row for row, is_sound in zip(whole, is_unit.tolist(), strict=True) if is_sound]
    kept = {id(row) for row in sound}
    return sound, matrix[is_unit], [row for row in rows if id(row) not in kept]


def best_tagged(
    hits: Sequence[tuple[Image, float]], rows: Embeddings, query: Embedding, k: int
) -> Tagged:
    """Return up to *k* of *hits*, best first, with their *rows*, (n, d): see `Library.tagged`."""
    import numpy as np

    if not hits:
        return Tagged([], matrix_of([]))
    ids = np.array([image.image_id for image, _ in hits])
    said = np.array([said for _, said in hits])
    order = np.lexsort((ids, -np.vecdot(rows, query), -said))[:k].tolist()
    return Tagged([hits[n] for n in order], rows[order])
