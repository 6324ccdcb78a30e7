"""Folding: who stands for whom, by embedding and hash both, in the order of the answer."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import pytest
from numpy.typing import NDArray

from imagesearch.domain.folding import COSINE_A_BIT, LEAST_COSINE, MOST_BITS, UNKNOWN
from imagesearch.domain.folding import fold as fold_places
from imagesearch.domain.images import Embeddings
from imagesearch.domain.pixels import MIRRORED

Hashes: TypeAlias = NDArray[np.int64]
HASH = 0x0F0F_1234_5678_9ABC


def fold(embeddings: Embeddings, seen: Hashes, most: int) -> list[list[int]]:
    """Fold images that stand in their order."""
    return fold_places(embeddings, seen, range(len(seen)), most)


def turned(*degrees: float) -> Embeddings:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def flipped(bits: int) -> int:
    """Return HASH but for so many of its bits."""
    return HASH ^ ((1 << bits) - 1)


def hashes(*values: int) -> Hashes:
    return np.array(values, np.int64)


def test_what_is_like_in_both_is_folded_under_the_best() -> None:
    groups = fold(turned(0, 90, 1, 2), hashes(HASH, ~HASH, HASH, flipped(3)), 9)
    assert groups == [[0, 2, 3], [1]]


@pytest.mark.parametrize("bits", [0, 1, 7, MOST_BITS])
def test_the_more_hashes_differ_the_nearer_embeddings_have_to_be(bits: int) -> None:
    seen = hashes(HASH, flipped(bits))
    limit = float(np.degrees(np.arccos(LEAST_COSINE + COSINE_A_BIT * bits)))
    assert fold(turned(0, limit - 0.1), seen, 9) == [[0, 1]]
    assert fold(turned(0, limit + 0.1), seen, 9) == [[0], [1]]


def test_equal_embeddings_of_other_hashes_are_not_the_same() -> None:
    for bits, groups in ((MOST_BITS, [[0, 1]]), (MOST_BITS + 1, [[0], [1]])):
        assert fold(turned(0, 0), hashes(HASH, flipped(bits)), 9) == groups


def test_a_mirrored_picture_is_the_same_one() -> None:
    assert fold(turned(0, 1), hashes(HASH, HASH ^ MIRRORED), 9) == [[0, 1]]


def test_a_chain_of_likenesses_brings_nothing_together() -> None:
    assert fold(turned(0, 25, 50), hashes(HASH, HASH, HASH), 9) == [[0, 1], [2]]


def test_what_has_no_known_hash_is_like_none() -> None:
    assert fold(turned(0, 0, 0), hashes(UNKNOWN, UNKNOWN, HASH), 9) == [[0], [1], [2]]


@pytest.mark.parametrize("most", [0, 1, 2, 3, 9])
def test_of_as_many_groups_as_are_wanted_each_is_whole(most: int) -> None:
    groups = fold(turned(0, 90, 180, 0, 90), hashes(HASH, HASH, HASH, HASH, HASH), most)
    assert groups == [[0, 3], [1, 4], [2]][:most]


def test_it_folds_as_a_loop_over_pairs_would() -> None:
    rng = np.random.default_rng(1)
    centres = rng.standard_normal((30, 16))
    rows = centres[rng.integers(0, 30, 300)] + 0.15 * rng.standard_normal((300, 16))
    embeddings = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    seen = hashes(*rng.integers(0, 2**63, 4))[rng.integers(0, 4, 300)]
    seen ^= (1 << rng.integers(0, 24, 300)) - 1
    expected: list[list[int]] = []
    for place in range(300):
        for group in expected:
            bits = [int(seen[place] ^ seen[group[0]] ^ mask) for mask in (0, MIRRORED)]
            apart = min((each & (2**64 - 1)).bit_count() for each in bits)
            least = LEAST_COSINE + COSINE_A_BIT * apart
            if apart <= MOST_BITS and embeddings[place] @ embeddings[group[0]] >= least:
                group.append(place)
                break
        else:
            expected.append([place])
    assert 30 < len(expected) < 280
    assert fold(embeddings, seen, 300) == expected


def test_places_come_back_in_the_order_that_is_given() -> None:
    embeddings, seen = turned(0, 90, 1, 2), hashes(HASH, ~HASH, HASH, flipped(3))
    assert fold_places(embeddings, seen, [3, 1, 0, 2], 9) == [[3, 0, 2], [1]]
    assert fold_places(embeddings, seen, [2, 1], 9) == [[2], [1]]


def test_nothing_folds_to_nothing() -> None:
    assert fold(np.empty((0, 0), np.float32), hashes(), 5) == []
