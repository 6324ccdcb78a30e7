"""Which images of an answer look the same, so that one of them stands for the others: pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from imagesearch.domain.images import Embeddings, Image
from imagesearch.domain.pixels import MIRRORED

# The functions compute nothing: numpy would be a third of the CPU that their import takes.
if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Of images that look the same: the cosine of their embeddings, how much more it has to be for each
# bit in which their hashes differ, and how many those are. All are chosen as decision 0065 says.
LEAST_COSINE: Final = 0.7
COSINE_A_BIT: Final = 0.012
MOST_BITS: Final = 16  # of 64; of unlike images hardly any have hashes as near
_LEADERS_AT_ONCE = 16  # that are compared with all: most searches want no more
UNKNOWN: Final = 0  # in place of a hash; of its own a picture has it that is darkest everywhere


def hashes_of(images: Sequence[Image]) -> NDArray[np.int64]:
    """Return the hash of each of *images*, (n,), or *UNKNOWN*."""
    import numpy as np

    hashes = [image.pixels.hash if image.pixels else UNKNOWN for image in images]
    return np.array(hashes, np.int64)


def fold(
    embeddings: Embeddings,
    hashes: NDArray[np.int64],
    order: Sequence[int],
    most: int,
    *,
    most_bits: int = MOST_BITS,
    least_cosine: float = LEAST_COSINE,
    cosine_a_bit: float = COSINE_A_BIT,
) -> list[list[int]]:
    """
    Return the places of images that look the same, together, the best of them first.

    From the best on, each that is in no group yet leads one, with those of the rest that are like
    it itself: chains of likenesses bring nothing together. The more their hashes differ, the nearer
    their embeddings have to be. Mirrored is the same; what has no known hash is like none.

    Args:
        embeddings: (n, embedding_dim).
        hashes: (n,), of the same images.
        order: their places, best first.
        most: how many groups are wanted; of those that there are, the first.
    """
    import numpy as np

    ranked = np.array(order, np.intp)
    is_free = np.ones(len(ranked), np.bool_)
    groups: list[list[int]] = []
    for first in range(0, len(ranked), _LEADERS_AT_ONCE):
        leaders = slice(first, first + _LEADERS_AT_ONCE)
        distances = _distances(hashes[ranked[leaders]], hashes[ranked])
        is_like = distances <= most_bits
        np.fill_diagonal(is_like[:, first:], val=False)
        has_like = np.asarray(is_like.any(axis=1))
        for place, like in enumerate(is_like, start=first):
            if len(groups) == most:
                return groups
            if is_free[place]:
                is_free[place] = False
                groups.append([int(ranked[place])])
                if has_like[place - first]:
                    (others,) = (like & is_free).nonzero()
                    # (m, d), (d,) -> (m,); a matrix product of so few would wait for threads
                    cosines = np.vecdot(embeddings[ranked[others]], embeddings[ranked[place]])
                    bounds = least_cosine + cosine_a_bit * distances[place - first, others]
                    members = others[cosines >= bounds]
                    if not len(members):
                        continue
                    is_free[members] = False
                    groups[-1] += ranked[members].tolist()
    return groups


def _distances(some: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return in how many bits hashes differ, mirrored or not, 64 where one is unknown: (m, n)."""
    import numpy as np

    differing = some[:, None] ^ others
    mirrored = differing ^ np.int64(MIRRORED)
    distances: NDArray[np.uint8] = np.minimum(
        np.bitwise_count(differing.view(np.uint64)), np.bitwise_count(mirrored.view(np.uint64))
    )
    distances[some == UNKNOWN] = 64
    distances[:, others == UNKNOWN] = 64
    return distances
