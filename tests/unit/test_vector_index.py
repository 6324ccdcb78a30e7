"""The scan over int8 copies: what it returns must hold the true answer, whatever the vectors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from imagesearch.adapters.vector_index import VectorIndex
from imagesearch.domain.errors import Bug
from imagesearch.domain.images import Embedding, Embeddings

DIM = 32


def unit(rows: Embeddings) -> Embeddings:
    scaled: Embeddings = rows / np.linalg.norm(rows, axis=-1, keepdims=True)
    return scaled.astype(np.float32)


def normal(rows: int, seed: int = 0) -> Embeddings:
    return np.random.default_rng(seed).standard_normal((rows, DIM)).astype(np.float32)


def in_a_cone(rows: int) -> Embeddings:
    """All alike, with one dimension far above the others, as CLIP's embeddings are."""
    return unit(0.2 * normal(rows) + 9 * np.eye(DIM, dtype=np.float32)[3])


def uneven(rows: int) -> Embeddings:
    """Each dimension varies less than the one before, as in those of trained models."""
    return unit(normal(rows) * np.arange(1, DIM + 1, dtype=np.float32) ** -1)


def nearly_equal(rows: int) -> Embeddings:
    """Nearer to each other than int8 can tell."""
    return unit(normal(1, seed=5) + 1e-4 * normal(rows))


def along_axes(rows: int) -> Embeddings:
    return np.eye(DIM, dtype=np.float32)[np.arange(rows) % DIM]


def equal(rows: int) -> Embeddings:
    return unit(np.repeat(normal(1), rows, axis=0))


def index_of(rows: Embeddings, at_once: int = 4096) -> VectorIndex:
    index = VectorIndex()
    for start in range(0, len(rows), at_once):
        some = rows[start : start + at_once]
        index.extend(range(start, start + len(some)), some)
    return index


def candidates(
    index: VectorIndex,
    rows: Embeddings,
    query: Embedding,
    k: int,
    among: NDArray[np.bool_] | None = None,
) -> set[int]:
    """Return which of *rows*, whose numbers are their ids, are read for the *k* nearest."""
    scan = index.scan(query, k, among)
    if not 0 < k == len(scan.likeliest):
        return set(scan.likeliest)
    kth = exact(rows[scan.likeliest], query).min()
    return {*scan.likeliest, *scan.reaching(float(kth)).row_ids}


def exact(rows: Embeddings, query: Embedding) -> NDArray[np.float64]:
    cosines: NDArray[np.float64] = rows.astype(np.float64) @ query.astype(np.float64)
    return cosines


@pytest.mark.parametrize("k", [1, 10, 200])
@pytest.mark.parametrize(
    "make", [lambda n: unit(normal(n)), in_a_cone, uneven, nearly_equal, along_axes, equal]
)
def test_the_candidates_hold_all_that_no_other_row_beats(
    make: Callable[[int], Embeddings], k: int
) -> None:
    rows = make(3000)
    index = index_of(rows, at_once=700)
    for query in [*unit(normal(5, seed=1)), rows[17]]:
        cosines = exact(rows, query)
        kth = np.sort(cosines)[-k]
        nearest = set(np.flatnonzero(cosines >= kth).tolist())
        assert nearest <= candidates(index, rows, query, k)


def test_no_cosine_is_more_than_what_a_candidate_is_said_to_have_at_most() -> None:
    rows = unit(normal(20_000) + 0.5)  # a centre that is not zero
    index = index_of(rows)
    for query in unit(normal(5, seed=1)):
        cosines = exact(rows, query)
        floor = float(np.sort(cosines)[-50])
        row_ids, at_most = index.scan(query, 50).reaching(floor)
        assert set(np.flatnonzero(cosines >= floor).tolist()) <= set(row_ids)
        assert (cosines[row_ids] <= at_most).all()
        assert (cosines[row_ids] >= np.array(at_most) - 0.05).all()
        assert at_most == sorted(at_most, reverse=True)
        assert at_most[-1] >= floor


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 1.0])
def test_the_candidates_hold_the_nearest_of_those_that_may_be_and_no_other(share: float) -> None:
    rows = unit(normal(70_000))  # three blocks
    index = index_of(rows, at_once=9000)
    among = np.random.default_rng(2).random(70_000) < share
    for query in unit(normal(3, seed=1)):
        for k in (1, 10, 200):
            cosines = np.where(among, exact(rows, query), -np.inf)
            best = set(np.argsort(-cosines)[: min(k, int(among.sum()))].tolist())
            read = candidates(index, rows, query, k, among)
            assert best <= read <= set(np.flatnonzero(among).tolist())


def test_few_candidates_are_left_to_be_read() -> None:
    """A bound that let everything through would be right, and useless."""
    for rows in (unit(normal(20_000)), in_a_cone(20_000)):
        index = index_of(rows)
        for query in unit(normal(5, seed=1)):
            assert 10 <= len(candidates(index, rows, query, 10)) < 200


def test_fewer_are_left_where_dimensions_vary_unevenly_as_those_of_embeddings_do() -> None:
    rows = uneven(20_000)
    index = index_of(rows)
    counts = [len(candidates(index, rows, query, 200)) for query in unit(normal(20, seed=1))]
    assert 200 <= np.median(counts) < 245  # and 263 if codes had the same steps in all dimensions


def test_rows_past_a_block_are_found_and_dropped_like_any_other() -> None:
    rows = unit(normal(70_000))
    index = index_of(rows, at_once=9000)
    assert len(index) == 70_000
    for number in (0, 32_767, 32_768, 69_999):
        assert number in index.scan(rows[number], 1).likeliest
    index.drop([32_768, 69_999, 0])
    assert len(index) == 69_997
    for number in (0, 32_768, 69_999):
        assert number not in index.scan(rows[number], 5).likeliest
        assert number not in index.scan(rows[number], 5).reaching(0.0).row_ids
    assert 32_767 in index.scan(rows[32_767], 1).likeliest
    index.extend([70_000], rows[:1])
    assert 70_000 in index.scan(rows[0], 1).likeliest


def test_one_batch_may_fill_several_blocks() -> None:
    rows = unit(normal(70_000))
    index = index_of(rows, at_once=70_000)
    assert 69_999 in index.scan(rows[69_999], 1).likeliest
    assert len(set(index.scan(rows[0], 70_000).likeliest)) == 70_000


def test_an_index_that_lost_all_rows_finds_nothing_and_takes_new_ones() -> None:
    index = index_of(unit(normal(3)))
    index.drop([0, 1, 2])
    assert index.scan(unit(normal(1))[0], 3).likeliest == []
    index.extend([9], unit(normal(1)))
    assert index.scan(unit(normal(1))[0], 3).likeliest == [9]


def test_a_block_that_lost_all_rows_does_not_disturb_the_others() -> None:
    rows = unit(normal(40_000))
    index = index_of(rows)
    index.drop(range(32_768))
    assert len(index) == 40_000 - 32_768
    assert 39_999 in index.scan(rows[39_999], 1).likeliest


def test_an_index_that_began_with_few_rows_is_outgrown_until_it_begins_anew() -> None:
    rows = normal(200)
    index = VectorIndex()
    index.extend(range(8), rows[:8])
    assert not index.is_outgrown
    index.extend(range(8, 200), rows[8:])
    assert index.is_outgrown
    index.clear()
    assert (len(index), index.last_id) == (0, 0)
    index.extend(range(200), rows)
    assert not index.is_outgrown


def test_a_query_of_another_dimension_is_a_bug() -> None:
    with pytest.raises(Bug, match=r"\(32,\), got \(3,\)"):
        index_of(unit(normal(3))).scan(np.ones(3, np.float32), 1)


def test_no_row_or_no_k_gives_no_candidate() -> None:
    empty = VectorIndex().scan(np.ones(3, np.float32), 5)
    assert (empty.likeliest, empty.reaching(-1.0).row_ids) == ([], [])
    assert index_of(unit(normal(3))).scan(unit(normal(1))[0], 0).likeliest == []
